/**
 * Carries out what core decides of a batch: begins its migrations, asks guests to shut down and starts them, and asks the
 * hosts themselves whether they are empty. What comes of each goes back to core as an event.
 */
import {
  blackoutAt,
  endsAnyGuest,
  FerryError,
  isClosing,
  lacksOnlyRoom,
  stepBatch,
  wayOf,
  type Batch,
  type BatchEffect,
  type BatchEvent,
  type BatchMember,
  type HostId,
  type Migration,
  type Proposal,
  type Reason,
  type RequestedBy,
  type VmUuid,
} from '@ferry/core';
import type { Collection, Stored } from '../state/collection.ts';
import { isUnanswered } from '../migration/effects/context.ts';
import { startOnce } from '../migration/effects/start.ts';
import type { BatchesDeps } from './deps.ts';
import type { Measuring } from './measuring.ts';
import { requestOf } from './propose.ts';

/** For a host to say which domains are active, and for a guest to be asked to stop or start. */
const hostPatienceMs = 20_000;
export const planPatienceMs = 120_000;

export interface CarryOutDeps extends Pick<
  BatchesDeps,
  'clock' | 'log' | 'knownHosts' | 'migrations' | 'policyOf' | 'labelsOf' | 'clusterOf'
> {
  readonly measuring: Pick<Measuring, 'settled'>;
  readonly stored: Collection<Batch>;
  readonly heldOf: (id: string) => Stored<Batch>;
  /** This is stored now. */
  readonly took: (batch: Batch, revision: number) => void;
  readonly step: (id: string, event: BatchEvent) => Promise<readonly BatchEffect[]>;
  /** Begins nothing more. */
  readonly isCancelling: (id: string) => boolean;
}

export interface CarryOut {
  readonly carryOut: (id: string, effect: BatchEffect) => Promise<void>;
  /** Instead: the member has its turn again, or is held. */
  readonly notAsked: (id: string, vm: VmUuid) => Promise<void>;
}

/** Its host would be degraded, and has nothing else against it: that may pass. */
export const waitsForRoom = ({ neverDegrade }: BatchMember, reasons: readonly Reason[]): boolean =>
  neverDegrade === true && lacksOnlyRoom(reasons);

export function carryOutOf({ clock, log, knownHosts, migrations, ...batches }: CarryOutDeps): CarryOut {
  const { stored, heldOf, took, step, isCancelling, measuring, policyOf, labelsOf, clusterOf } = batches;
  /** Those before it may have taken minutes: its label, its deadline or a blackout period speaks against it by now. */
  const isOver = (id: string, { vm, from, way, off }: BatchMember): boolean => {
    const { kind, hosts, deadlineAt = Infinity } = heldOf(id).value;
    const now = clock.now();
    const lane = kind === 'restore' ? hosts[0]?.id : from.id;
    const { blackouts = [] } = clusterOf(lane ?? from.id);
    return (
      now >= deadlineAt ||
      (off !== true && blackoutAt(blackouts, now) !== undefined) ||
      (kind === 'drain' && off !== true && wayOf(labelsOf(vm.uuid)).way !== way)
    );
  };
  const reasonOf = (error: unknown): string => {
    if (error instanceof FerryError && error.reasons.length > 0)
      return [...new Set(error.reasons.map(({ message }) => message))].join(' ');
    return error instanceof Error ? error.message : String(error);
  };
  const proposalFor = async ({ kind, hosts }: Batch, member: BatchMember): Promise<Proposal> => {
    // a restore has but one target
    if (kind === 'restore') return member.to === undefined ? {} : { to: member.to };
    const closed = new Set(hosts.map(({ id }) => id));
    const proposals = await migrations.propose([member], { closed }, clock.timeout(planPatienceMs));
    return proposals.get(member.vm.uuid) ?? {};
  };
  /** The proposed host first; after a failure one that was not tried. */
  const targetOf = async (batch: Batch, member: BatchMember): Promise<{ to?: string; preferHost?: string }> => {
    if (batch.kind === 'restore') return member.to === undefined ? {} : { to: member.to.name };
    if (member.tried !== undefined && member.tried.length > 0) {
      const { to, note, reasons = [] } = await proposalFor(batch, member);
      if (to === undefined)
        throw new FerryError('migration-refused', note ?? 'No other host can take it.', { reasons });
      return { to: to.name };
    }
    const known = member.to !== undefined && knownHosts.follower(member.to.id) !== undefined;
    return known && member.to !== undefined ? { preferHost: member.to.name } : {};
  };
  const begin = async (id: string, member: BatchMember): Promise<void> => {
    const { value: batch } = heldOf(id);
    // the next look shows why
    if (isOver(id, member)) return;
    const by: RequestedBy = {
      actor: batch.actor,
      client: batch.client,
      origin: batch.kind,
      batch: { id, name: `${batch.kind}-${batch.kind === 'drain' ? member.from.name : (batch.hosts[0]?.name ?? '')}` },
    };
    try {
      // a migration whose policy does not end any guest's is predicted by the same measurement
      const policy = policyOf(member.vm.uuid);
      if (policy !== undefined && !endsAnyGuest(policy)) await measuring.settled(member.vm.uuid);
      let next = batch;
      const migration = await migrations.start(
        { vm: member.vm.uuid, ...requestOf(member), ...(await targetOf(batch, member)) },
        by,
        (migrationId) => {
          if (isCancelling(id)) throw new FerryError('store-conflict', `${batch.name} is being cancelled.`);
          const before = heldOf(id);
          next = stepBatch(
            before.value,
            { type: 'began', vm: member.vm.uuid, migration: migrationId as Migration['id'] },
            clock.now(),
          ).batch;
          return [stored.put(id, next, before.revision)];
        },
      );
      took(next, migration.revision ?? 0);
    } catch (error) {
      // an answer that was lost may have begun it
      const now = await stored.get(id);
      if (now !== undefined && now.revision !== heldOf(id).revision) return took(now.value, now.revision);
      if (isCancelling(id)) return;
      // its turn comes after that
      if (error instanceof FerryError && error.code === 'vm-already-migrating') return;
      const waits = error instanceof FerryError && waitsForRoom(member, error.reasons);
      await step(id, {
        type: 'refused',
        vm: member.vm.uuid,
        message: reasonOf(error),
        ...(waits ? { waits } : {}),
      });
    }
  };
  const confirm = async (id: string): Promise<void> => {
    const active = new Map<HostId, ReadonlySet<VmUuid>>();
    const { hosts } = heldOf(id).value;
    const coming = migrations
      .active()
      .find((each) => each.phase !== 'queued' && !isClosing(each) && hosts.some((host) => host.id === each.to?.id));
    if (coming !== undefined) {
      const message = `${coming.vm.name} is still being moved to ${coming.to?.name ?? 'the host'}, since before the drain.`;
      await step(id, { type: 'unconfirmed', message });
      return;
    }
    for (const host of hosts) {
      if (knownHosts.follower(host.id) === undefined) continue;
      try {
        const there = await knownHosts.linkOf(host.id).instances.all(clock.timeout(hostPatienceMs));
        const running = there.filter(({ state }) => state !== 'shut-off' && state !== 'crashed');
        active.set(host.id, new Set(running.map(({ uuid }) => uuid)));
      } catch (error) {
        log.warn({ err: error, host: host.name }, 'whether a host is empty cannot be seen');
        const message = `${host.name} does not answer, so whether it is empty is not known.`;
        await step(id, { type: 'unconfirmed', message });
        return;
      }
    }
    await step(id, { type: 'confirmed', active });
  };
  const notAsked = async (id: string, vm: VmUuid): Promise<void> =>
    void (await step(id, { type: 'refused', vm, message: 'It was not asked to shut down.', waits: true }));
  const carryOut = async (id: string, effect: BatchEffect): Promise<void> => {
    switch (effect.do) {
      case 'begin':
        return begin(id, effect.member);
      case 'shut-down': {
        const { vm, from, way } = effect.member;
        if (way === 'cold') {
          // it is shut down only for a move that can come about
          const proposal = await proposalFor(heldOf(id).value, effect.member);
          if (proposal.to === undefined) {
            const waits = waitsForRoom(effect.member, proposal.reasons ?? []);
            await step(id, {
              type: 'refused',
              vm: vm.uuid,
              message: proposal.note ?? 'No host can take it.',
              ...(waits ? { waits } : {}),
            });
            return;
          }
        }
        if (isCancelling(id) || isOver(id, effect.member)) return notAsked(id, vm.uuid);
        if (wayOf(labelsOf(vm.uuid)).way !== way) {
          const message = 'Its label says no more that it is shut down.';
          return void (await step(id, { type: 'refused', vm: vm.uuid, message }));
        }
        try {
          await knownHosts.linkOf(from.id).power.shutdown(vm.uuid, clock.timeout(hostPatienceMs));
        } catch (error) {
          if (!isUnanswered(error)) {
            const message = `It cannot be asked to shut down: ${reasonOf(error)}`;
            return void (await step(id, { type: 'refused', vm: vm.uuid, message }));
          }
        }
        await step(id, { type: 'asked', vm: vm.uuid });
        return;
      }
      case 'start': {
        const { vm, from } = effect.member;
        try {
          await startOnce(vm.uuid, knownHosts.linkOf(from.id), () => clock.timeout(hostPatienceMs));
          await step(id, { type: 'started', vm: vm.uuid });
        } catch (error) {
          // the next look shows it
          if (isUnanswered(error)) return;
          await step(id, { type: 'refused', vm: vm.uuid, message: reasonOf(error) });
        }
        return;
      }
      case 'abort':
        await migrations.abort(effect.migration);
        return;
      case 'confirm':
        return confirm(id);
    }
  };
  return { carryOut, notAsked };
}
