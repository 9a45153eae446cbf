/**
 * The batches of the fleet: drains and restores. They are stored before anything begins, carried out by what core
 * decides, and taken up again after a restart. A migration begins in the transaction that notes it in its batch, so a
 * batch that was cancelled starts nothing more.
 */
import {
  batchId,
  batchName,
  drainToRestore,
  dueness,
  FerryError,
  forecastBatch,
  hasEnded,
  hostAfter,
  resolve,
  restoreMembers,
  stepBatch,
  withPace,
  type Batch,
  type BatchEffect,
  type BatchEvent,
  type BatchForecast,
  type BatchId,
  type Migration,
  type RequestedBy,
} from '@ferry/core';
import { createDrives } from '../time/drives.ts';
import type { Along } from '../state/first-answers.ts';
import type { Stored } from '../state/collection.ts';
import { carryOutOf, waitsForRoom } from './carry-out.ts';
import type { BatchesDeps } from './deps.ts';
import { batchDocuments } from './documents.ts';
import { watchLinks } from './links.ts';
import { lookAt } from './looking.ts';
import { measureGuests } from './measuring.ts';
import { planDrains, refOf, type DrainRequest } from './planning.ts';

const lookEveryMs = 1_000;
/** For a new batch whose commit was not answered, while the store answers that it has none. */
const looksForLate = 60;
/** Batches that have ended and are kept. */
const endedKept = 500;
/** For the guests of a plan to be measured; what is not known by then is unknown. */
const measurePatienceMs = 60_000;

export interface Batches {
  /** Newest first. */
  all(): readonly Batch[];
  revisionOf(id: string): number;
  /** Throws FerryError `drain-unknown`, `drain-ambiguous`. */
  find(ref: string): Batch;
  /** What a drain would do. Nothing is touched. */
  planDrain(request: DrainRequest, by: RequestedBy): Promise<Batch>;
  /** When its members and the whole are expected to end; undefined: nothing is left to be done. */
  forecast(batch: Batch): BatchForecast | undefined;
  drain(request: DrainRequest, by: RequestedBy, along?: Along): Promise<Batch>;
  /** Brings back what left this host by its last drain, or by this one. Throws FerryError `drain-none`, `host-draining`. */
  restore(ref: string, by: RequestedBy, along?: Along, of?: BatchId): Promise<Batch>;
  /** Running migrations go on to their ends, or are aborted. Throws FerryError `drain-finished`. */
  cancel(ref: string, abort: boolean): Promise<Batch>;
  retry(ref: string): Promise<Batch>;
  /** One of its migrations has changed. */
  changed(migration: Migration): void;
  /** Takes up what an earlier control plane left unfinished. */
  recover(): Promise<void>;
  stop(): Promise<void>;
}

export function createBatches(deps: BatchesDeps): Batches {
  const { clock, log, knownHosts, migrations } = deps;
  const stored = batchDocuments(deps.intents);
  const held = new Map<string, Stored<Batch>>();
  /** To be cancelled once their round has ended: it begins nothing more. */
  const cancelling = new Set<string>();

  const drives = createDrives({
    clock,
    everyMs: lookEveryMs,
    rests: (id) => hasEnded(heldOf(id).value),
    round: (id) => round(id),
    failed: (id, error) => log.error({ err: error, batch: id }, 'a batch could not go on; it is tried again'),
    rested: () => prune().catch((error: unknown) => log.warn({ err: error }, 'old batches could not be removed')),
  });
  const { inTurn, go, wake, stopping } = drives;
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
    const isBeginning = batch.kind === 'drain' && batch.phase === 'running' && before?.value.phase !== 'running';
    const revision = await knownHosts.serve(
      hosts,
      (host) => hostAfter(batch, host, clock.now(), before?.value),
      async () => [
        stored.put(batch.id, batch, before?.revision ?? 0),
        ...others,
        ...(isBeginning ? await guards(batch) : []),
      ],
    );
    took(batch, revision);
  };
  /** Written without an answer: its hosts were written with it. */
  const tookUnanswered = async ({ value, revision }: Stored<Batch>): Promise<void> => {
    took(value, revision);
    const hosts = value.hosts.filter(({ id }) => knownHosts.follower(id) !== undefined).map(({ id }) => id);
    await knownHosts.serve(hosts, (host) => host);
  };
  /** Of a new one: the answer may be lost, and not the write. Rejects with the error where it is not stored. */
  const takeIfStored = async (id: string, error: unknown): Promise<void> => {
    const now = await stored.get(id).catch(() => undefined);
    if (now !== undefined) return tookUnanswered(now);
    if (error instanceof FerryError && error.code === 'store-unavailable') void takeLater(id);
    throw error;
  };
  /** What is on its way to the store may still arrive; then it is carried out, as after a restart. */
  const takeLater = async (id: string): Promise<void> => {
    for (let absent = 0; absent < looksForLate && !held.has(id);) {
      try {
        await clock.sleep(lookEveryMs, stopping);
        const now = await stored.get(id);
        absent += 1;
        if (now === undefined) continue;
        await tookUnanswered(now);
        go(id);
      } catch (error) {
        if (stopping.aborted) return;
        log.warn({ err: error, batch: id }, 'whether a batch is stored cannot be seen; it is looked at again');
      }
    }
  };
  const step = async (id: string, event: BatchEvent): Promise<readonly BatchEffect[]> => {
    const before = heldOf(id);
    const { batch, effects } = stepBatch(before.value, event, clock.now());
    try {
      await store(batch, before);
    } catch (error) {
      // the answer may be lost, and not the write
      const now = await stored.get(id);
      if (now !== undefined && now.revision !== before.revision) await tookUnanswered(now);
      throw error;
    }
    return effects;
  };

  const measuring = measureGuests(deps, stopping);
  const links = watchLinks(deps);
  const { vmsOf, vmsOn, silentOf } = lookAt({ ...deps, measuring });
  const { planned, homeward, due, guards } = planDrains({ ...deps, vmsOn });
  const { carryOut, notAsked } = carryOutOf({
    ...deps,
    measuring,
    stored,
    heldOf,
    took,
    step,
    isCancelling: (id) => cancelling.has(id),
  });

  /** What has become of the migrations that ended meanwhile, also while no control plane ran. */
  const settle = async (id: string): Promise<void> => {
    const active = new Set(migrations.active().map((migration) => migration.id));
    for (const member of heldOf(id).value.members) {
      const { vm, state, migration } = member;
      if (state !== 'moving' || migration === undefined || active.has(migration)) continue;
      const found = await migrations.takenOver(migration).then(
        (ended) => ({ ended }),
        (error: unknown) => {
          // the others do not wait for it
          log.warn({ err: error, batch: id, migration }, 'what became of a migration of a batch cannot be read');
          return undefined;
        },
      );
      if (found === undefined) continue;
      const { ended } = found;
      if (ended === undefined) {
        await step(id, {
          type: 'ended',
          vm: vm.uuid,
          outcome: 'failed',
          message: `Nothing is stored of its migration ${migration} any more.`,
        });
        continue;
      }
      // its end is not stored yet
      if (ended.outcome === undefined) continue;
      const { error } = ended;
      if (error?.code === 'migration-refused' && waitsForRoom(member, error.reasons)) {
        // others were given the room between its request and its turn
        await step(id, { type: 'refused', vm: vm.uuid, message: error.message, waits: true });
        continue;
      }
      await step(id, {
        type: 'ended',
        vm: vm.uuid,
        outcome: ended.outcome,
        ...(ended.to === undefined ? {} : { to: ended.to }),
        ...(ended.error === undefined ? {} : { message: ended.error.message }),
      });
    }
  };

  /** Once its time has come. What refuses it then may pass. */
  const beginDue = async (id: string): Promise<void> => {
    const { value } = heldOf(id);
    const is = dueness(value, clock.now());
    if (is === 'early') return;
    if (is === 'late') {
      const message = value.attention ?? 'no control plane ran at its time.';
      await step(id, { type: 'not-begun', message: message.replace(/^It cannot begin: /, '') });
      return;
    }
    try {
      const { members } = await due(value);
      if (!cancelling.has(id)) await step(id, { type: 'due', members });
    } catch (error) {
      if (!(error instanceof FerryError) || error.code.startsWith('store-')) throw error;
      await step(id, { type: 'not-begun', message: error.message });
    }
  };
  const round = async (id: string): Promise<void> => {
    if (heldOf(id).value.phase === 'scheduled') return beginDue(id);
    await settle(id);
    const { value } = heldOf(id);
    const lanes = links.lanesOf(value);
    // within a blackout period nobody's turn comes
    if (lanes.every(({ blackout }) => blackout === undefined)) measuring.begin(value, () => wake(id));
    const effects = await step(id, {
      type: 'looked',
      vms: vmsOf(value),
      silent: silentOf(value),
      lanes,
    });
    for (const effect of effects) {
      if (cancelling.has(id) || stopping.aborted) {
        if (effect.do === 'shut-down') await notAsked(id, effect.member.vm.uuid);
        continue;
      }
      await carryOut(id, effect).catch((error: unknown) => {
        if (!stopping.aborted) log.warn({ err: error, batch: value.name }, `${effect.do} was not done`);
      });
    }
  };
  const prune = async (): Promise<void> => {
    const emptied = new Set(knownHosts.hosts().map(({ host }) => host.service?.drain?.id));
    for (const { id } of all().filter(hasEnded).slice(endedKept)) {
      const old = held.get(id);
      if (old === undefined || emptied.has(id) || deps.isNeeded(id)) continue;
      await stored.commit([stored.delete(id, old.revision)]);
      held.delete(id);
    }
  };

  const newId = (): BatchId => batchId(`${clock.now().toString(36)}${clock.randomText(5)}`);
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
    async planDrain(request, by) {
      const batch = await planned(request, by, newId());
      await measuring.all(batch.members, clock.timeout(measurePatienceMs));
      return withPace(batch, vmsOf(batch), links.lanesOf(batch), Math.max(clock.now(), batch.beginsAt ?? 0));
    },
    forecast: (batch) => {
      const moving = new Map(migrations.active().map((migration) => [migration.id, migration]));
      return forecastBatch(
        batch,
        {
          lanes: links.lanesOf(batch),
          policyOf: deps.policyOf,
          remainingMs: ({ migration }) =>
            migration === undefined ? undefined : moving.get(migration)?.progress?.etaMs,
        },
        clock.now(),
      );
    },
    async drain(request, by, along) {
      // they are measured while their targets are looked for
      const batch = await planned(request, by, newId(), (known) => {
        if (known.phase === 'running') measuring.begin(known, () => wake(known.id));
      });
      await store(batch, undefined, along).catch((error: unknown) => takeIfStored(batch.id, error));
      go(batch.id);
      return batch;
    },
    async restore(ref, { actor, client }, along, of) {
      const { host } = knownHosts.host(ref);
      const drain = drainToRestore(of === undefined ? all() : [find(of)], host.id);
      if (drain === undefined)
        throw new FerryError(
          'drain-none',
          `No VM has left ${host.name} by a drain, so there is nothing to bring back.`,
        );
      const id = newId();
      const home = refOf(host);
      const bare: Batch = {
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
      const batch = await homeward(bare);
      await store(batch, undefined, along).catch((error: unknown) => takeIfStored(id, error));
      go(id);
      return batch;
    },
    cancel: (ref, abort) => command(ref, { type: 'cancel-requested', abort }),
    retry: (ref) => command(ref, { type: 'retry-requested' }),
    changed({ batch, outcome, phase }) {
      // the next one may use the link
      if (batch !== undefined && (outcome !== undefined || phase === 'switching' || phase === 'verifying'))
        wake(batch.id);
    },
    async recover() {
      for (const each of (await stored.list()).items) held.set(each.key, each);
      for (const { id, phase } of all()) if (!hasEnded({ phase })) go(id);
    },
    stop: () => drives.stop(),
  };
}
