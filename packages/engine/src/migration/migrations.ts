/**
 * The migrations of the fleet: starts, plans, finds, follows and steers them. Whether one is possible is checked in
 * request-check.ts, and again, with the choice of a target, in choosing.ts; when it begins is decided in admission.ts;
 * it is kept in migration-records.ts.
 */
import {
  beginMigration,
  FerryError,
  isFinished,
  migrationId,
  movedByAnother,
  outcomeOf,
  queueOf,
  roomOn,
  statsOf,
  type HostId,
  type JobSample,
  type Migration,
  type MigrationRequest,
  type OperatorLimits,
  type PredictionOutcome,
  type PredictionStats,
  type QueuedMigration,
  type RequestedBy,
  type Room,
  type VmUuid,
} from '@ferry/core';
import { proposeTargets, type Propose } from '../batch/propose.ts';
import type { KeptInstances } from '../fleet/kept-instances.ts';
import type { Peers } from '../fleet/peer-reachability.ts';
import { factsTimeoutMs } from '../planning/fact-finding.ts';
import type { FactSources } from '../planning/fact-sources.ts';
import type { DirtyCurves } from '../planning/dirty-curves.ts';
import { predictAtStart, type Predicting } from '../planning/prediction.ts';
import type { IntentStore, Journal } from '../ports/ports.ts';
import type { Along } from '../state/first-answers.ts';
import { keptInMemory, migrationRecords, type Inspection } from '../state/migration-records.ts';
import { reserveInStore, type ReservationDocuments, type ReservingDeps } from '../state/reservations.ts';
import { openSteadyTime, type SteadyTime } from '../time/steady-time.ts';
import { createAdmission } from './admission.ts';
import { chooseTargets } from './choosing.ts';
import { carriedSnapshots } from './effects/carried-snapshots.ts';
import type { RunnerDeps } from './effects/context.ts';
import { createdResources } from './effects/created-resources.ts';
import type { MigrationPage, MigrationQuery } from './migration-list.ts';
import { searchDepth, searchMigrations } from './migration-search.ts';
import { preview, type PlannedMigration } from './preview.ts';
import { checkRequests } from './request-check.ts';
import { runMigration, type MigrationRunner } from './runner.ts';

/** Bounds the question how much memory is free on a target. */
const memoryTimeoutMs = 5_000;

export interface Migrations {
  active(): readonly Migration[];
  /** Those that wait, in the order in which they begin. */
  queue(): readonly QueuedMigration[];
  list(query: MigrationQuery): Promise<MigrationPage>;
  find(ref: string): Promise<Migration>;
  /**
   * Of one that began, also long ago. One that nobody works on, since the answer to its begin was lost, is taken over.
   * Undefined: nothing is stored of it.
   */
  takenOver(id: string): Promise<Migration | undefined>;
  start(request: MigrationRequest & { readonly vm: string }, by: RequestedBy, along?: Along): Promise<Migration>;
  plan(request: MigrationRequest & { readonly vm: string }, signal: AbortSignal): Promise<PlannedMigration>;
  /** `expected`: the revision that it must have. Rejects with FerryError `revision-stale`. */
  abort(ref: string, expected?: number): Promise<Migration>;
  startPostCopy(ref: string, expected?: number): Promise<Migration>;
  tune(ref: string, limits: OperatorLimits, expected?: number): Promise<Migration>;
  pause(ref: string, expected?: number): Promise<Migration>;
  samples(ref: string): Promise<readonly { readonly at: number; readonly sample: JobSample }[]>;
  /** Of all that have ended, as far as they are looked through. */
  predictionStats(): Promise<PredictionStats>;
  /** Throws FerryError `inspection-none`. */
  inspection(ref: string): Promise<Inspection>;
  switching(vmUuid: string, what: 'paused' | 'runs'): void;
  /** Targets for VMs that are to move together; nothing is touched. */
  readonly propose: Propose;
  /** Hosts or clusters have changed: what waits for room may have it. */
  lookAgain(): void;
  /** Takes over what an earlier control plane left unfinished. */
  recover(): Promise<void>;
  stop(): Promise<void>;
}

export interface MigrationsDeps
  extends
    Omit<FactSources, 'active' | 'ledger' | 'volumes' | 'sharing'>,
    Pick<
      RunnerDeps,
      | 'volumes'
      | 'sharing'
      | 'uriOf'
      | 'machineOf'
      | 'carried'
      | 'refresh'
      | 'installation'
      | 'hooks'
      | 'rewriteDefinition'
      | 'identityOfDefinition'
      | 'log'
    > {
  readonly labelsOf: (vm: VmUuid) => readonly string[];
  readonly kept: KeptInstances & FactSources['kept'];
  readonly peers: Peers;
  readonly curves: DirtyCurves;
  readonly intents: IntentStore;
  readonly journal: Journal;
  readonly reservations: ReservationDocuments;
  readonly storedHost: ReservingDeps['storedHost'];
  /** What limits how much may be reserved. */
  readonly settings: ReservingDeps['settings'];
  readonly changed: (migration: Migration, kept: boolean) => void;
}

export function createMigrations(deps: MigrationsDeps): Migrations {
  const { clock, fleet } = deps;
  const records = migrationRecords(deps);
  const reserving = reserveInStore({
    documents: deps.reservations,
    records,
    settings: deps.settings,
    storedHost: deps.storedHost,
    freeMemoryOf: async (id) => {
      const seen = fleet.hosts().find(({ host }) => host.id === id)?.freeMemoryBytes;
      try {
        return await deps.linkOf(id).inventory.freeMemory(clock.timeout(memoryTimeoutMs));
      } catch (error) {
        deps.log.warn({ err: error, host: id }, 'the host did not say how much memory is free');
        return seen;
      }
    },
  });
  const { ledger } = reserving;
  const runners = new Map<string, MigrationRunner>();
  const predicting: Predicting = {
    clock,
    curves: deps.curves,
    outcomes: async () => {
      const ended = await records.finished(keptInMemory).catch((error: unknown) => {
        deps.log.warn({ err: error }, 'earlier predictions cannot be read');
        return [];
      });
      return ended.flatMap(({ migration }) => outcomeOf(migration) ?? []);
    },
  };
  /** Absent until what an earlier control plane left is taken over. */
  let time: SteadyTime | undefined;
  const active = (): readonly Migration[] =>
    [...runners.values()].map((runner) => runner.current()).filter((migration) => !isFinished(migration));
  const choosing = chooseTargets({ ...deps, active, ledger, reserving });
  const { facts } = choosing;
  const search = searchMigrations({ active, records, fleet, labelsOf: deps.labelsOf });
  const requests = checkRequests({ ...deps, active, facts });
  const roomOf = (id: HostId): Room | undefined => {
    const view = fleet.hosts().find(({ host }) => host.id === id);
    return view?.state === 'connected' ? roomOn(view, ledger) : undefined;
  };
  const admission = createAdmission({
    clock,
    active,
    ledger,
    roomOf,
    begin: (id) => runners.get(id)?.dispatch({ type: 'admitted' }),
  });
  /** Of a migration that has not ended. Throws FerryError `migration-finished`. */
  const runnerOf = async (ref: string): Promise<MigrationRunner> => {
    const migration = await search.find(ref);
    const runner = runners.get(migration.id);
    if (runner === undefined)
      throw new FerryError(
        'migration-finished',
        `Migration ${migration.id} has already ${migration.outcome ?? 'ended'}.`,
      );
    return runner;
  };

  const run = (migration: Migration): MigrationRunner => {
    const runner = runMigration(migration, {
      ...deps,
      snapshots: carriedSnapshots(deps.intents),
      created: createdResources(deps.intents),
      notReached: (from, to, message) => deps.peers.notReached(from, to, message),
      reached: (from, to) => deps.peers.reached(from, to),
      store: (current) => reserving.store(current),
      ended: ({ id }) => {
        choosing.ended(id);
        runners.delete(id);
        admission.admit();
        // who watches it hears of its end
        void records.finished(searchDepth).then(
          (all) => all.filter((each) => each.migration.id === id).forEach((each) => deps.changed(each.migration, true)),
          (error: unknown) => deps.log.warn({ err: error, migration: id }, 'the end of a migration cannot be read'),
        );
      },
      sampled: (of, sample, at) =>
        void records
          .keepSample(of.id, sample, at)
          .catch((error: unknown) => deps.log.warn({ err: error, migration: of.id }, 'a sample was not kept')),
      inspected: (inspection) => records.keepInspection(inspection),
      check: async (current, signal) => {
        const judged = await choosing.judge(current, signal);
        // it ended meanwhile: what was chosen for it counts no more
        if (signal.aborted) choosing.ended(current.id);
        return judged;
      },
      changedSince: choosing.changedSince,
      otherPorts: choosing.otherPorts,
      predictConvergence: async ({ vm: { uuid }, from, to, request, plan, policy, prediction }, signal) => {
        const vm = fleet.vmByUuid(uuid);
        const known = vm !== undefined && to !== undefined && plan !== undefined && policy !== undefined;
        return known && prediction === undefined
          ? predictAtStart(
              predicting,
              () => deps.linkOf(from.id).guest,
              { vm, from: from.id, to: to.id, request, plan, policy },
              signal,
            )
          : undefined;
      },
      changed: (current, kept) => {
        // what was chosen stands in the plan now, or was given back
        if (!['checking', 'verifying'].includes(current.phase)) choosing.stored(current.id);
        if (isFinished(current)) {
          choosing.ended(current.id);
          runners.delete(current.id);
          void runner.stop();
        }
        deps.changed(current, kept);
        if (isFinished(current) || current.phase === 'queued') admission.admit();
        admission.wait(current);
      },
    });
    runners.set(migration.id, runner);
    return runner;
  };
  const takeOver = (migration: Migration): void => {
    run(migration).dispatch({ type: 'recovered' });
    admission.wait(migration);
  };
  const takenOver: Migrations['takenOver'] = async (id) => {
    const runs = runners.get(id)?.current();
    if (runs !== undefined) return runs;
    const stored = await records.one(id);
    if (stored === undefined || isFinished(stored) || runners.has(id)) return stored;
    takeOver(stored);
    admission.admit();
    return stored;
  };
  /** Of whose begin it is not known whether it was stored. */
  const unsure = new Set<string>();
  /** One of those has the VM: it was stored after all, and goes on, so that it can be seen and aborted. */
  const foundBy = async (vm: VmUuid): Promise<void> => {
    if (unsure.size === 0) return;
    const id = await records.lockOf(vm);
    if (id === undefined || !unsure.has(id)) return;
    const found = await takenOver(id);
    if (found === undefined) return;
    unsure.delete(id);
    deps.changed(found, true);
  };

  return {
    active,
    queue: () =>
      queueOf(
        { active: active(), ledger, viewOf: (id) => fleet.hosts().find(({ host }) => host.id === id) },
        clock.now(),
      ),
    list: (query) => search.list(query),
    find: (ref) => search.find(ref),
    takenOver,
    async start({ vm: vmRef, ...asked }, by, along = () => []) {
      const { vm: seen, request } = requests.requested(vmRef, asked);
      const { to } = request;
      const { vm, said, result } = await requests.checkNow(seen, request, clock.timeout(factsTimeoutMs));
      const policy = facts.policyOf(vm, request);
      const saidAt = clock.now();
      if (result.kind === 'refused')
        throw new FerryError('migration-refused', `${vm.name} cannot be moved${to === undefined ? '' : ` to ${to}`}.`, {
          reasons: result.reasons,
          answers: result.answers,
        });
      const source = fleet.hosts().find(({ host }) => host.id === vm.hostId);
      if (source === undefined)
        throw new FerryError('host-unknown', `The host of ${vm.name} is no longer in the fleet.`);
      if (active().length === 0) await time?.followWall();
      const now = clock.now();
      const id = migrationId(`${now.toString(36)}${clock.randomText(5)}`);
      const from = { id: source.host.id, name: source.host.name };
      const first = beginMigration({ id, vm, from, kind: result.move, request, policy, by }, now);
      const begun = await records.begin(first, along(id)).catch(async (error: unknown) => {
        // the answer may be lost, and not the write
        const stored = await records.one(id).catch(() => undefined);
        if (stored === undefined) {
          unsure.add(id);
          throw error;
        }
        return { revision: stored.revision ?? 0 };
      });
      if ('conflict' in begun && !begun.conflict.some((key) => key.endsWith(vm.uuid)))
        throw new FerryError('store-conflict', `What ${vm.name} is moved for has changed meanwhile.`);
      if ('conflict' in begun) {
        await foundBy(vm.uuid);
        throw movedByAnother(vm);
      }
      const migration = { ...first, revision: begun.revision };
      choosing.answered(id, said, saidAt);
      run(migration);
      deps.changed(migration, true);
      admission.admit();
      return migration;
    },
    async plan({ vm: vmRef, ...asked }, signal) {
      const { vm: seen, request } = requests.requested(vmRef, asked);
      const { vm, result } = await requests.checkNow(seen, request, signal);
      if (result.kind === 'refused')
        throw new FerryError('migration-refused', `${vm.name} cannot be moved: ${result.reasons[0]?.message ?? ''}`, {
          reasons: result.reasons,
          answers: result.answers,
        });
      return preview({ ...deps, facts, predicting }, { vm, request }, result, signal);
    },
    abort: async (ref, expected) => {
      const runner = await runnerOf(ref);
      const vmIsNow = choosing.placeOf(fleet.vmByUuid(runner.current().vm.uuid));
      return runner.command({ type: 'abort-requested', ...(vmIsNow === undefined ? {} : { vmIsNow }) }, expected);
    },
    samples: async (ref) => records.samples((await search.find(ref)).id),
    async predictionStats() {
      const outcomes: PredictionOutcome[] = [];
      let before: number | undefined;
      for (let looked = 0; looked < searchDepth; looked += keptInMemory) {
        const ended = await records.finished(keptInMemory, before);
        outcomes.push(...ended.flatMap(({ migration }) => outcomeOf(migration) ?? []));
        before = ended.at(-1)?.seq;
        if (ended.length < keptInMemory) break;
      }
      return statsOf(outcomes);
    },
    inspection: async (ref) => records.inspection((await search.find(ref)).id),
    pause: async (ref, expected) => (await runnerOf(ref)).command({ type: 'pause-requested' }, expected),
    tune: async (ref, limits, expected) => (await runnerOf(ref)).command({ type: 'tune-requested', limits }, expected),
    startPostCopy: async (ref, expected) => (await runnerOf(ref)).command({ type: 'post-copy-requested' }, expected),
    switching(vmUuid, what) {
      for (const runner of runners.values())
        if (runner.current().vm.uuid === vmUuid) runner.dispatch({ type: 'switching', what });
    },
    propose: proposeTargets({ ...deps, active, ledger }),
    lookAgain: () => admission.admitSoon(),
    async recover() {
      const left = await reserving.settle(() => records.active());
      time = await openSteadyTime(deps.intents, clock, left.length > 0);
      for (const migration of left) takeOver(migration);
      admission.admit();
    },
    async stop() {
      admission.stop();
      await Promise.all([...runners.values()].map((runner) => runner.stop()));
    },
  };
}
