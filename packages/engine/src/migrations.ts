/**
 * The migrations of the fleet: starts, plans, finds, follows and steers them. What a start needs to know is gathered in fact-finding.ts, when it begins
 * is told by admission.ts, where it is kept is in migration-records.ts.
 */
import {
  clusterDifferences, enterPhase, FerryError, isFinished, lineDiff, migrationId, resolve,
  type CheckResult, type JobSample, type Migration, type MigrationRequest,
} from '@ferry/core';
import { createAdmission } from './admission.ts';
import { copiesLive, foresee, isWorthForeseeing } from './beforehand.ts';
import { carriedSnapshots } from './carried-snapshots.ts';
import type { MigrationQuery, PlannedMigration } from './facade.ts';
import { createFactFinder, factsTimeoutMs, type FactFinderDeps } from './fact-finding.ts';
import type { Inspection } from './inspection.ts';
import type { KeptInstances } from './kept-instances.ts';
import { migrationRecords } from './migration-records.ts';
import { runMigration, type MigrationRunner } from './migration-runner.ts';
import { rewritten, type RunnerDeps } from './move-context.ts';
import type { Peers } from './peers.ts';
import type { IntentStore, Journal, TransferLimits } from './ports.ts';

/** Finished migrations looked through when one is named. */
const searchDepth = 10_000;
/** Facts gathered for the answer to a request are good enough to begin with when it is admitted at once. */
const checkedForMs = 2_000;

export interface Migrations {
  active(): readonly Migration[];
  list(query: MigrationQuery): Promise<readonly Migration[]>;
  find(ref: string): Promise<Migration>;
  start(request: MigrationRequest & { readonly vm: string }, by: { readonly actor: string; readonly client: string }): Promise<Migration>;
  plan(request: MigrationRequest & { readonly vm: string }, signal: AbortSignal): Promise<PlannedMigration>;
  abort(ref: string): Promise<Migration>;
  startPostCopy(ref: string, signal: AbortSignal): Promise<Migration>;
  tune(ref: string, limits: TransferLimits & { readonly deadlineMs?: number; readonly quicklyFinish?: boolean }, signal: AbortSignal): Promise<Migration>;
  pause(ref: string): Promise<Migration>;
  samples(ref: string): Promise<readonly { readonly at: number; readonly sample: JobSample }[]>;
  /** Throws FerryError `inspection-none`. */
  inspection(ref: string): Promise<Inspection>;
  switching(vmUuid: string, what: 'paused' | 'runs'): void;
  /** Takes over what an earlier control plane left unfinished. */
  recover(): Promise<void>;
  stop(): Promise<void>;
}

export interface MigrationsDeps extends Omit<FactFinderDeps, 'active'>, Pick<RunnerDeps, 'uriOf' | 'refresh' | 'installation' | 'rewriteDefinition' | 'log' | 'sharing'> {
  readonly kept: KeptInstances & FactFinderDeps['kept'];
  readonly peers: Peers;
  readonly intents: IntentStore;
  readonly journal: Journal;
  readonly changed: (migration: Migration, kept: boolean) => void;
}

export function createMigrations(deps: MigrationsDeps): Migrations {
  const { clock, fleet } = deps;
  const records = migrationRecords(deps);
  const runners = new Map<string, MigrationRunner>();
  const active = (): readonly Migration[] => [...runners.values()].map((runner) => runner.current()).filter((migration) => !isFinished(migration));
  const facts = createFactFinder({ ...deps, active });
  const admission = createAdmission({ clock, active, begin: (id) => runners.get(id)?.dispatch({ type: 'admitted' }) });
  const checked = new Map<string, { readonly at: number; readonly result: CheckResult }>();

  /** Of a migration that has not ended. Throws FerryError `migration-finished`. */
  const runnerOf = async (ref: string): Promise<MigrationRunner> => {
    const migration = await find(ref);
    const runner = runners.get(migration.id);
    if (runner === undefined) throw new FerryError('migration-finished', `Migration ${migration.id} has already ${migration.outcome ?? 'ended'}.`);
    return runner;
  };

  const run = (migration: Migration): MigrationRunner => {
    const runner = runMigration(migration, {
      ...deps,
      snapshots: carriedSnapshots(deps.intents),
      notReached: (from, to, message) => deps.peers.notReached(from, to, message),
      store: (current) => records.store(current),
      sampled: (of, sample) => void records.keepSample(of.id, sample).catch((error: unknown) => deps.log.warn({ err: error, migration: of.id }, 'a sample was not kept')),
      inspected: (inspection) => records.keepInspection(inspection),
      check: async (current, signal) => {
        const before = checked.get(current.id);
        checked.delete(current.id);
        if (before !== undefined && clock.now() - before.at < checkedForMs) return before.result;
        const vm = fleet.vmByUuid(current.vm.uuid);
        return vm === undefined
          ? { kind: 'refused', reasons: [{ code: 'vm-unknown', message: `${current.vm.name} is no longer on any host.`, remedy: 'List the VMs with "ferry vm list".' }] }
          : facts.check(vm, current.request, current, signal).catch((error: unknown): CheckResult => ({
              kind: 'refused',
              reasons: [{ code: 'facts-missing', message: `What a move of ${vm.name} needs to know cannot be read: ${error instanceof Error ? error.message : String(error)}`, remedy: 'Check that its host and the target answer, then try again.' }],
            }));
      },
      foresee: async ({ vm: { uuid }, from, request, plan, policy, decisions = [] }, signal) => {
        const vm = fleet.vmByUuid(uuid);
        const told = decisions.some(({ action }) => action.do === 'note' && action.what === 'outlook');
        if (vm === undefined || plan === undefined || policy === undefined || told || !isWorthForeseeing({ request, plan, policy })) return undefined;
        return foresee(() => deps.linkOf(from.id).migration, { vm, request, plan, policy }, 'start', signal);
      },
      changed: (current, kept) => {
        if (isFinished(current)) {
          runners.delete(current.id);
          void runner.stop();
        }
        deps.changed(current, kept);
        if (isFinished(current)) admission.admit();
        else admission.wait(current);
      },
    });
    runners.set(migration.id, runner);
    return runner;
  };

  const find = async (ref: string): Promise<Migration> => {
    const running = active();
    const exact = running.find(({ id, name }) => id === ref || name === ref);
    if (exact !== undefined) return exact;
    const ended = (await records.finished(searchDepth)).filter(({ id }) => !running.some((each) => each.id === id));
    return resolve([...running, ...ended], ref, { kind: 'migration', id: ({ id }) => id, name: ({ name }) => name, describe: ({ id, name }) => `${id} (${name})` });
  };

  /** Whose migrations are meant: those of a VM that is there, otherwise of those that had this UUID or name. Throws FerryError `vm-unknown`, `vm-ambiguous`. */
  const historyOf = async (ref: string): Promise<(migration: Migration) => boolean> => {
    const lower = ref.toLowerCase();
    const had = ({ vm: { uuid, name } }: Migration): boolean => uuid === lower || name === ref;
    const now = fleet.vms().some(({ uuid, instances }) => uuid === lower || instances.some(({ instance }) => instance.name === ref));
    // more than the beginning of another VM's UUID
    if (!now && (await records.finished(searchDepth)).some(had)) return had;
    const { uuid } = fleet.vm(ref);
    return (migration) => migration.vm.uuid === uuid;
  };

  const namedHost = (ref: string | undefined): string | undefined =>
    ref === undefined ? undefined : resolve(fleet.hosts(), ref, { kind: 'host', id: ({ host }) => host.id, name: ({ host }) => host.name, describe: ({ host }) => host.name }).host.name;

  return {
    active,
    async list({ state, vm, limit = 100 }) {
      const asked = vm === undefined ? undefined : await historyOf(vm);
      const running = state === 'finished' ? [] : [...active()].sort((a, b) => (a.id < b.id ? 1 : -1));
      const ended = state === 'active' ? [] : (await records.finished(asked === undefined ? limit : searchDepth)).filter(({ id }) => !running.some((each) => each.id === id));
      return [...running, ...ended].filter((migration) => asked?.(migration) !== false).slice(0, limit);
    },
    find,
    async start({ vm: vmRef, ...asked }, by) {
      const to = namedHost(asked.to);
      const preferHost = namedHost(asked.preferHost);
      const vm = fleet.vm(vmRef);
      const request: MigrationRequest = { ...asked, ...(to === undefined ? {} : { to }), ...(preferHost === undefined ? {} : { preferHost }) };
      const busy = active().find(({ vm: { uuid } }) => uuid === vm.uuid);
      if (busy !== undefined) throw new FerryError('vm-already-migrating', `${vm.name} is already being moved by migration ${busy.id}, which is ${busy.phase}.`);
      const policy = facts.policyOf(vm, request);
      const result = await facts.check(vm, request, undefined, AbortSignal.timeout(factsTimeoutMs));
      if (result.kind === 'refused') throw new FerryError('migration-refused', `${vm.name} cannot be moved${to === undefined ? '' : ` to ${to}`}.`, { reasons: result.reasons });
      const source = fleet.hosts().find(({ host }) => host.id === vm.hostId);
      if (source === undefined) throw new FerryError('host-unknown', `The host of ${vm.name} is not known any more.`);
      const now = clock.now();
      const id = migrationId(`${now.toString(36)}${clock.randomText(5)}`);
      const migration = enterPhase(
        {
          id,
          name: `${vm.name}-${id.slice(-5)}`,
          vm: { uuid: vm.uuid, name: vm.name },
          memoryBytes: vm.memoryBytes,
          kind: result.move,
          origin: 'operator',
          ...by,
          request,
          ...(request.rescue === undefined ? {} : { proofOfDeath: { host: source.host.name, statement: request.rescue.statement, actor: request.rescue.by ?? by.actor, at: now } }),
          from: { id: source.host.id, name: source.host.name },
          policy,
          ...(policy.deadlineMs === undefined ? {} : { deadlineAt: now + policy.deadlineMs }),
          phase: 'queued',
          phases: [{ phase: 'queued', at: now }],
          vmIsNow: { host: source.host.name, state: vm.state },
          evidence: {},
        },
        'queued',
        now,
      );
      if (!(await records.begin(migration))) throw new FerryError('vm-already-migrating', `${vm.name} is already being moved by another migration.`);
      checked.set(id, { at: now, result });
      run(migration);
      deps.changed(migration, true);
      admission.admit();
      return migration;
    },
    async plan({ vm: vmRef, ...request }, signal) {
      const vm = fleet.vm(vmRef);
      const result = await facts.check(vm, request, undefined, signal);
      if (result.kind === 'refused') throw new FerryError('migration-refused', `${vm.name} cannot be moved: ${result.reasons[0]?.message ?? ''}`, { reasons: result.reasons });
      const source = fleet.hosts().find(({ host }) => host.id === vm.hostId);
      const { plan } = result;
      const from = { id: vm.hostId, name: source?.host.name ?? vm.hostId };
      const differences = clusterDifferences(facts.clusterOf(from.id), facts.clusterOf(result.to.id));
      const adapted = plan.definition === undefined ? undefined : await deps.linkOf(vm.hostId).definitions.read(vm.uuid, signal);
      const diff = adapted === undefined ? [] : lineDiff(adapted, rewritten({ plan, request }, adapted, deps));
      const policy = facts.policyOf(vm, request);
      const outlook = copiesLive(plan) ? await foresee(() => deps.linkOf(vm.hostId).migration, { vm, request, plan, policy }, 'plan', signal) : undefined;
      return { vm: { uuid: vm.uuid, name: vm.name }, from, to: result.to, kind: result.move, plan, policy, ...(outlook === undefined ? {} : { outlook }), diff, differences };
    },
    async abort(ref) {
      const migration = await find(ref);
      if (isFinished(migration)) throw new FerryError('migration-finished', `Migration ${migration.id} has already ${migration.outcome}.`);
      if (migration.phase === 'cleaning' || migration.phase === 'post-copy') {
        throw new FerryError('migration-past-return', `Migration ${migration.id} is past its point of no return (${migration.phase}).`);
      }
      runners.get(migration.id)?.dispatch({ type: 'abort-requested' });
      return migration;
    },
    samples: async (ref) => records.samples((await find(ref)).id),
    inspection: async (ref) => records.inspection((await find(ref)).id),
    pause: async (ref) => (await runnerOf(ref)).pause(),
    tune: async (ref, limits, signal) => (await runnerOf(ref)).tune(limits, signal),
    startPostCopy: async (ref, signal) => (await runnerOf(ref)).startPostCopy(signal),
    switching(vmUuid, what) {
      for (const runner of runners.values()) if (runner.current().vm.uuid === vmUuid) runner.dispatch({ type: 'switching', what });
    },
    async recover() {
      for (const migration of await records.active()) {
        run(migration).dispatch({ type: 'recovered' });
        admission.wait(migration);
      }
      admission.admit();
    },
    async stop() {
      admission.stop();
      await Promise.all([...runners.values()].map((runner) => runner.stop()));
    },
  };
}
