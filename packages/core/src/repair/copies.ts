/**
 * The copies of a VM that a person has to choose between: what each of them is, and what is said of it. A copy that
 * holds memory of its own is never ended. Pure; which files were written when is asked by the engine.
 */
import type { Migration } from '../model/migration.ts';
import type { Vm } from '../model/vm.ts';

/** A copy, and the host that it is on. */
export type Placed = Vm['instances'][number];

export const isOff = ({ instance: { state } }: Placed): boolean => state === 'shut-off' || state === 'crashed';
export const isActive = ({ instance: { state } }: Placed): boolean =>
  !['shut-off', 'crashed', 'unknown', 'no-state'].includes(state);
/** Its host does not answer. */
export const isUnseen = ({ instance: { state } }: Placed): boolean => state === 'unknown';
/** Its memory is nowhere else. */
export const holdsMemory = ({ instance: { reason, state } }: Placed): boolean =>
  state === 'paused' && (reason === 'post-copy' || reason === 'post-copy-failed');
export const isLostHalf = ({ instance: { state, reason } }: Placed): boolean =>
  state === 'paused' && reason === 'migration';

/** Disks whose times of the last write distinguish two definitions of one VM. */
export const disksToDate = (
  { instances }: Pick<Vm, 'instances'>,
  each: Placed,
): readonly { readonly target: string; readonly path: string }[] =>
  !isOff(each) || instances.length === 1
    ? []
    : each.instance.disks.flatMap(({ target, source, readOnly }) =>
        source?.startsWith('/') === true && !readOnly ? [{ target, path: source }] : [],
      );

export interface CopyEvidence {
  /** Finished migrations of the VM, newest first. */
  readonly history: readonly Migration[];
  /** Its definition was kept on purpose. */
  readonly parked: boolean;
  /** Its memory is in a file. */
  readonly saved: boolean;
  /** By path, of `disksToDate`: when it was last written, in seconds, if the host reports it. */
  readonly writtenAt: ReadonlyMap<string, number | undefined>;
}

/** Sentences on one copy of this VM. */
export const knowledgeOf = (vm: Vm, each: Placed, evidence: CopyEvidence): readonly string[] => [
  ...partInHistory(each, evidence.history),
  ...whoseDisks(vm, each, evidence.history),
  ...(each.instance.reason === 'migration-canceled'
    ? ['libvirt let it run again after it took the migration for failed.']
    : []),
  ...whatOfDefinition(vm, each, evidence),
];

const lastOn = ({ hostId }: Placed, history: readonly Migration[]): Migration | undefined =>
  history.find(({ from, to }) => from.id === hostId || to?.id === hostId);

function partInHistory(each: Placed, history: readonly Migration[]): readonly string[] {
  const last = lastOn(each, history);
  if (last === undefined) return ['No migration of this VM is known to have had this host in it.'];
  const role = last.from.id === each.hostId ? 'source' : 'target';
  const part =
    `It was the ${role} of migration ${last.id}, which ` +
    `${last.outcome ?? 'runs'}${last.error === undefined ? '' : `: ${last.error.message}`}`;
  const since = last.phases.findLast(({ phase }) => phase === 'switching' || phase === 'post-copy');
  if (since === undefined) return [part];
  const time = new Date(since.at).toISOString();
  return [
    part,
    role === 'source'
      ? `It was paused for the switch at ${time}; what it has done since is its own.`
      : `It has the guest's memory as of the switch at ${time}.`,
  ];
}

function whoseDisks(vm: Vm, each: Placed, history: readonly Migration[]): readonly string[] {
  const disks = lastOn(each, history)?.plan?.disks ?? [];
  const copied = disks.filter(({ how }) => how === 'copy').map(({ target }) => target);
  if (copied.length > 0) return [`Its disks ${copied.join(', ')} are copies of its own.`];
  const writes = each.instance.disks.some(({ source, readOnly }) => source !== undefined && !readOnly);
  return writes && vm.instances.filter(isActive).length > 1
    ? ['Both copies write to the same disks: what is on them may be damaged.']
    : [];
}

/** What distinguishes two definitions of one VM. */
function whatOfDefinition(vm: Vm, each: Placed, { parked, saved, writtenAt }: CopyEvidence): readonly string[] {
  if (!isOff(each) || vm.instances.length === 1) return [];
  const written = disksToDate(vm, each).map(({ target, path }) => {
    const at = writtenAt.get(path);
    return `Its disk ${target} is ${path}${at === undefined ? '' : `, last written at ${new Date(at * 1_000).toISOString()}`}.`;
  });
  return [
    ...(each.instance.name === vm.name ? [] : [`Its name there is ${each.instance.name}.`]),
    parked
      ? 'Its definition was kept there on purpose and is not the VM.'
      : 'Ferry does not know why its definition is there.',
    ...(saved ? ['Its memory is saved there: its next start goes on with it.'] : []),
    ...written,
  ];
}
