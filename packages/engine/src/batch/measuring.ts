/**
 * Has guests of a batch measured before their turn comes: what they write decides how many move at once. Each is measured
 * once in a while, several at the same time, and nobody waits for it but a plan. It decides nothing.
 */
import { inOrder, type Batch, type BatchMember, type HostId, type VmUuid } from '@ferry/core';
import { periodsUpTo } from '../planning/dirty-curves.ts';
import type { BatchesDeps } from './deps.ts';

/** Of each host, those whose turn comes next. */
const nextOfHost = 8;
/** For a plan, at the same time. */
const plannedAtOnce = 32;
/** The longest period of a plan, s. */
const plannedSeconds = 4;
/**
 * One period: its start is done before the guest's own migration begins, and libvirt lets a second one wait for that
 * migration.
 */
const atTurn = [1];
/** One that was not measured is not asked again within this time, ms. */
const againMs = 300_000;

export interface Measuring {
  /** Those of the members whose turn comes next; `done` is called as each has ended. */
  begin(batch: Batch, done: () => void): void;
  isMeasured(vm: VmUuid): boolean;
  /** Resolves once it is not being measured. */
  settled(vm: VmUuid): Promise<void>;
  /** For a plan: all of them, within the time that the signal leaves. */
  all(members: readonly BatchMember[], signal: AbortSignal): Promise<void>;
}

export function measureGuests(
  { clock, curves, fleet, knownHosts }: Pick<BatchesDeps, 'clock' | 'curves' | 'fleet' | 'knownHosts'>,
  stopping: AbortSignal,
): Measuring {
  const going = new Map<VmUuid, Promise<void>>();
  const asked = new Map<VmUuid, number>();
  const isToMeasure = ({ vm, way, from }: BatchMember): boolean =>
    way === 'live' &&
    fleet.get(vm.uuid)?.state === 'running' &&
    curves.fresh(vm) === undefined &&
    clock.now() - (asked.get(vm.uuid) ?? Number.NEGATIVE_INFINITY) >= againMs &&
    knownHosts.follower(from.id)?.view().state === 'connected';
  const measure = ({ vm, from }: BatchMember, periods: readonly number[], signal: AbortSignal): Promise<void> => {
    const known = going.get(vm.uuid);
    if (known !== undefined) return known;
    for (const [uuid, at] of asked) if (clock.now() - at >= againMs) asked.delete(uuid);
    asked.set(vm.uuid, clock.now());
    const work = (async () => {
      try {
        await curves.measureAndKeep(vm, () => knownHosts.linkOf(from.id).guest, periods, signal);
      } catch {
        // what cannot be measured is not known; what was not waited for can be asked again
        if (signal.aborted) asked.delete(vm.uuid);
      } finally {
        going.delete(vm.uuid);
      }
    })();
    going.set(vm.uuid, work);
    return work;
  };
  const measureOne = async (member: BatchMember, done: () => void): Promise<void> => {
    await measure(member, atTurn, stopping);
    done();
  };
  return {
    begin({ members }, done) {
      const perHost = new Map<HostId, number>();
      for (const member of inOrder(members)) {
        const count = perHost.get(member.from.id) ?? 0;
        if (count >= nextOfHost) continue;
        perHost.set(member.from.id, count + 1);
        if (isToMeasure(member)) void measureOne(member, done);
      }
    },
    isMeasured: (vm) => going.has(vm),
    settled: async (vm) => going.get(vm),
    async all(members, signal) {
      const bounded = AbortSignal.any([signal, stopping]);
      const left = members.filter(isToMeasure).values();
      await Promise.all(
        Array.from({ length: plannedAtOnce }, async () => {
          for (const member of left) {
            if (bounded.aborted) return;
            await measure(member, periodsUpTo(plannedSeconds), bounded);
          }
        }),
      );
    },
  };
}
