/**
 * For an operator who has to put right what Ferry could not prevent: two running copies of a VM, two definitions of it
 * that are shut off, and what interrupted migrations left of it. What is said of each and what is done, core decides
 * (core/src/repair); here the hosts are asked again first, and the steps are carried out.
 */
import {
  disksToDate,
  FerryError,
  isClosing,
  isCopyOff,
  knowledgeOf,
  refuseWhileMoved,
  remainsOf,
  settlement,
  type HostId,
  type Instance,
  type Migration,
  type Placed,
  type Remain,
  type RemainWithSteps,
  type RepairStep,
  type Vm,
  type VolumeRecord,
} from '@ferry/core';
import type { KeptInstances } from './kept-instances.ts';
import type { Clock, HostLink } from '../ports/ports.ts';
import { proveApart } from './two-machines.ts';

export interface Copy {
  readonly host: string;
  readonly role: string;
  readonly state: Instance['state'];
  readonly reason: Instance['reason'];
  readonly persistent: boolean;
  readonly knowledge: readonly string[];
}

export interface SettleDeps {
  readonly clock: Pick<Clock, 'timeout'>;
  readonly vm: (ref: string) => Vm;
  readonly hostNameOf: (id: string) => string;
  readonly hostIdOf: (ref: string) => HostId;
  readonly linkOf: (hostId: string) => Pick<HostLink, 'inventory' | 'power' | 'definitions' | 'volumes'>;
  /** The host is connected. */
  readonly answers: (hostId: string) => boolean;
  readonly active: () => readonly Migration[];
  /** Finished ones of the VM, newest first. */
  readonly migrationsOf: (vm: string) => Promise<readonly Migration[]>;
  readonly leftovers: () => Promise<readonly VolumeRecord[]>;
  readonly purge: (record: VolumeRecord, signal: AbortSignal) => Promise<void>;
  readonly refresh: (hostId: string, vm: Vm, signal: AbortSignal) => Promise<void>;
  readonly kept: Pick<KeptInstances, 'isParked' | 'park' | 'unpark'>;
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

const settleTimeoutMs = 60_000;

export function createSettle(deps: SettleDeps): Settle {
  const { vm, hostNameOf, linkOf } = deps;
  const bounded = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, deps.clock.timeout(settleTimeoutMs)]);
  const idle = (found: Vm, active = deps.active()): void => refuseWhileMoved(found, active);
  const sideOf = (host: HostId) => ({ name: hostNameOf(host), link: linkOf(host) });

  const writtenAt = async (found: Vm, each: Placed, signal: AbortSignal): Promise<Map<string, number | undefined>> => {
    const looked = disksToDate(found, each).map(async ({ path }) => {
      const volume = await linkOf(each.hostId)
        .volumes.at(path, bounded(signal))
        .catch(() => undefined);
      const at = Number(volume?.modified);
      return [path, Number.isFinite(at) ? at : undefined] as const;
    });
    return new Map(await Promise.all(looked));
  };

  const carryOut = async ({ uuid }: Vm, step: RepairStep, signal: AbortSignal): Promise<void> => {
    switch (step.type) {
      case 'prove-apart':
        return proveApart(sideOf(step.hosts[0]), sideOf(step.hosts[1]), bounded(signal));
      case 'end':
        return linkOf(step.host).power.end(uuid, bounded(signal));
      case 'park':
        await linkOf(step.host).definitions.setAutostart(uuid, false, bounded(signal));
        return deps.kept.park(uuid, step.host);
      case 'unpark':
        return deps.kept.unpark(uuid, step.host);
      case 'resume':
        return linkOf(step.host).power.resume(uuid, bounded(signal));
      case 'delete-volume':
        return deps.purge(step.record, bounded(signal));
    }
  };

  const remainsNow = async (found: Vm): Promise<readonly RemainWithSteps[]> => {
    const [last] = await deps.migrationsOf(found.uuid);
    return remainsOf(found, { last, leftovers: await deps.leftovers(), answers: deps.answers, hostNameOf });
  };

  /** Also by a file that libvirt has not noticed. */
  const isSaved = async ({ uuid }: Vm, each: Placed, signal: AbortSignal): Promise<boolean> =>
    isCopyOff(each) && (await linkOf(each.hostId).definitions.describe(uuid, bounded(signal))).saved;
  const savedOn = async (found: Vm, signal: AbortSignal): Promise<ReadonlySet<HostId>> => {
    const saved = found.instances.map(async (each) => ((await isSaved(found, each, signal)) ? [each.hostId] : []));
    return new Set((await Promise.all(saved)).flat());
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
      const copyOf = async (each: Placed): Promise<Copy> => ({
        host: hostNameOf(each.hostId),
        role: each.role,
        state: each.instance.state,
        reason: each.instance.reason,
        persistent: each.instance.persistent,
        knowledge: knowledgeOf(found, each, {
          history,
          parked: deps.kept.isParked(found.uuid, each.hostId),
          saved: await isSaved(found, each, signal).catch(() => false),
          writtenAt: await writtenAt(found, each, signal),
        }),
      });
      return Promise.all(found.instances.map(copyOf));
    },
    async settle(ref, keep, signal) {
      const found = await lookAgain(ref, signal);
      // one that only tells hooks of its end has decided where the VM is
      idle(
        found,
        deps.active().filter((each) => !isClosing(each)),
      );
      const saved = await savedOn(found, signal);
      const decided = settlement(
        found,
        { id: deps.hostIdOf(keep), called: keep },
        {
          isParked: (host) => deps.kept.isParked(found.uuid, host),
          isSaved: (host) => saved.has(host),
          hostNameOf,
        },
      );
      if ('refusal' in decided) throw new FerryError(decided.refusal.code, decided.refusal.message);
      for (const step of decided.steps) await carryOut(found, step, signal);
      for (const { hostId } of found.instances) await deps.refresh(hostId, found, bounded(signal));
      return vm(found.uuid);
    },
    remains: async (ref) => (await remainsNow(vm(ref))).map(plain),
    async cleanup(ref, signal) {
      const found = await lookAgain(ref, signal);
      idle(found);
      const items = await remainsNow(found);
      for (const { steps } of items) for (const step of steps) await carryOut(found, step, signal);
      for (const { hostId } of found.instances)
        await deps.refresh(hostId, found, bounded(signal)).catch(() => undefined);
      return items.map(plain);
    },
  };
}

const plain = ({ kind, host, what, remedy, settles }: Remain): Remain => ({ kind, host, what, remedy, settles });
