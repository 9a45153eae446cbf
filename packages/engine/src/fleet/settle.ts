/**
 * For an operator who has to put right what Ferry could not prevent: two running copies of a VM, two definitions of it
 * that are shut off, and what interrupted migrations left of it. Everything is shown with what is known of it before
 * anything is ended, and the only copy of anything is never ended. Definitions are not undefined here: all but one are
 * parked.
 */
import { FerryError, type HostId, type Instance, type Migration, type Vm, type VolumeRecord } from '@ferry/core';
import type { KeptInstances } from './kept-instances.ts';
import type { HostLink } from '../ports/ports.ts';
import { proveApart } from './two-machines.ts';

export interface Copy {
  readonly host: string;
  readonly role: string;
  readonly state: Instance['state'];
  readonly reason: Instance['reason'];
  readonly persistent: boolean;
  readonly knowledge: readonly string[];
}

export interface Remain {
  readonly kind: 'half' | 'volume';
  readonly host: string;
  readonly what: string;
  /** What cleaning up does with it, or why it does not. */
  readonly remedy: string;
  readonly settles: boolean;
}

export interface SettleDeps {
  readonly vm: (ref: string) => Vm;
  readonly hostNameOf: (id: string) => string;
  readonly hostIdOf: (ref: string) => HostId;
  readonly linkOf: (hostId: string) => HostLink;
  /** The host is connected. */
  readonly answers: (hostId: string) => boolean;
  readonly active: () => readonly Migration[];
  /** Finished ones of the VM, newest first. */
  readonly migrationsOf: (vm: string) => Promise<readonly Migration[]>;
  readonly leftovers: () => Promise<readonly VolumeRecord[]>;
  readonly purge: (record: VolumeRecord, signal: AbortSignal) => Promise<void>;
  readonly refresh: (hostId: string, vm: Vm, signal: AbortSignal) => Promise<void>;
  readonly kept: Pick<KeptInstances, 'isParked' | 'park' | 'unpark'>;
  /** The fleet is to be put together anew. */
  readonly changed: () => void;
}

export interface Settle {
  copies(ref: string, signal: AbortSignal): Promise<readonly Copy[]>;
  /**
   * The one on `keep` is the VM: every other active copy is ended, every other definition parked. One that was paused
   * runs.
   */
  settle(ref: string, keep: string, signal: AbortSignal): Promise<Vm>;
  remains(ref: string): Promise<readonly Remain[]>;
  /** Answers with what it did. */
  cleanup(ref: string, signal: AbortSignal): Promise<readonly Remain[]>;
}

type Placed = Vm['instances'][number];
const isOff = ({ instance: { state } }: Placed): boolean => state === 'shut-off' || state === 'crashed';
const isActive = ({ instance: { state } }: Placed): boolean =>
  !['shut-off', 'crashed', 'unknown', 'no-state'].includes(state);
/** Its memory is nowhere else. */
const holdsMemory = ({ instance: { reason, state } }: Placed): boolean =>
  state === 'paused' && (reason === 'post-copy' || reason === 'post-copy-failed');
const isLostHalf = ({ instance: { state, reason } }: Placed): boolean => state === 'paused' && reason === 'migration';
const settleTimeoutMs = 60_000;

export function createSettle(deps: SettleDeps): Settle {
  const { vm, hostNameOf, linkOf } = deps;
  const bounded = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(settleTimeoutMs)]);
  const idle = (found: Vm): void => {
    const busy = deps.active().find((migration) => migration.vm.uuid === found.uuid);
    if (busy !== undefined)
      throw new FerryError(
        'vm-already-migrating',
        `${found.name} is being moved by migration ${busy.id}, which is ${busy.phase}.`,
      );
  };

  /** Rejects unless the two are on two machines, seen so now. */
  const apart = (one: Placed, other: Placed, signal: AbortSignal): Promise<void> =>
    proveApart(sideOf(one), sideOf(other), bounded(signal));
  const sideOf = ({ hostId }: Placed) => ({ name: hostNameOf(hostId), link: linkOf(hostId) });

  const knowledgeOf = (
    { hostId, instance }: Placed,
    history: readonly Migration[],
    copies: number,
  ): readonly string[] => {
    const last = history.find(({ from, to }) => from.id === hostId || to?.id === hostId);
    const role = last?.from.id === hostId ? 'source' : 'target';
    const sentences =
      last === undefined
        ? ['No migration of this VM is known to have had this host in it.']
        : [
            `It was the ${role} of migration ${last.id}, which ` +
              `${last.outcome ?? 'runs'}${last.error === undefined ? '' : `: ${last.error.message}`}`,
          ];
    const since = last?.phases.findLast(({ phase }) => phase === 'switching' || phase === 'post-copy');
    if (last !== undefined && since !== undefined) {
      const time = new Date(since.at).toISOString();
      sentences.push(
        role === 'source'
          ? `It was paused for the switch at ${time}; what it has done since is its own.`
          : `It has the guest's memory as of the switch at ${time}.`,
      );
    }
    const copied = (last?.plan?.disks ?? []).filter(({ how }) => how === 'copy').map(({ target }) => target);
    if (copied.length > 0) sentences.push(`Its disks ${copied.join(', ')} are copies of its own.`);
    else if (copies > 1 && instance.disks.some(({ source, readOnly }) => source !== undefined && !readOnly))
      sentences.push('Both copies write to the same disks: what is on them may be damaged.');
    if (instance.reason === 'migration-canceled')
      sentences.push('libvirt let it run again after it took the migration for failed.');
    return sentences;
  };

  const endBeside = async (half: Placed, other: Placed, signal: AbortSignal): Promise<void> => {
    await apart(half, other, signal);
    await linkOf(half.hostId).power.end(half.instance.uuid, bounded(signal));
  };

  /** What tells two definitions of one VM apart. */
  const definitionKnowledge = async (found: Vm, each: Placed, signal: AbortSignal): Promise<readonly string[]> => {
    if (!isOff(each) || found.instances.length === 1) return [];
    const { hostId, instance } = each;
    const disks = instance.disks.filter(({ source, readOnly }) => source?.startsWith('/') === true && !readOnly);
    const written = await Promise.all(
      disks.map(async ({ target, source = '' }) => {
        const volume = await linkOf(hostId)
          .volumes.at(source, bounded(signal))
          .catch(() => undefined);
        const at = Number(volume?.modified);
        return `Its disk ${target} is ${source}${Number.isFinite(at) ? `, last written at ${new Date(at * 1_000).toISOString()}` : ''}.`;
      }),
    );
    return [
      ...(instance.name === found.name ? [] : [`Its name there is ${instance.name}.`]),
      ...(deps.kept.isParked(found.uuid, hostId)
        ? ['Its definition was kept there on purpose and is not the VM.']
        : ['Ferry does not know why its definition is there.']),
      ...written,
    ];
  };

  const remainsOf = async (
    found: Vm,
  ): Promise<readonly (Remain & { readonly act?: (signal: AbortSignal) => Promise<void> })[]> => {
    const [last] = await deps.migrationsOf(found.uuid);
    const silent =
      last === undefined
        ? []
        : [last.from, ...(last.to === undefined ? [] : [last.to])].filter(({ id }) => !deps.answers(id));
    const runsElsewhere = (one: Placed): Placed | undefined =>
      found.instances.find((other) => other !== one && isActive(other) && !isLostHalf(other) && !holdsMemory(other));
    const halves = found.instances.flatMap((each) => {
      const host = hostNameOf(each.hostId);
      const what = `a half of a migration, ${each.instance.state} (${each.instance.reason})`;
      if (holdsMemory(each))
        return [
          {
            kind: 'half' as const,
            host,
            what,
            remedy: 'Left alone: it holds memory that no other copy has.',
            settles: false,
          },
        ];
      if (!isLostHalf(each)) return [];
      const other = runsElsewhere(each);
      if (other !== undefined) {
        return [
          {
            kind: 'half' as const,
            host,
            what,
            remedy: `Ended: ${found.name} is ${other.instance.state} on ${hostNameOf(other.hostId)}.`,
            settles: true,
            act: (signal: AbortSignal) => endBeside(each, other, signal),
          },
        ];
      }
      if (silent.length > 0)
        return [
          {
            kind: 'half' as const,
            host,
            what,
            remedy: `Left alone: ${silent.map(({ name }) => name).join(', ')} does not answer, and may run the VM.`,
            settles: false,
          },
        ];
      const alone =
        found.instances.filter(isActive).length === 1 &&
        found.instances.every(({ instance }) => instance.state !== 'unknown');
      return [
        alone
          ? {
              kind: 'half' as const,
              host,
              what,
              remedy: 'Let run again: no other host has an active copy.',
              settles: true,
              act: (signal: AbortSignal) => linkOf(each.hostId).power.resume(found.uuid, bounded(signal)),
            }
          : {
              kind: 'half' as const,
              host,
              what,
              remedy: 'Left alone: Ferry cannot tell which copy is right. Settle it with "ferry vm settle".',
              settles: false,
            },
      ];
    });
    const volumes = (await deps.leftovers())
      .filter(({ vm: { uuid }, role }) => uuid === found.uuid && role === 'target')
      .map((record) => ({
        kind: 'volume' as const,
        host: record.hostName,
        what: `an unfinished copy, ${record.path}, of migration ${record.migration}`,
        remedy: 'Deleted.',
        settles: true,
        act: (signal: AbortSignal) => deps.purge(record, bounded(signal)),
      }));
    return [...halves, ...volumes];
  };

  /** Nothing is ended by what a host said some time ago: the copy that is to stay may have ended since. */
  const lookAgain = async (ref: string, signal: AbortSignal): Promise<Vm> => {
    const found = vm(ref);
    await Promise.all(found.instances.map(({ hostId }) => deps.refresh(hostId, found, bounded(signal))));
    return vm(found.uuid);
  };

  return {
    async copies(ref, signal) {
      const found = vm(ref);
      const history = await deps.migrationsOf(found.uuid);
      const active = found.instances.filter(isActive).length;
      const copyOf = async (each: Placed): Promise<Copy> => ({
        host: hostNameOf(each.hostId),
        role: each.role,
        state: each.instance.state,
        reason: each.instance.reason,
        persistent: each.instance.persistent,
        knowledge: [...knowledgeOf(each, history, active), ...(await definitionKnowledge(found, each, signal))],
      });
      return Promise.all(found.instances.map(copyOf));
    },
    async settle(ref, keep, signal) {
      const found = await lookAgain(ref, signal);
      idle(found);
      const kept = found.instances.find(({ hostId }) => hostId === deps.hostIdOf(keep));
      const others = found.instances.filter((each) => each !== kept && isActive(each));
      if (kept === undefined) throw new FerryError('request-invalid', `${keep} has no copy of ${found.name}.`);
      if (!isActive(kept) && (!isOff(kept) || found.instances.some(isActive)))
        throw new FerryError('request-invalid', `${keep} has no active copy of ${found.name}.`);
      const stray = found.instances.filter(
        (each) => each !== kept && isOff(each) && !deps.kept.isParked(found.uuid, each.hostId),
      );
      const conflict = found.instances.some(({ role }) => role === 'conflict');
      // the definition beside a transient guest is its home
      const parks = conflict || kept.instance.persistent ? stray : [];
      if (others.length === 0 && !conflict && (parks.length === 0 || !isActive(kept)))
        throw new FerryError(
          'vm-not-in-conflict',
          `${found.name} is not in conflict: the VM is the copy on ${hostNameOf(found.hostId)}.`,
        );
      const needed = others.find(holdsMemory);
      if (needed !== undefined)
        throw new FerryError(
          'copy-needed',
          `${found.name} on ${hostNameOf(needed.hostId)} is the source of a post-copy.`,
        );
      for (const each of [...others, ...parks]) await apart(kept, each, signal);
      for (const each of others) await linkOf(each.hostId).power.end(found.uuid, bounded(signal));
      // what is left of an ended copy is a definition that may start by itself
      const left = kept.instance.persistent ? others.filter(({ instance }) => instance.persistent) : [];
      for (const { hostId } of [...parks, ...left]) {
        await linkOf(hostId).definitions.setAutostart(found.uuid, false, bounded(signal));
        await deps.kept.park(found.uuid, hostId);
      }
      if (isOff(kept)) await deps.kept.unpark(found.uuid, kept.hostId);
      // it may have been paused until this was settled
      if (kept.instance.state === 'paused') await linkOf(kept.hostId).power.resume(found.uuid, bounded(signal));
      for (const { hostId } of found.instances) await deps.refresh(hostId, found, bounded(signal));
      deps.changed();
      return vm(found.uuid);
    },
    remains: async (ref) => (await remainsOf(vm(ref))).map(plain),
    async cleanup(ref, signal) {
      const found = await lookAgain(ref, signal);
      idle(found);
      const items = await remainsOf(found);
      for (const { act } of items) await act?.(signal);
      for (const { hostId } of found.instances)
        await deps.refresh(hostId, found, bounded(signal)).catch(() => undefined);
      return items.map(plain);
    },
  };
}

const plain = ({ kind, host, what, remedy, settles }: Remain): Remain => ({ kind, host, what, remedy, settles });
