/**
 * The migrations of the fleet: starts, plans, finds, follows and steers them. What a start needs to know is gathered in
 * fact-finding.ts, when it begins is told by admission.ts, where it is kept is in migration-records.ts.
 */
import {
  beginMigration,
  changedMeanwhile,
  clusterDifferences,
  FerryError,
  freePorts,
  isFinished,
  lineDiff,
  migrationId,
  onOtherPorts,
  portsUsedOn,
  resolve,
  roomOn,
  type CheckResult,
  type CopyTime,
  type HostId,
  type HostRef,
  type HostView,
  type JobSample,
  type Migration,
  type MigrationKind,
  type MigrationPlan,
  type MigrationRequest,
  type Planned,
  type OperatorLimits,
  type Outlook,
  type Reason,
  type ResolvedPolicy,
  type Room,
  type TransferPlan,
  type Vm,
} from '@ferry/core';
import type { KeptInstances } from '../fleet/kept-instances.ts';
import type { Peers } from '../fleet/peer-reachability.ts';
import { createFactFinder, factsTimeoutMs, type Gathered } from '../planning/fact-finding.ts';
import type { FactSources } from '../planning/fact-sources.ts';
import { copiesLive, foresee, foreseeCopy, isWorthForeseeing } from '../planning/prediction.ts';
import type { IntentStore, Journal } from '../ports/ports.ts';
import type { Along } from '../state/first-answers.ts';
import { migrationRecords } from '../state/migration-records.ts';
import { openSteadyTime, type SteadyTime } from '../time/steady-time.ts';
import { createAdmission } from './admission.ts';
import { carriedSnapshots } from './effects/carried-snapshots.ts';
import { bothHosts, rewritten, type RunnerDeps } from './effects/context.ts';
import { createdResources } from './effects/created-resources.ts';
import type { Inspection } from '../state/migration-records.ts';
import { runMigration, type MigrationRunner } from './runner.ts';

/** What would happen, computed and shown. */
export interface PlannedMigration {
  readonly vm: { readonly uuid: string; readonly name: string };
  readonly from: HostRef;
  readonly to: HostRef;
  readonly kind: MigrationKind;
  readonly plan: MigrationPlan;
  /** What it would go by. */
  readonly policy: ResolvedPolicy;
  /** Of a guest that runs on: whether pre-copy will end. */
  readonly outlook?: Outlook;
  /** Of a move whose guest does not run. */
  readonly copyTime?: CopyTime;
  /** Lines of the definition that change on the way, with - and +. */
  readonly diff: readonly string[];
  /** What the target's cluster does otherwise. */
  readonly differences: readonly string[];
}

export interface MigrationQuery {
  readonly state?: 'active' | 'finished';
  readonly vm?: string;
  /** 100 unless given; newest first. */
  readonly limit?: number;
}

/** Finished migrations looked through when one is named. */
const searchDepth = 10_000;
/**
 * Facts gathered for the answer to a request are good enough to begin with when it is admitted this soon after them:
 * those gathered anew would be as old at their end, however long the hosts took to answer.
 */
const checkedForMs = 2_000;
/** Bounds the second look of one host before a request is refused. */
const lookAgainMs = 5_000;

export interface Migrations {
  active(): readonly Migration[];
  list(query: MigrationQuery): Promise<readonly Migration[]>;
  find(ref: string): Promise<Migration>;
  start(
    request: MigrationRequest & { readonly vm: string },
    by: { readonly actor: string; readonly client: string },
    along?: Along,
  ): Promise<Migration>;
  plan(request: MigrationRequest & { readonly vm: string }, signal: AbortSignal): Promise<PlannedMigration>;
  /** `expected`: the revision that it must have. Rejects with FerryError `revision-stale`. */
  abort(ref: string, expected?: number): Promise<Migration>;
  startPostCopy(ref: string, expected?: number): Promise<Migration>;
  tune(ref: string, limits: OperatorLimits, expected?: number): Promise<Migration>;
  pause(ref: string, expected?: number): Promise<Migration>;
  samples(ref: string): Promise<readonly { readonly at: number; readonly sample: JobSample }[]>;
  /** Throws FerryError `inspection-none`. */
  inspection(ref: string): Promise<Inspection>;
  switching(vmUuid: string, what: 'paused' | 'runs'): void;
  /** Hosts or clusters have changed: what waits for room may have it. */
  lookAgain(): void;
  /** Takes over what an earlier control plane left unfinished. */
  recover(): Promise<void>;
  stop(): Promise<void>;
}

export interface MigrationsDeps
  extends
    Omit<FactSources, 'active' | 'volumes' | 'sharing'>,
    Pick<
      RunnerDeps,
      | 'volumes'
      | 'sharing'
      | 'uriOf'
      | 'machineOf'
      | 'carried'
      | 'refresh'
      | 'installation'
      | 'rewriteDefinition'
      | 'identityOfDefinition'
      | 'log'
    > {
  readonly kept: KeptInstances & FactSources['kept'];
  readonly peers: Peers;
  readonly intents: IntentStore;
  readonly journal: Journal;
  readonly changed: (migration: Migration, kept: boolean) => void;
}

type Judged = Awaited<ReturnType<RunnerDeps['check']>>;

const factsMissing = (name: string, error: unknown): Reason => ({
  code: 'facts-missing',
  message: `Ferry cannot read what it needs to move ${name}: ${error instanceof Error ? error.message : String(error)}`,
  remedy: 'Check that its host and the target answer, then try again.',
});

export function createMigrations(deps: MigrationsDeps): Migrations {
  const { clock, fleet } = deps;
  const records = migrationRecords(deps);
  const runners = new Map<string, MigrationRunner>();
  /** Absent until what an earlier control plane left is taken over. */
  let time: SteadyTime | undefined;
  const active = (): readonly Migration[] =>
    [...runners.values()].map((runner) => runner.current()).filter((migration) => !isFinished(migration));
  /** What was just chosen for a migration and is not stored yet: the next one that chooses counts it already. */
  const given = new Map<string, Pick<Migration, 'to' | 'plan'>>();
  const holding = (): readonly Migration[] =>
    active().map((migration) => ({ ...migration, ...given.get(migration.id) }));
  const facts = createFactFinder({ ...deps, active: holding });
  const roomOf = (id: HostId): Room | undefined => {
    const view = fleet.hosts().find(({ host }) => host.id === id);
    return view?.state === 'connected' ? roomOn(view, facts.clusterOf(id), holding()) : undefined;
  };
  const admission = createAdmission({
    clock,
    active,
    roomOf,
    begin: (id) => runners.get(id)?.dispatch({ type: 'admitted' }),
  });
  /** What was gathered for the answer to a request. */
  const gathered = new Map<string, { readonly said: Gathered; readonly at: number }>();

  /** The choice is made at once and counts from then on. */
  const chooseFor = (migration: Migration, facts: Gathered): CheckResult => {
    const result = facts.choose(migration.id);
    if (result.kind === 'chosen') given.set(migration.id, { to: result.to, plan: result.plan });
    else given.delete(migration.id);
    return result;
  };
  const placeOf = (vm: Vm | undefined): Migration['vmIsNow'] =>
    vm === undefined
      ? undefined
      : { host: fleet.hosts().find(({ host }) => host.id === vm.hostId)?.host.name ?? vm.hostId, state: vm.state };

  /** A host that takes no further connection is chosen once at most. */
  const taking = async (said: Gathered, choose: () => CheckResult, signal: AbortSignal): Promise<CheckResult> => {
    for (;;) {
      const result = choose();
      if (await said.takes(result, signal)) return result;
    }
  };

  /** Judges a migration whose turn has come, as everything is now. */
  const judge = async (migration: Migration, signal: AbortSignal): Promise<Judged> => {
    const before = gathered.get(migration.id);
    gathered.delete(migration.id);
    const fresh = before !== undefined && clock.now() - before.at < checkedForMs && before.said.holds();
    // what the hosts tell by themselves may still be on its way
    if (!fresh)
      await deps
        .refresh(migration.vm.uuid, bothHosts(migration), signal)
        .catch((error: unknown) =>
          deps.log.warn({ err: error, migration: migration.id }, 'the VM was not looked at again'),
        );
    const seen = (): readonly [Vm | undefined, readonly Reason[]] => {
      const vm = fleet.vmByUuid(migration.vm.uuid);
      return [vm, changedMeanwhile(migration, vm, fleet.hosts())];
    };
    const [vm, changed] = seen();
    const vmIsNow = placeOf(vm) ?? 'nowhere';
    if (vm === undefined || changed.length > 0) return { result: { kind: 'refused', reasons: changed }, vmIsNow };
    try {
      const said = fresh ? before.said : await facts.gather(vm, migration.request, migration, signal);
      return { result: await taking(said, () => chooseFor(migration, said), signal), vmIsNow };
    } catch (error) {
      return { result: { kind: 'refused', reasons: [factsMissing(vm.name, error)] }, vmIsNow };
    }
  };

  /** Ports that are left on the target, none of which another migration has. */
  const otherPorts = (migration: Planned): TransferPlan | undefined => {
    const { to, plan } = migration;
    if (plan.transfer === undefined) return undefined;
    const others = holding().filter(({ id }) => id !== migration.id);
    const used = [...portsUsedOn(to.id, others), ...(migration.evidence.portsBusy ?? [])];
    const transfer = onOtherPorts(plan.transfer, freePorts(facts.clusterOf(to.id), used) ?? []);
    if (transfer !== undefined) given.set(migration.id, { to, plan: { ...plan, transfer } });
    return transfer;
  };

  /** Of a migration that has not ended. Throws FerryError `migration-finished`. */
  const runnerOf = async (ref: string): Promise<MigrationRunner> => {
    const migration = await find(ref);
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
      store: (current) => records.store(current),
      ended: ({ id }) => {
        gathered.delete(id);
        given.delete(id);
        runners.delete(id);
        admission.admit();
        // who watches it hears of its end
        void records.finished(searchDepth).then(
          (all) => all.filter((each) => each.id === id).forEach((each) => deps.changed(each, true)),
          (error: unknown) => deps.log.warn({ err: error, migration: id }, 'the end of a migration cannot be read'),
        );
      },
      sampled: (of, sample, at) =>
        void records
          .keepSample(of.id, sample, at)
          .catch((error: unknown) => deps.log.warn({ err: error, migration: of.id }, 'a sample was not kept')),
      inspected: (inspection) => records.keepInspection(inspection),
      check: judge,
      otherPorts,
      foresee: async ({ vm: { uuid }, from, request, plan, policy, decisions = [] }, signal) => {
        const vm = fleet.vmByUuid(uuid);
        const told = decisions.some(({ action }) => action.do === 'note' && action.what === 'outlook');
        if (
          vm === undefined ||
          plan === undefined ||
          policy === undefined ||
          told ||
          !isWorthForeseeing({ request, plan, policy })
        )
          return undefined;
        return foresee(() => deps.linkOf(from.id).guest, { vm, request, plan, policy }, 'start', clock, signal);
      },
      changed: (current, kept) => {
        // what was chosen stands in the plan now, or was given back
        if (!['checking', 'verifying'].includes(current.phase)) given.delete(current.id);
        if (isFinished(current)) {
          gathered.delete(current.id);
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

  const find = async (ref: string): Promise<Migration> => {
    const running = active();
    const exact = running.find(({ id, name }) => id === ref || name === ref);
    if (exact !== undefined) return exact;
    const ended = (await records.finished(searchDepth)).filter(({ id }) => !running.some((each) => each.id === id));
    return resolve([...running, ...ended], ref, {
      kind: 'migration',
      id: ({ id }) => id,
      name: ({ name }) => name,
      describe: ({ id, name }) => `${id} (${name})`,
    });
  };

  /**
   * Whose migrations are meant: those of a VM that is there, otherwise of those that had this UUID or name. Throws
   * FerryError `vm-unknown`, `vm-ambiguous`.
   */
  const historyOf = async (ref: string): Promise<(migration: Migration) => boolean> => {
    const lower = ref.toLowerCase();
    const had = ({ vm: { uuid, name } }: Migration): boolean => uuid === lower || name === ref;
    const now = fleet
      .vms()
      .some(({ uuid, instances }) => uuid === lower || instances.some(({ instance }) => instance.name === ref));
    // more than the beginning of another VM's UUID
    if (!now && (await records.finished(searchDepth)).some(had)) return had;
    const { uuid } = fleet.vm(ref);
    return (migration) => migration.vm.uuid === uuid;
  };

  const namedHost = (ref: string | undefined): string | undefined =>
    ref === undefined
      ? undefined
      : resolve(fleet.hosts(), ref, {
          kind: 'host',
          id: ({ host }) => host.id,
          name: ({ host }) => host.name,
          describe: ({ host }) => host.name,
        }).host.name;

  /** The hosts by their names; refused where they are not known, or the VM is being moved already. */
  const requested = (
    vmRef: string,
    asked: MigrationRequest,
  ): { readonly vm: Vm; readonly request: MigrationRequest } => {
    const to = namedHost(asked.to);
    const preferHost = namedHost(asked.preferHost);
    const vm = fleet.vm(vmRef);
    const busy = active().find(({ vm: { uuid } }) => uuid === vm.uuid);
    if (busy !== undefined)
      throw new FerryError(
        'vm-already-migrating',
        `${vm.name} is already being moved by migration ${busy.id}, which is ${busy.phase}.`,
      );
    return {
      vm,
      request: { ...asked, ...(to === undefined ? {} : { to }), ...(preferHost === undefined ? {} : { preferHost }) },
    };
  };
  const factsOf = async (
    vm: Vm,
    request: MigrationRequest,
    signal: AbortSignal,
  ): Promise<{ readonly vm: Vm; readonly said: Gathered; readonly result: CheckResult }> => {
    try {
      const said = await facts.gather(vm, request, undefined, signal);
      return { vm, said, result: await taking(said, () => said.choose(undefined), signal) };
    } catch (error) {
      if (error instanceof FerryError) throw error;
      throw new FerryError('migration-refused', `${vm.name} cannot be moved.`, {
        reasons: [factsMissing(vm.name, error)],
        cause: error,
      });
    }
  };
  const lookOn = async (vm: Vm, hosts: readonly HostView[]): Promise<Vm | undefined> => {
    const look = ({ host }: HostView): Promise<void> =>
      deps
        .refresh(vm.uuid, [host.id], clock.timeout(lookAgainMs))
        .catch((error: unknown) => deps.log.warn({ err: error, host: host.name }, 'the VM was not looked at again'));
    await Promise.all(hosts.map(look));
    return fleet.vmByUuid(vm.uuid);
  };
  /**
   * Somebody may have moved the VM just now, and the hosts' own events of that may still be on their way. The hosts that
   * had it and those that are named are asked; all of them only if it is not there as it was seen.
   */
  const lookAgain = async (vm: Vm, { to, preferHost }: MigrationRequest): Promise<Vm> => {
    const concerned = fleet
      .hosts()
      .filter(
        ({ host: { id, name } }) =>
          name === to || name === preferHost || vm.instances.some(({ hostId }) => hostId === id),
      );
    const now = await lookOn(vm, concerned);
    if (now?.hostId === vm.hostId && now.state === vm.state) return now;
    return (await lookOn(vm, fleet.hosts())) ?? vm;
  };
  /** What is refused is refused by what the hosts have now. */
  const checkNow: typeof factsOf = async (vm, request, signal) => {
    const first = await factsOf(vm, request, signal);
    if (first.result.kind !== 'refused') return first;
    const now = await lookAgain(vm, request);
    return first.said.holds() ? first : factsOf(now, request, signal);
  };

  return {
    active,
    async list({ state, vm, limit = 100 }) {
      const asked = vm === undefined ? undefined : await historyOf(vm);
      const running = state === 'finished' ? [] : [...active()].sort((a, b) => (a.id < b.id ? 1 : -1));
      const ended =
        state === 'active'
          ? []
          : (await records.finished(asked === undefined ? limit : searchDepth)).filter(
              ({ id }) => !running.some((each) => each.id === id),
            );
      return [...running, ...ended].filter((migration) => asked?.(migration) !== false).slice(0, limit);
    },
    find,
    async start({ vm: vmRef, ...asked }, by, along = () => []) {
      const { vm: seen, request } = requested(vmRef, asked);
      const { to } = request;
      const { vm, said, result } = await checkNow(seen, request, clock.timeout(factsTimeoutMs));
      const policy = facts.policyOf(vm, request);
      const saidAt = clock.now();
      if (result.kind === 'refused')
        throw new FerryError('migration-refused', `${vm.name} cannot be moved${to === undefined ? '' : ` to ${to}`}.`, {
          reasons: result.reasons,
        });
      const source = fleet.hosts().find(({ host }) => host.id === vm.hostId);
      if (source === undefined)
        throw new FerryError('host-unknown', `The host of ${vm.name} is no longer in the fleet.`);
      if (active().length === 0) await time?.followWall();
      const now = clock.now();
      const id = migrationId(`${now.toString(36)}${clock.randomText(5)}`);
      const from = { id: source.host.id, name: source.host.name };
      const first = beginMigration({ id, vm, from, kind: result.move, request, policy, by }, now);
      const begun = await records.begin(first, along(id));
      if ('conflict' in begun)
        throw new FerryError('vm-already-migrating', `${vm.name} is already being moved by another migration.`);
      const migration = { ...first, revision: begun.revision };
      gathered.set(id, { said, at: saidAt });
      run(migration);
      deps.changed(migration, true);
      admission.admit();
      return migration;
    },
    async plan({ vm: vmRef, ...asked }, signal) {
      const { vm: seen, request } = requested(vmRef, asked);
      const { vm, result } = await checkNow(seen, request, signal);
      if (result.kind === 'refused')
        throw new FerryError('migration-refused', `${vm.name} cannot be moved: ${result.reasons[0]?.message ?? ''}`, {
          reasons: result.reasons,
        });
      const source = fleet.hosts().find(({ host }) => host.id === vm.hostId);
      const { plan } = result;
      const from = { id: vm.hostId, name: source?.host.name ?? vm.hostId };
      const differences = clusterDifferences(facts.clusterOf(from.id), facts.clusterOf(result.to.id));
      const adapted =
        plan.definition === undefined ? undefined : await deps.linkOf(vm.hostId).definitions.read(vm.uuid, signal);
      const diff =
        adapted === undefined ? [] : lineDiff(adapted, rewritten({ plan, request }, 'next-start', adapted, deps));
      const policy = facts.policyOf(vm, request);
      const outlook = copiesLive(plan)
        ? await foresee(() => deps.linkOf(vm.hostId).guest, { vm, request, plan, policy }, 'plan', clock, signal)
        : undefined;
      const target = fleet.hosts().find(({ host }) => host.id === result.to.id);
      const copyTime = foreseeCopy({ request, plan }, [source?.facts?.linkMbit, target?.facts?.linkMbit]);
      return {
        vm: { uuid: vm.uuid, name: vm.name },
        from,
        to: result.to,
        kind: result.move,
        plan,
        policy,
        ...(outlook === undefined ? {} : { outlook }),
        ...(copyTime === undefined ? {} : { copyTime }),
        diff,
        differences,
      };
    },
    abort: async (ref, expected) => {
      const runner = await runnerOf(ref);
      const vmIsNow = placeOf(fleet.vmByUuid(runner.current().vm.uuid));
      return runner.command({ type: 'abort-requested', ...(vmIsNow === undefined ? {} : { vmIsNow }) }, expected);
    },
    samples: async (ref) => records.samples((await find(ref)).id),
    inspection: async (ref) => records.inspection((await find(ref)).id),
    pause: async (ref, expected) => (await runnerOf(ref)).command({ type: 'pause-requested' }, expected),
    tune: async (ref, limits, expected) => (await runnerOf(ref)).command({ type: 'tune-requested', limits }, expected),
    startPostCopy: async (ref, expected) => (await runnerOf(ref)).command({ type: 'post-copy-requested' }, expected),
    switching(vmUuid, what) {
      for (const runner of runners.values())
        if (runner.current().vm.uuid === vmUuid) runner.dispatch({ type: 'switching', what });
    },
    lookAgain: () => admission.admit(),
    async recover() {
      const left = await records.active();
      time = await openSteadyTime(deps.intents, clock, left.length > 0);
      for (const migration of left) {
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
