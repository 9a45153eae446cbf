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
  type Batch,
  type BatchEffect,
  type BatchEvent,
  type BatchId,
  type HostRef,
  type Migration,
  type RequestedBy,
} from '@ferry/core';
import type { Along } from '../state/first-answers.ts';
import { collection, document, type Stored } from '../state/collection.ts';
import { carryOutOf, planPatienceMs } from './carry-out.ts';
import type { BatchesDeps } from './deps.ts';
import { lookAt } from './looking.ts';
import { withProposals } from './propose.ts';

const lookEveryMs = 1_000;
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
      (host) => hostAfter(batch, host, clock.now(), before?.value),
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

  const { vmsOf, vmsOn, silentOf } = lookAt(deps);
  const { carryOut, notAsked } = carryOutOf({
    ...deps,
    stored,
    heldOf,
    took,
    step,
    isCancelling: (id) => cancelling.has(id),
  });

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
