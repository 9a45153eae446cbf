/**
 * The batches of the fleet: drains and restores. They are stored before anything begins, carried out by what core
 * decides, and taken up again after a restart. A migration begins in the transaction that notes it in its batch, so a
 * batch that was cancelled starts nothing more.
 */
import {
  batchId,
  batchName,
  drainToRestore,
  FerryError,
  hasEnded,
  hostAfter,
  inOrder,
  memberOf,
  refuseDrain,
  resolve,
  restoreMembers,
  stepBatch,
  wayOf,
  type Batch,
  type BatchEffect,
  type BatchEvent,
  type BatchId,
  type BatchMember,
  type HostId,
  type HostRef,
  type Migration,
  type RequestedBy,
  type SeenVm,
  type Vm,
  type VmUuid,
} from '@ferry/core';
import type { KnownHosts } from '../fleet/hosts.ts';
import type { Fleet } from '../fleet/vms.ts';
import type { Migrations } from '../migration/migrations.ts';
import type { Clock, IntentStore, Log } from '../ports/ports.ts';
import type { Along } from '../state/first-answers.ts';
import { collection, document, type Stored } from '../state/collection.ts';
import { requestOf, withProposals, type Proposal } from './propose.ts';

const lookEveryMs = 1_000;
/** For a host to say which domains are active, and for a guest to be asked to stop or start. */
const hostPatienceMs = 20_000;
const planPatienceMs = 120_000;
/** Batches that have ended and are kept. */
const endedKept = 500;

export interface DrainRequest {
  readonly hosts: readonly string[];
  readonly deadlineAt?: number;
  readonly force: boolean;
}

export interface Batches {
  /** Newest first. */
  all(): readonly Batch[];
  revisionOf(id: string): number;
  /** Throws FerryError `drain-unknown`, `drain-ambiguous`. */
  find(ref: string): Batch;
  /** What a drain would do. Nothing is touched. */
  planDrain(request: DrainRequest, by: RequestedBy): Promise<Batch>;
  drain(request: DrainRequest, by: RequestedBy, along?: Along): Promise<Batch>;
  /** Brings back what left this host by its last drain. Throws FerryError `drain-none`, `host-draining`. */
  restore(ref: string, by: RequestedBy, along?: Along): Promise<Batch>;
  /** Running migrations go on to their ends, or are aborted. Throws FerryError `drain-finished`. */
  cancel(ref: string, abort: boolean): Promise<Batch>;
  retry(ref: string): Promise<Batch>;
  /** One of its migrations has changed. */
  changed(migration: Migration): void;
  /** Takes up what an earlier control plane left unfinished. */
  recover(): Promise<void>;
  stop(): Promise<void>;
}

export interface BatchesDeps {
  readonly intents: IntentStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly knownHosts: Pick<KnownHosts, 'host' | 'hosts' | 'follower' | 'linkOf' | 'serve' | 'nameOf'>;
  readonly fleet: Pick<Fleet, 'get' | 'on'>;
  readonly labelsOf: (vm: VmUuid) => readonly string[];
  readonly migrations: Pick<Migrations, 'start' | 'find' | 'active' | 'abort' | 'propose'>;
  readonly published: (batch: Batch, revision: number) => void;
}

const decodeBatch = document<Batch>({
  id: 'string',
  name: 'string',
  kind: 'string',
  phase: 'string',
  members: 'array',
});
const refOf = ({ id, name }: HostRef): HostRef => ({ id, name });

export function createBatches(deps: BatchesDeps): Batches {
  const { clock, log, knownHosts, migrations } = deps;
  const stored = collection(deps.intents, 'batches/', decodeBatch);
  const held = new Map<string, Stored<Batch>>();
  const stopping = new AbortController();
  const wakes = new Map<string, AbortController>();
  const drives = new Map<string, Promise<void>>();
  const turns = new Map<string, Promise<unknown>>();
  /** To be cancelled once their round has ended: it begins nothing more. */
  const cancelling = new Set<string>();

  /** One after the other, for each batch. */
  const inTurn = async <T>(id: string, work: () => Promise<T>): Promise<T> => {
    const before = turns.get(id);
    const now = (async () => {
      await before?.catch(() => undefined);
      return work();
    })();
    turns.set(id, now);
    return now;
  };
  const heldOf = (id: string): Stored<Batch> => {
    const found = held.get(id);
    if (found === undefined) throw new FerryError('drain-unknown', `There is no drain "${id}".`);
    return found;
  };
  const all = (): readonly Batch[] =>
    [...held.values()].map(({ value }) => value).toSorted((a, b) => (a.id < b.id ? 1 : -1));
  const find = (ref: string): Batch =>
    resolve(all(), ref, { kind: 'drain', id: ({ id }) => id, name: ({ name }) => name, describe: ({ name }) => name });
  const took = (value: Batch, revision: number): void => {
    held.set(value.id, { key: value.id, value, revision });
    deps.published(value, revision);
  };

  /** With the state of its hosts, in one transaction. */
  const store = async (batch: Batch, before: Stored<Batch> | undefined, along: Along = () => []): Promise<void> => {
    if (before !== undefined && JSON.stringify(before.value) === JSON.stringify(batch)) return;
    const hosts = batch.hosts.filter(({ id }) => knownHosts.follower(id) !== undefined).map(({ id }) => id);
    const others = along(batch.id);
    const revision = await knownHosts.serve(
      hosts,
      // a restore opens its host once: what its operator does to it afterwards stands
      (host) =>
        batch.kind === 'restore' && before !== undefined && !hasEnded(before.value)
          ? host
          : hostAfter(batch, host, clock.now()),
      async () => [stored.put(batch.id, batch, before?.revision ?? 0), ...others],
    );
    took(batch, revision);
  };
  const step = async (id: string, event: BatchEvent): Promise<readonly BatchEffect[]> => {
    const before = heldOf(id);
    const { batch, effects } = stepBatch(before.value, event, clock.now());
    try {
      await store(batch, before);
    } catch (error) {
      // the answer may be lost, and not the write
      const now = await stored.get(id);
      if (now !== undefined && now.revision !== before.revision) took(now.value, now.revision);
      throw error;
    }
    return effects;
  };

  const seen = (vm: Vm): SeenVm => ({
    uuid: vm.uuid,
    name: vm.name,
    memoryBytes: vm.memoryBytes,
    host: { id: vm.hostId, name: knownHosts.nameOf(vm.hostId) },
    isPersistent: vm.instances.some(({ hostId, instance }) => hostId === vm.hostId && instance.persistent),
    isActive: vm.state !== 'shut-off' && vm.state !== 'crashed',
    ...wayOf(deps.labelsOf(vm.uuid)),
    ...(vm.currentMigration === undefined ? {} : { migration: vm.currentMigration }),
  });
  const vmsOn = (hosts: readonly HostRef[]): readonly SeenVm[] =>
    hosts.flatMap(({ id }) => [...deps.fleet.on(id)]).map(seen);
  const vmOf = (uuid: VmUuid): SeenVm | undefined => {
    const vm = deps.fleet.get(uuid);
    return vm === undefined ? undefined : seen(vm);
  };
  const vmsOf = ({ kind, hosts, members }: Pick<Batch, 'kind' | 'hosts' | 'members'>): readonly SeenVm[] => {
    const found = [...(kind === 'drain' ? vmsOn(hosts) : []), ...members.flatMap(({ vm }) => vmOf(vm.uuid) ?? [])];
    return [...new Map(found.map((vm) => [vm.uuid, vm])).values()];
  };
  const silentOf = ({ members, hosts }: Batch): readonly HostRef[] =>
    [...new Map([...hosts, ...members.map(({ from }) => from)].map((host) => [host.id, host])).values()].filter(
      ({ id }) => knownHosts.follower(id)?.view().state !== 'connected',
    );

  /** What has become of the migrations that ended meanwhile, also while no control plane ran. */
  const settle = async (id: string): Promise<void> => {
    const active = new Set(migrations.active().map((migration) => migration.id));
    for (const { vm, state, migration } of heldOf(id).value.members) {
      if (state !== 'moving' || migration === undefined || active.has(migration)) continue;
      const ended = await migrations.find(migration);
      // its end is not stored yet
      if (ended.outcome === undefined) continue;
      await step(id, {
        type: 'ended',
        vm: vm.uuid,
        outcome: ended.outcome,
        ...(ended.to === undefined ? {} : { to: ended.to }),
        ...(ended.error === undefined ? {} : { message: ended.error.message }),
      });
    }
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
    const proposals = await migrations.propose([member], closed, clock.timeout(planPatienceMs));
    return proposals.get(member.vm.uuid) ?? {};
  };
  /** The proposed host first; after a failure one that was not tried. */
  const targetOf = async (batch: Batch, member: BatchMember): Promise<{ to?: string; preferHost?: string }> => {
    if (batch.kind === 'restore') return member.to === undefined ? {} : { to: member.to.name };
    if (member.tried !== undefined && member.tried.length > 0) {
      const { to, note } = await proposalFor(batch, member);
      if (to === undefined) throw new FerryError('migration-refused', note ?? 'No other host can take it.');
      return { to: to.name };
    }
    const known = member.to !== undefined && knownHosts.follower(member.to.id) !== undefined;
    return known && member.to !== undefined ? { preferHost: member.to.name } : {};
  };
  const begin = async (id: string, member: BatchMember): Promise<void> => {
    const { value: batch } = heldOf(id);
    const by: RequestedBy = {
      actor: batch.actor,
      client: batch.client,
      origin: batch.kind,
      batch: { id, name: `${batch.kind}-${batch.kind === 'drain' ? member.from.name : (batch.hosts[0]?.name ?? '')}` },
    };
    try {
      let next = batch;
      const migration = await migrations.start(
        { vm: member.vm.uuid, ...requestOf(member), ...(await targetOf(batch, member)) },
        by,
        (migrationId) => {
          if (cancelling.has(id)) throw new FerryError('store-conflict', `${batch.name} is being cancelled.`);
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
      if (cancelling.has(id)) return;
      // its turn comes after that
      if (error instanceof FerryError && error.code === 'vm-already-migrating') return;
      await step(id, { type: 'refused', vm: member.vm.uuid, message: reasonOf(error) });
    }
  };
  const confirm = async (id: string): Promise<void> => {
    const active = new Map<HostId, ReadonlySet<VmUuid>>();
    const { hosts } = heldOf(id).value;
    const coming = migrations
      .active()
      .find(({ phase, to }) => phase !== 'queued' && hosts.some((host) => host.id === to?.id));
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
    void (await step(id, { type: 'refused', vm, message: 'It was not asked to shut down.' }));
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
            await step(id, { type: 'refused', vm: vm.uuid, message: proposal.note ?? 'No host can take it.' });
            return;
          }
        }
        if (cancelling.has(id)) return notAsked(id, vm.uuid);
        return knownHosts.linkOf(from.id).power.shutdown(vm.uuid, clock.timeout(hostPatienceMs));
      }
      case 'start': {
        const { vm, from } = effect.member;
        try {
          await knownHosts.linkOf(from.id).power.start(vm.uuid, clock.timeout(hostPatienceMs));
          await step(id, { type: 'started', vm: vm.uuid });
        } catch (error) {
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
  const round = async (id: string): Promise<void> => {
    await settle(id);
    const { value } = heldOf(id);
    const effects = await step(id, { type: 'looked', vms: vmsOf(value), silent: silentOf(value) });
    for (const effect of effects) {
      if (cancelling.has(id) || stopping.signal.aborted) {
        if (effect.do === 'shut-down') await notAsked(id, effect.member.vm.uuid);
        continue;
      }
      await carryOut(id, effect).catch((error: unknown) => {
        if (!stopping.signal.aborted) log.warn({ err: error, batch: value.name }, `${effect.do} was not done`);
      });
    }
  };
  const drive = async (id: string): Promise<void> => {
    while (!stopping.signal.aborted && !hasEnded(heldOf(id).value)) {
      const wake = new AbortController();
      wakes.set(id, wake);
      await inTurn(id, () => round(id)).catch((error: unknown) => {
        if (!stopping.signal.aborted)
          log.error({ err: error, batch: id }, 'a batch could not go on; it is tried again');
      });
      await clock.sleep(lookEveryMs, AbortSignal.any([stopping.signal, wake.signal])).catch(() => undefined);
    }
    wakes.delete(id);
    drives.delete(id);
    await prune().catch((error: unknown) => log.warn({ err: error }, 'old batches could not be removed'));
  };
  const go = (id: string): void => {
    wakes.get(id)?.abort();
    if (!drives.has(id) && !hasEnded(heldOf(id).value)) drives.set(id, drive(id));
  };
  const prune = async (): Promise<void> => {
    for (const { id } of all().filter(hasEnded).slice(endedKept)) {
      const old = held.get(id);
      held.delete(id);
      if (old !== undefined) await stored.commit([stored.delete(id, old.revision)]);
    }
  };

  const newId = (): BatchId => batchId(`${clock.now().toString(36)}${clock.randomText(5)}`);
  const planned = async (
    { hosts: refs, deadlineAt, force }: DrainRequest,
    { actor, client }: RequestedBy,
  ): Promise<Batch> => {
    const views = refs.map((ref) => knownHosts.host(ref));
    refuseDrain(
      { hosts: views, force, ...(deadlineAt === undefined ? {} : { deadlineAt }) },
      knownHosts.hosts(),
      clock.now(),
    );
    const hosts = views.map(({ host }) => refOf(host));
    const id = newId();
    const batch: Batch = {
      id,
      name: batchName('drain', hosts, id),
      kind: 'drain',
      actor,
      client,
      hosts,
      startedAt: clock.now(),
      ...(deadlineAt === undefined ? {} : { deadlineAt }),
      phase: 'running',
      members: vmsOn(hosts)
        .filter(({ isActive }) => isActive)
        .map(memberOf),
    };
    return withProposals(batch, inOrder(batch.members), migrations.propose, clock.timeout(planPatienceMs));
  };
  const command = async (ref: string, event: BatchEvent): Promise<Batch> => {
    const { id } = find(ref);
    if (event.type === 'cancel-requested') cancelling.add(id);
    try {
      return await inTurn(id, async () => {
        await step(id, event);
        return heldOf(id).value;
      });
    } finally {
      cancelling.delete(id);
      go(id);
    }
  };

  return {
    all,
    find,
    revisionOf: (id) => held.get(id)?.revision ?? 0,
    planDrain: planned,
    async drain(request, by, along) {
      const batch = await planned(request, by);
      await store(batch, undefined, along);
      go(batch.id);
      return batch;
    },
    async restore(ref, { actor, client }, along) {
      const { host } = knownHosts.host(ref);
      const drain = drainToRestore(all(), host.id);
      if (drain === undefined)
        throw new FerryError(
          'drain-none',
          `No VM has left ${host.name} by a drain, so there is nothing to bring back.`,
        );
      const id = newId();
      const home = refOf(host);
      const batch: Batch = {
        id,
        name: batchName('restore', [home], id),
        kind: 'restore',
        actor,
        client,
        hosts: [home],
        of: drain.id,
        startedAt: clock.now(),
        phase: 'running',
        members: restoreMembers(drain, home, vmsOf(drain)),
      };
      await store(batch, undefined, along);
      go(id);
      return batch;
    },
    cancel: (ref, abort) => command(ref, { type: 'cancel-requested', abort }),
    retry: (ref) => command(ref, { type: 'retry-requested' }),
    changed({ batch, outcome }) {
      if (batch !== undefined && outcome !== undefined) wakes.get(batch.id)?.abort();
    },
    async recover() {
      for (const each of (await stored.list()).items) held.set(each.key, each);
      for (const { id, phase } of all()) if (!hasEnded({ phase })) go(id);
    },
    async stop() {
      stopping.abort(new Error('the control plane stops'));
      await Promise.all(drives.values());
    },
  };
}
