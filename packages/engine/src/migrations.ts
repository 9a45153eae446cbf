/**
 * The migrations of the fleet: starts, admits, stores, finds and follows them. An active migration is an intent beside
 * a lock on its VM, written in one transaction; a finished one lives in the journal.
 */
import {
  admissible, candidatesOf, clusterDifferences, defaultCluster, joinMaps, lineDiff, ownPlaces, placesOf, checkMigration, checkRescue, enterPhase, FerryError, isFinished, migrationId, rescueCandidates, resolve, vmReasons, vmUuid,
  portsOf, type ResolvedPolicy, type CheckInput, type CheckResult, type Cluster, type Host, type HostView, type JobSample, type Migration, type MigrationRequest, type RescueStorage, type TargetStorage, type Vm, type VmUuid,
} from '@ferry/core';
import { copiesLive, foresee, isWorthForeseeing } from './beforehand.ts';
import { carriedSnapshots } from './carried-snapshots.ts';
import type { MigrationQuery, PlannedMigration } from './facade.ts';
import type { Inspection } from './inspection.ts';
import type { KeptInstances } from './kept-instances.ts';
import { runMigration, type MigrationRunner } from './migration-runner.ts';
import type { RunnerDeps } from './move-context.ts';
import type { Peers } from './peers.ts';
import type { Policies } from './policies.ts';
import type { Clock, HostLink, Hypervisor, IntentStore, Journal, Log, StoredDefinition, TransferLimits } from './ports.ts';

const activePrefix = 'migrations/';
const lockPrefix = 'migration-of/';
/** Finished migrations looked through when one is named. */
const searchDepth = 10_000;
const samplesShown = 10_000;
/** Facts gathered for the answer to a request are good enough to begin with when it is admitted at once. */
const checkedForMs = 2_000;
const factsTimeoutMs = 30_000;
/** Between the beginnings of two migrations from one host. */
const startApartMs = 250;

export interface FleetView {
  hosts(): readonly HostView[];
  vm(ref: string): Vm;
  vmByUuid(uuid: string): Vm | undefined;
}

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

export interface MigrationsDeps extends Pick<RunnerDeps, 'linkOf' | 'uriOf' | 'refresh' | 'installation' | 'volumes' | 'rewriteDefinition'> {
  readonly stored: (uuid: VmUuid, host: string) => Promise<StoredDefinition | undefined>;
  readonly hypervisor: Pick<Hypervisor, 'describeDefinition' | 'identityOfDefinition'>;
  readonly kept: KeptInstances & { hasArrivedPaused(vm: Vm): boolean };
  readonly peers: Peers;
  readonly policies: Pick<Policies, 'resolve'>;
  readonly clusters: () => ReadonlyMap<string, Cluster>;
  readonly intents: IntentStore;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly log: Log;
  readonly fleet: FleetView;
  readonly changed: (migration: Migration, kept: boolean) => void;
}

/** A host with its open connection. */
interface Place {
  readonly host: Host;
  readonly link: HostLink;
}

export function createMigrations(deps: MigrationsDeps): Migrations {
  const { intents, journal, clock, fleet } = deps;
  const runners = new Map<string, MigrationRunner>();
  const active = (): readonly Migration[] => [...runners.values()].map((runner) => runner.current()).filter((migration) => !isFinished(migration));

  const checked = new Map<string, { readonly at: number; readonly result: CheckResult }>();

  /** Asks the source what the VM consists of, and every candidate about its storage; then core decides. */
  const check = async (vm: Vm, request: MigrationRequest, self: Pick<Migration, 'id' | 'policy' | 'attempts'> | undefined, signal: AbortSignal): Promise<CheckResult> => {
    const basic: CheckInput = {
      vm,
      hosts: fleet.hosts(),
      request,
      policy: self?.policy ?? policyOf(vm, request),
      tried: (self?.attempts ?? []).flatMap(({ to }) => to?.id ?? []),
      loadOf: (id) => active().filter(({ id: other, from, to }) => other !== self?.id && (from.id === id || to?.id === id)).length,
      clusters: deps.clusters(),
      peerRefusals: await deps.peers.refusalsOf(vm.hostId),
      portsInUse: (id) => active().flatMap(({ id: other, to, plan }) => (other !== self?.id && to?.id === id ? portsOf(plan?.transfer) : [])),
      helperUuid: vmUuid(clock.randomUuid()),
      arrivedPaused: deps.kept.hasArrivedPaused(vm),
    };
    if (request.rescue !== undefined) return rescueCheck(basic, signal);
    const source = basic.hosts.find(({ host }) => host.id === vm.hostId);
    if (source?.state !== 'connected') return checkMigration(basic);
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(factsTimeoutMs)]);
    const sourceLink = deps.linkOf(vm.hostId);
    const facts = await sourceLink.definitions.describe(vm.uuid, bounded);
    const input: CheckInput = { ...basic, facts, ...(request.xml === undefined ? {} : { ownXml: readOwnXml(request.xml) }) };
    // no host is asked about disks when the VM itself forbids the move, or nothing of them has to be known
    if (vmReasons(input).length > 0) return checkMigration(input);
    const candidates = candidatesOf(input).map(({ host }) => ({ host, link: deps.linkOf(host.id) }));
    const needs = input.ownXml !== undefined && 'needs' in input.ownXml ? input.ownXml.needs : facts.needs;
    const named = Object.values(needs).some((names) => names.length > 0);
    const resources = named ? await Promise.all(candidates.map(async ({ host, link }) => [host.id, await link.resources.look(bounded)] as const)) : [];
    if (request.kind === 'configuration' || facts.disks.length === 0) return checkMigration({ ...input, resources: new Map(resources) });
    const surveyed = await Promise.all(candidates.map(async ({ host, link }) => [host.id, await surveyOn(input, { host: source.host, link: sourceLink }, { host, link }, bounded)] as const));
    return checkMigration({ ...input, resources: new Map(resources), storage: new Map(surveyed) });
  };

  /** That of the cluster which the VM leaves, unless the VM or the request has another. */
  const policyOf = (vm: Vm, request: MigrationRequest): ResolvedPolicy => deps.policies.resolve(request, vm.uuid, clusterOf(vm.hostId));
  const clusterOf = (hostId: string): Cluster => {
    const name = fleet.hosts().find(({ host }) => host.id === hostId)?.host.cluster ?? defaultCluster;
    return deps.clusters().get(name) ?? { name };
  };

  const readOwnXml = (xml: string): NonNullable<CheckInput['ownXml']> => {
    try {
      return deps.hypervisor.identityOfDefinition(xml);
    } catch (error) {
      return { problem: error instanceof Error ? error.message : String(error) };
    }
  };

  /** Looks at the target's storage where the maps, or the operator's own definition, put the disks. */
  const surveyOn = async ({ request, facts, ownXml, clusters }: CheckInput, from: Place, to: Place, signal: AbortSignal): Promise<TargetStorage> => {
    const map = joinMaps(clusters?.get(to.host.cluster)?.map, request.map);
    const poolsOf = async ({ host, link }: Place) => ({ name: host.name, pools: map.pools === undefined ? [] : await link.storage.pools(signal) });
    const { places, reasons } = ownXml === undefined ? placesOf(map, await poolsOf(from), await poolsOf(to)) : { places: 'problem' in ownXml ? [] : ownPlaces(ownXml.disks, facts), reasons: [] };
    const side = ({ host, link }: Place) => ({ id: host.id, name: host.name, storage: link.storage });
    return { ...(await deps.volumes.survey(facts?.disks ?? [], side(from), side(to), places, signal)), mapReasons: reasons };
  };

  /** The dead host is asked nothing: what is stored and what the candidates have decides. */
  const rescueCheck = async ({ vm, hosts, request, loadOf }: CheckInput, signal: AbortSignal): Promise<CheckResult> => {
    const definition = await deps.stored(vm.uuid, vm.hostId);
    const facts = definition === undefined ? undefined : deps.hypervisor.describeDefinition(definition.xml);
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(factsTimeoutMs)]);
    const answering = rescueCandidates({ vm, hosts, request }).filter(({ state }) => state === 'connected');
    const surveyed = await Promise.all(
      answering.map(async ({ host }): Promise<readonly [typeof host.id, RescueStorage]> => [
        host.id,
        await deps.volumes.surveyForRescue(facts?.disks ?? [], vm.hostId, { ...host, storage: deps.linkOf(host.id).storage }, bounded),
      ]),
    );
    return checkRescue({ vm, hosts, request, loadOf, storage: new Map(surveyed), ...(facts === undefined ? {} : { facts }) });
  };

  const store = async (migration: Migration): Promise<void> => {
    if (!isFinished(migration)) {
      await intents.commit([{ op: 'put', key: activePrefix + migration.id, value: migration }]);
      return;
    }
    // The journal first: a crash in between finds the intent again and only repeats this step.
    const [kept] = await journal.read({ kind: 'migration', subject: migration.id, limit: 1 });
    if (kept === undefined) await journal.append([{ at: clock.now(), kind: 'migration', subject: migration.id, data: migration }]);
    await intents.commit([
      { op: 'delete', key: activePrefix + migration.id },
      { op: 'delete', key: lockPrefix + migration.vm.uuid },
    ]);
  };

  /** By source: when its next migration may begin. */
  const nextStart = new Map<string, number>();
  const stopping = new AbortController();
  let waiting = false;

  /** Migrations that begin together end together, and share the processors just when their guests are paused; so they begin one after the other. */
  const admit = (): void => {
    for (const migration of admissible(active(), clock.now())) {
      const now = clock.now();
      if (now < (nextStart.get(migration.from.id) ?? 0)) {
        if (!waiting) void admitLater(startApartMs).finally(() => (waiting = false));
        waiting = true;
        continue;
      }
      nextStart.set(migration.from.id, now + startApartMs);
      runners.get(migration.id)?.dispatch({ type: 'admitted' });
    }
  };
  const admitLater = async (afterMs: number): Promise<void> => {
    await clock.sleep(Math.max(0, afterMs), stopping.signal).catch(() => undefined);
    if (!stopping.signal.aborted) admit();
  };

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
      snapshots: carriedSnapshots(intents),
      notReached: (from, to, message) => deps.peers.notReached(from, to, message),
      store,
      sampled: (of, sample) => void journal.append([{ at: clock.now(), kind: 'sample', subject: of.id, data: sample }]).catch((error: unknown) => deps.log.warn({ err: error, migration: of.id }, 'a sample was not kept')),
      inspected: async (inspection) => void (await journal.append([{ at: clock.now(), kind: 'inspection', subject: inspection.migration, data: inspection }])),
      check: async (current, signal) => {
        const before = checked.get(current.id);
        checked.delete(current.id);
        if (before !== undefined && clock.now() - before.at < checkedForMs) return before.result;
        const vm = fleet.vmByUuid(current.vm.uuid);
        return vm === undefined
          ? { kind: 'refused', reasons: [{ code: 'vm-unknown', message: `${current.vm.name} is no longer on any host.`, remedy: 'List the VMs with "ferry vm list".' }] }
          : check(vm, current.request, current, signal).catch((error: unknown): CheckResult => ({
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
        if (isFinished(current)) admit();
        else if (current.phase === 'queued' && current.notBefore !== undefined) void admitLater(current.notBefore - clock.now());
      },
    });
    runners.set(migration.id, runner);
    return runner;
  };

  const finished = async (limit: number, newestFirst = true): Promise<readonly Migration[]> =>
    (await journal.read({ kind: 'migration', newestFirst, limit })).map(({ data }) => data as Migration);

  const find = async (ref: string): Promise<Migration> => {
    const running = active();
    const exact = running.find(({ id, name }) => id === ref || name === ref);
    if (exact !== undefined) return exact;
    const ended = (await finished(searchDepth)).filter(({ id }) => !running.some((each) => each.id === id));
    return resolve([...running, ...ended], ref, { kind: 'migration', id: ({ id }) => id, name: ({ name }) => name, describe: ({ id, name }) => `${id} (${name})` });
  };

  const namedHost = (ref: string | undefined): string | undefined =>
    ref === undefined ? undefined : resolve(fleet.hosts(), ref, { kind: 'host', id: ({ host }) => host.id, name: ({ host }) => host.name, describe: ({ host }) => host.name }).host.name;

  return {
    active,
    async list({ state, vm, limit = 100 }) {
      const uuid = vm === undefined ? undefined : fleet.vm(vm).uuid;
      const running = state === 'finished' ? [] : [...active()].sort((a, b) => (a.id < b.id ? 1 : -1));
      const ended = state === 'active' ? [] : (await finished(uuid === undefined ? limit : searchDepth)).filter(({ id }) => !running.some((each) => each.id === id));
      return [...running, ...ended].filter((migration) => uuid === undefined || migration.vm.uuid === uuid).slice(0, limit);
    },
    find,
    async start({ vm: vmRef, ...asked }, by) {
      const to = namedHost(asked.to);
      const preferHost = namedHost(asked.preferHost);
      const vm = fleet.vm(vmRef);
      const request: MigrationRequest = { ...asked, ...(to === undefined ? {} : { to }), ...(preferHost === undefined ? {} : { preferHost }) };
      const busy = active().find(({ vm: { uuid } }) => uuid === vm.uuid);
      if (busy !== undefined) throw new FerryError('vm-already-migrating', `${vm.name} is already being moved by migration ${busy.id}, which is ${busy.phase}.`);
      const policy = policyOf(vm, request);
      const result = await check(vm, request, undefined, AbortSignal.timeout(factsTimeoutMs));
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
      const written = await intents.commit([
        { op: 'put', key: lockPrefix + vm.uuid, value: id, ifRevision: 0 },
        { op: 'put', key: activePrefix + id, value: migration, ifRevision: 0 },
      ]);
      if ('conflict' in written) throw new FerryError('vm-already-migrating', `${vm.name} is already being moved by another migration.`);
      checked.set(id, { at: now, result });
      run(migration);
      deps.changed(migration, true);
      admit();
      return migration;
    },
    async plan({ vm: vmRef, ...request }, signal) {
      const vm = fleet.vm(vmRef);
      const result = await check(vm, request, undefined, signal);
      if (result.kind === 'refused') throw new FerryError('migration-refused', `${vm.name} cannot be moved: ${result.reasons[0]?.message ?? ''}`, { reasons: result.reasons });
      const source = fleet.hosts().find(({ host }) => host.id === vm.hostId);
      const { plan } = result;
      const from = { id: vm.hostId, name: source?.host.name ?? vm.hostId };
      const differences = clusterDifferences(clusterOf(from.id), clusterOf(result.to.id));
      const adapted = plan.definition === undefined ? undefined : await deps.linkOf(vm.hostId).definitions.read(vm.uuid, signal);
      const diff = adapted === undefined ? [] : lineDiff(adapted, plan.definition?.ownXml === true ? (request.xml ?? adapted) : deps.rewriteDefinition(adapted, plan.definition ?? {}));
      const policy = policyOf(vm, request);
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
    async samples(ref) {
      const { id } = await find(ref);
      return (await journal.read({ kind: 'sample', subject: id, limit: samplesShown })).map(({ at, data }) => ({ at, sample: data as JobSample }));
    },
    async inspection(ref) {
      const { id } = await find(ref);
      const [kept] = await journal.read({ kind: 'inspection', subject: id, newestFirst: true, limit: 1 });
      if (kept === undefined) throw new FerryError('inspection-none', `Nothing was kept of a target of migration ${id}.`);
      return kept.data as Inspection;
    },
    pause: async (ref) => (await runnerOf(ref)).pause(),
    tune: async (ref, limits, signal) => (await runnerOf(ref)).tune(limits, signal),
    startPostCopy: async (ref, signal) => (await runnerOf(ref)).startPostCopy(signal),
    switching(vmUuid, what) {
      for (const runner of runners.values()) if (runner.current().vm.uuid === vmUuid) runner.dispatch({ type: 'switching', what });
    },
    async recover() {
      for (const { value } of await intents.list(activePrefix)) {
        const migration = value as Migration;
        const runner = run(migration);
        runner.dispatch({ type: 'recovered' });
        if (migration.phase === 'queued' && migration.notBefore !== undefined) void admitLater(migration.notBefore - clock.now());
      }
      admit();
    },
    async stop() {
      stopping.abort(new Error('the control plane stops'));
      await Promise.all([...runners.values()].map((runner) => runner.stop()));
    },
  };
}
