/**
 * Makes a VM out of what the hosts report of one UUID: decides which instance is authoritative. Pure; the engine keeps
 * the reports.
 */
import { FerryError } from '../model/errors.ts';
import type { HostView } from '../model/host.ts';
import type { HostId, VmUuid } from '../model/ids.ts';
import { isClosing, type Migration } from '../model/migration.ts';
import type { DomainState, Instance, InstanceRole, Vm } from '../model/vm.ts';

/** An instance as its host reports it, or reported it last. */
export interface ReportedInstance {
  readonly hostId: HostId;
  readonly instance: Instance;
  /** The host does not answer: what it has now is not known. */
  readonly silent?: boolean;
  /** A migration kept this definition on purpose; it is not the VM. */
  readonly parked: boolean;
}

/** How a kept definition is named in the set of them. */
export const parkedKey = (uuid: VmUuid, host: HostId): string => `${uuid}/${host}`;

const activeStates: readonly DomainState[] = ['running', 'blocked', 'shutting-down', 'pm-suspended'];
const isActive = ({ instance }: ReportedInstance): boolean => activeStates.includes(instance.state);
const isPaused = ({ instance }: ReportedInstance): boolean => instance.state === 'paused';
/** Nothing but a definition. */
const isOff = ({ instance }: ReportedInstance): boolean =>
  instance.state === 'shut-off' || instance.state === 'crashed';
const isSideOf = ({ hostId }: ReportedInstance, migration: Migration | undefined): boolean =>
  migration?.from.id === hostId || migration?.to?.id === hostId;

/** Higher comes first: what runs, then what is paused by intent, then halves of a migration, then definitions. */
const weight = (placed: ReportedInstance, sourceHost: HostId | undefined): number => {
  if (isActive(placed)) return 4;
  if (isPaused(placed) && placed.instance.reason !== 'migration') return 3;
  if (placed.instance.state === 'unknown') return 2.5;
  if (isPaused(placed)) return placed.hostId === sourceHost ? 2 : 1;
  if (placed.parked) return -1;
  return placed.hostId === sourceHost ? 0.5 : 0;
};

/** One of the two halves of a migration: what is paused there is not a copy. */
const isHalf = (placed: ReportedInstance, migration: Migration | undefined): boolean =>
  ['migration', 'post-copy', 'post-copy-failed'].includes(placed.instance.reason) || isSideOf(placed, migration);

/** Active where its host was last seen: that it does not answer now ends no copy. */
const wasCopy = ({ last }: Placed): boolean =>
  last !== undefined &&
  !['migration', 'post-copy', 'post-copy-failed'].includes(last.reason) &&
  (activeStates.includes(last.state) || last.state === 'paused');

const roleOf = (placed: Placed, first: Placed, migration: Migration | undefined): InstanceRole => {
  if (placed === first) return 'authoritative';
  if (wasCopy(placed) && !placed.parked && !isSideOf(placed, migration)) return 'conflict';
  if (isActive(placed) && isActive(first)) return 'conflict';
  if (isPaused(placed)) return isHalf(placed, migration) ? 'incoming' : 'conflict';
  // which of two definitions is the VM depends on what is known of them: a host restored from a backup has an old one
  if (isOff(placed) && isOff(first) && placed.parked === first.parked && !isSideOf(placed, migration))
    return 'conflict';
  return 'parked';
};

/** `last`: what a host that does not answer reported before. */
type Placed = ReportedInstance & { readonly last?: Instance };

const asSeen = (reported: ReportedInstance): Placed =>
  reported.silent === true
    ? { ...reported, instance: { ...reported.instance, state: 'unknown', reason: 'other' }, last: reported.instance }
    : reported;

/**
 * `placed`: at least one instance. `current`: the migration of this VM that has not ended; once its hooks are told of
 * the end, it has no halves any more.
 */
export function vmOf(uuid: VmUuid, placed: readonly ReportedInstance[], current: Migration | undefined): Vm {
  const migration = current === undefined || isClosing(current) ? undefined : current;
  const source = migration?.from.id;
  const sorted = placed
    .map(asSeen)
    .sort((a, b) => weight(b, source) - weight(a, source) || (a.hostId < b.hostId ? -1 : 1));
  const first = sorted[0];
  if (first === undefined) throw new Error('a VM has at least one instance');
  const { name, state, memoryBytes, vcpus, disks } = first.instance;
  return {
    uuid,
    name,
    hostId: first.hostId,
    state,
    memoryBytes,
    vcpus,
    disks,
    instances: sorted.map((each) => ({
      hostId: each.hostId,
      instance: each.instance,
      role: roleOf(each, first, migration),
    })),
    ...(current === undefined ? {} : { currentMigration: current.id }),
  };
}

/**
 * One noun found by what an operator typed: its id first, which nobody else has; then its name, then another name by
 * which a host knows it; then a beginning of an id of 4 characters or more.
 */
export function resolve<T>(
  items: readonly T[],
  ref: string,
  keys: {
    readonly name: (item: T) => string;
    readonly id: (item: T) => string;
    readonly otherNames?: (item: T) => readonly string[];
    readonly kind: 'vm' | 'host' | 'migration' | 'drain' | 'rollout';
    readonly describe: (item: T) => string;
  },
): T {
  const noun = keys.kind === 'vm' ? 'VM' : keys.kind;
  const lower = ref.toLowerCase();
  const ways: readonly ((item: T) => boolean)[] = [
    (item) => keys.id(item) === lower,
    (item) => keys.name(item) === ref,
    (item) => keys.otherNames?.(item).includes(ref) === true,
    (item) => ref.length >= 4 && keys.id(item).startsWith(lower),
  ];
  const found = ways.map((way) => items.filter(way)).find((some) => some.length > 0) ?? [];
  const [only] = found;
  if (only === undefined) throw new FerryError(`${keys.kind}-unknown`, `There is no ${noun} "${ref}".`);
  if (found.length > 1) {
    throw new FerryError(
      `${keys.kind}-ambiguous`,
      `"${ref}" names ${found.length} ${noun}s: ${found.map(keys.describe).join(', ')}.`,
    );
  }
  return only;
}

/** By name, id or the beginning of an id. Throws FerryError `host-unknown`, `host-ambiguous`. */
export const resolveHost = (hosts: readonly HostView[], ref: string): HostView =>
  resolve(hosts, ref, {
    kind: 'host',
    id: ({ host }) => host.id,
    name: ({ host }) => host.name,
    describe: ({ host }) => host.name,
  });
