/**
 * What each operation does: ask the engine, shape the answer. Input arrives parsed; failures are FerryErrors and pass
 * through. No HTTP here but the status' companion, the path of what was made.
 */
import type {
  AnswerOf,
  CallName,
  DrainJson,
  HostJson,
  MigrationJson,
  ParsedOf,
  PolicyJson,
  RolloutJson,
  VmJson,
} from '@ferry/api';
import { apiBase } from '@ferry/api';
import { fileOfFleet } from '@ferry/api/offline';
import {
  FerryError,
  matchesName,
  migrationOrigins,
  matchesSelector,
  parseSelector,
  presets,
  type Batch,
  type Cluster,
  type Configuration,
  type HostView,
  type Migration,
  type Policy,
  type MigrationRequest,
  type PolicyContent,
  type PolicyStep,
  type Rollout,
  type RuleContent,
  type Vm,
  type VolumeRecord,
} from '@ferry/core';
import type { DrainRequest, Engine, KeyedRequest, MigrationCursor, RolloutRequest, VmCursor } from '@ferry/engine';
import { eventId } from './event-ids.ts';
import { createPages, pagesOf, type ReadPage } from './pages.ts';
import { dirtyRateJson, predictionStatsJson } from './prediction-views.ts';
import { fleetJson, queuedJson } from './queue-views.ts';
import { present } from './view-parts.ts';
import {
  batchJson,
  clusterJson,
  hostJson,
  inspectionJson,
  leftoverJson,
  migrationJson,
  plannedJson,
  policyJson,
  rolloutJson,
  ruleJson,
  samplesJson,
  vmJson,
} from './views.ts';

export interface HandlerContext {
  /** Name of the calling program: cli, console, ... */
  readonly client: string;
  readonly lastEventId: string | undefined;
  /** The revision that the document must have (If-Match). */
  readonly expected: number | undefined;
  /** Set where the request is carried out once only (Idempotency-Key). */
  readonly keyed: KeyedRequest | undefined;
  /** Aborts when the caller leaves or the server stops. */
  readonly signal: AbortSignal;
}

export interface Answer<T> {
  readonly body: T;
  /** Path of the object that was made. */
  readonly location?: string;
}

export type CallHandlers = {
  readonly [N in CallName]: (input: ParsedOf<N>, context: HandlerContext) => Promise<Answer<AnswerOf<N>>>;
};

/** The longest period of a dirty rate. */
const defaultSeconds = 4;
/** Who acts: the token is all that is known of a caller. */
const actor = 'operator';

export const callHandlers = (engine: Engine, version: string): CallHandlers => {
  const pages = createPages(async () => eventId(await engine.eventPlace()));
  const nameOf = (id: string): string => engine.hostNameOf(id);
  const vmView = (vm: Vm): VmJson =>
    vmJson(vm, nameOf, engine.policies.labelsOf(vm.uuid), engine.policies.labelsRevisionOf(vm.uuid));
  const hostView = (view: HostView): HostJson =>
    hostJson(
      view,
      engine.vmCountOf(view.host.id),
      engine.hostRevisionOf(view.host.id),
      engine.hostAttentionOf(view.host.id),
    );
  /** Read at one moment: a revision belongs to what is shown with it. */
  const hostNow = (ref: string): HostJson => hostView(engine.host(ref));
  const addedHost = (id: string): Answer<HostJson> => ({ body: hostNow(id), location: `${apiBase}/hosts/${id}` });
  const startedMigration = (migration: Migration): Answer<MigrationJson> => ({
    body: migrationJson(migration),
    location: `${apiBase}/migrations/${migration.id}`,
  });
  const batchView = (batch: Batch): DrainJson => batchJson(batch, engine.batches.revisionOf(batch.id));
  const batchWithForecast = (batch: Batch): DrainJson =>
    batchJson(batch, engine.batches.revisionOf(batch.id), engine.batches.forecast(batch));
  const madeBatch = (batch: Batch): Answer<DrainJson> => ({
    body: batchView(batch),
    location: `${apiBase}/drains/${batch.id}`,
  });
  const rolloutView = (rollout: Rollout): RolloutJson => rolloutJson(rollout, engine.rollouts.revisionOf(rollout.id));
  const madeRollout = (rollout: Rollout): Answer<RolloutJson> => ({
    body: rolloutView(rollout),
    location: `${apiBase}/rollouts/${rollout.id}`,
  });
  const policyView = (policy: Policy): PolicyJson => policyJson(policy, engine.policies.revisionOf(policy.name));
  return {
    versionShow: async () => ({ body: { version, api: 'v1' } }),
    hostList: async ({ query }) => {
      const { cluster, state, name, label } = query;
      const selector = label === undefined ? [] : parseSelector(label);
      const isMeant = ({ host, state: now }: HostView): boolean =>
        (cluster === undefined || host.cluster === cluster) &&
        (state === undefined || now === state) &&
        (name === undefined || matchesName(name, host.name)) &&
        matchesSelector(selector, host.labels ?? []);
      const found = pagesOf(engine.hosts().filter(isMeant), ({ host }) => host.name);
      return { body: await pages.list('hosts', query, shown(found, hostView)) };
    },
    hostAdd: async ({ body }, { signal, keyed }) =>
      engine.once(
        keyed,
        async (along) => addedHost((await engine.addHost(present(body), signal, along)).host.id),
        async (id) => addedHost(id),
      ),
    hostShow: async ({ params }) => ({ body: hostNow(params.host) }),
    hostRemove: async ({ params }, { expected }) => {
      await engine.removeHost(params.host, expected);
      return { body: undefined };
    },
    hostChange: async ({ params, body }, { expected }) => {
      const { host } = await engine.changeHost(params.host, present(body), expected);
      return { body: hostNow(host.name) };
    },
    hostCordon: async ({ params }, { expected }) => {
      await engine.cordonHosts([params.host], expected);
      return { body: hostNow(params.host) };
    },
    hostUncordon: async ({ params }, { expected }) => {
      await engine.uncordonHosts([params.host], expected);
      return { body: hostNow(params.host) };
    },
    hostLabel: async ({ params, body }, { expected }) => {
      const { host } = await engine.labelHost(
        params.host,
        { add: body.add ?? [], remove: body.remove ?? [] },
        expected,
      );
      return { body: hostNow(host.name) };
    },
    hostDoctor: async ({ body }, { signal }) => {
      const { hosts, findings } = await engine.examineHosts(body.hosts, signal);
      return { body: { hosts: [...hosts], findings: findings.map((each) => ({ ...each })) } };
    },
    fleetShow: async () => ({ body: fleetJson(engine.fleetSettings()) }),
    fleetChange: async ({ body }, { expected }) => ({
      body: fleetJson(await engine.changeFleetSettings((before) => mergePatch(before, body), expected)),
    }),
    fleetExport: async () => ({ body: fileOfFleet(engine.recordedFleet(), engine.configuration.show()) }),
    queueList: async ({ query }) => {
      // the order of the queue; places change while its pages are read
      const found = pagesOf(
        engine.queue(),
        ({ priority, migration }) => `${migrationOrigins.indexOf(priority)} ${migration.id}`,
      );
      return { body: await pages.list('queue', query, shown(found, queuedJson)) };
    },
    hostRestore: async ({ params }, { client, keyed }) =>
      engine.once(
        keyed,
        async (along) => madeBatch(await engine.batches.restore(params.host, { actor, client }, along)),
        async (id) => madeBatch(engine.batches.find(id)),
      ),
    drainCreate: async ({ body }, { client, keyed }) =>
      engine.once(
        keyed,
        async (along) => madeBatch(await engine.batches.drain(drainRequestOf(body), { actor, client }, along)),
        async (id) => madeBatch(engine.batches.find(id)),
      ),
    drainPlan: async ({ body }, { client }) => ({
      body: batchWithForecast(await engine.batches.planDrain(drainRequestOf(body), { actor, client })),
    }),
    drainList: async ({ query }) => {
      // ids sort by age, the newest first
      const places = new Map(engine.batches.all().map(({ id }, index) => [id, String(index).padStart(6, '0')]));
      const found = pagesOf(engine.batches.all(), ({ id }) => places.get(id) ?? '');
      return { body: await pages.list('drains', query, shown(found, batchView)) };
    },
    drainShow: async ({ params }) => ({ body: batchWithForecast(engine.batches.find(params.drain)) }),
    drainCancel: async ({ params, body }) => ({
      body: batchView(await engine.batches.cancel(params.drain, body.abort === true)),
    }),
    drainRetry: async ({ params }) => ({ body: batchView(await engine.batches.retry(params.drain)) }),
    rolloutCreate: async ({ body }, { client, keyed }) =>
      engine.once(
        keyed,
        async (along) => madeRollout(await engine.rollouts.begin(rolloutRequestOf(body), { actor, client }, along)),
        async (id) => madeRollout(engine.rollouts.find(id)),
      ),
    rolloutList: async ({ query }) => {
      // ids sort by age, the newest first
      const places = new Map(engine.rollouts.all().map(({ id }, index) => [id, String(index).padStart(6, '0')]));
      const found = pagesOf(engine.rollouts.all(), ({ id }) => places.get(id) ?? '');
      return { body: await pages.list('rollouts', query, shown(found, rolloutView)) };
    },
    rolloutShow: async ({ params }) => ({ body: rolloutView(engine.rollouts.find(params.rollout)) }),
    rolloutContinue: async ({ params }) => ({ body: rolloutView(await engine.rollouts.goOn(params.rollout)) }),
    rolloutCancel: async ({ params }) => ({ body: rolloutView(await engine.rollouts.cancel(params.rollout)) }),
    clusterList: async ({ query }) => {
      const found = pagesOf(engine.clusters(), ({ cluster }) => cluster.name);
      return { body: await pages.list('clusters', query, shown(found, clusterJson)) };
    },
    clusterChange: async ({ params, body }, { expected }) => ({
      body: clusterJson(
        await engine.changeCluster(params.cluster, (before) => mergePatch(before, body) as Cluster, expected),
      ),
    }),
    clusterCpuBaseline: async ({ params }, { signal }) => {
      const { hosts, leftOut, unfit, ...rest } = await engine.cpuBaseline(params.cluster, signal);
      return { body: { ...rest, hosts: [...hosts], leftOut: [...leftOut], unfit: [...unfit] } };
    },
    clusterRemove: async ({ params }, { expected }) => {
      await engine.removeCluster(params.cluster, expected);
      return { body: undefined };
    },
    policyList: async ({ query }) => {
      // presets first, in an order of their own
      const places = new Map(engine.policies.all().map((policy, index) => [policy.name, index]));
      const placeOf = ({ name }: Policy): string =>
        presets.has(name) ? `0 ${String(places.get(name)).padStart(4, '0')}` : `1 ${name}`;
      return { body: await pages.list('policies', query, shown(pagesOf(engine.policies.all(), placeOf), policyView)) };
    },
    policyShow: async ({ params }) => ({ body: policyView(engine.policies.find(params.policy)) }),
    policyPut: async ({ params, body }, { expected }) => {
      const { policy, revision } = await engine.policies.put(params.policy, policyOf(body), expected);
      return { body: policyJson(policy, revision) };
    },
    policyRemove: async ({ params }, { expected }) => {
      await engine.policies.remove(params.policy, expected);
      return { body: undefined };
    },
    policyBindings: async ({ query }) => ({
      body: await pages.list(
        'policy-bindings',
        query,
        pagesOf(engine.policies.bindings(), ({ label }) => label),
      ),
    }),
    policyBind: async ({ body }) => {
      await engine.policies.bind(body.label, body.policy);
      return { body: { items: [...engine.policies.bindings()] } };
    },
    ruleList: async ({ query }) => {
      const found = pagesOf(engine.rules(), ({ rule }) => rule.name);
      return { body: await pages.list('rules', query, shown(found, ruleJson)) };
    },
    ruleShow: async ({ params }) => ({ body: ruleJson(engine.rule(params.rule)) }),
    ruleChange: async ({ params, body }, { expected }) => ({
      body: ruleJson(await engine.changeRule(params.rule, (before) => changedRule(before, body), expected)),
    }),
    ruleRemove: async ({ params }, { expected }) => {
      await engine.removeRule(params.rule, expected);
      return { body: undefined };
    },
    configurationShow: async () => ({
      body: engine.configuration.show() as AnswerOf<'configurationShow'>,
    }),
    configurationApply: async ({ body }) => {
      const { changes, warnings, applied } = await engine.configuration.apply(configurationOf(body.configuration), {
        dryRun: body.dryRun === true,
      });
      return {
        body: {
          applied,
          changes: changes.map((change) => ({ ...change, diff: [...change.diff] })),
          warnings: [...warnings],
        },
      };
    },
    vmList: async ({ query }) => {
      const { limit: _limit, page: _page, ...filter } = query;
      const read: ReadPage<Vm, VmCursor> = async (after, limit) =>
        engine.vmPage(present(filter), { limit, ...(after === undefined ? {} : { after }) });
      return { body: await pages.list('vms', query, shown(read, vmView)) };
    },
    vmShow: async ({ params }) => ({ body: vmView(engine.vm(params.vm)) }),
    vmLabel: async ({ params, body }, { expected }) => ({
      body: vmView(await engine.labelVm(params.vm, { add: body.add ?? [], remove: body.remove ?? [] }, expected)),
    }),
    vmAnnounce: async ({ params }, { signal }) => ({ body: vmView(await engine.announceVm(params.vm, signal)) }),
    vmDirtyRate: async ({ params, body }, { signal }) => {
      const { vm, curve } = await engine.measureDirtyRate(params.vm, body.seconds ?? defaultSeconds, signal);
      return { body: dirtyRateJson(vm.name, curve) };
    },
    statsPrediction: async () => ({ body: predictionStatsJson(await engine.predictionStats()) }),
    vmCopies: async ({ params }, { signal }) => ({
      body: {
        vm: engine.vm(params.vm).name,
        copies: (await engine.settling.copies(params.vm, signal)).map(({ knowledge, ...copy }) => ({
          ...copy,
          knowledge: [...knowledge],
        })),
      },
    }),
    vmSettle: async ({ params, body }, { signal }) => ({
      body: vmView(await engine.settling.settle(params.vm, body.keep, signal)),
    }),
    vmRemains: async ({ params }) => ({
      body: { vm: engine.vm(params.vm).name, items: [...(await engine.settling.remains(params.vm))] },
    }),
    vmCleanup: async ({ params }, { signal }) => ({
      body: { vm: engine.vm(params.vm).name, items: [...(await engine.settling.cleanup(params.vm, signal))] },
    }),
    migrationList: async ({ query }) => {
      const { limit: most = 100, page: _page, ...filter } = query;
      const read: ReadPage<Migration, MigrationCursor> = (after, limit) =>
        engine.migrations({ ...present(filter), limit, ...(after === undefined ? {} : { after }) });
      return {
        body: await pages.list(
          'migrations',
          { ...query, limit: most },
          shown(read, (each) => migrationJson(each)),
        ),
      };
    },
    migrationCreate: async ({ body }, { client, signal, keyed }) =>
      engine.once(
        keyed,
        async (along) => {
          const start = (request: MigrationRequest & { readonly vm: string }) =>
            engine.startMigration(request, { actor, client }, along);
          return startedMigration(await onTarget(engine, body, signal, start));
        },
        async (id) => startedMigration(await engine.migration(id)),
      ),
    migrationPlan: async ({ body }, { signal }) => ({
      body: plannedJson(await onTarget(engine, body, signal, (request) => engine.planMigration(request, signal))),
    }),
    migrationShow: async ({ params }) => {
      const migration = await engine.migration(params.migration);
      const queued =
        migration.phase === 'queued' ? engine.queue().find((each) => each.migration.id === migration.id) : undefined;
      return { body: migrationJson(migration, queued) };
    },
    leftoverList: async ({ query }) => {
      const oldestFirst = (await engine.leftovers()).toSorted((a, b) => (ageOf(a) < ageOf(b) ? -1 : 1));
      return { body: await pages.list('leftovers', query, shown(pagesOf(oldestFirst, ageOf), leftoverJson)) };
    },
    leftoverPurge: async ({ body }, { signal }) => ({
      body: leftoverJson(await engine.purgeLeftover(body.host, body.path, signal)),
    }),
    migrationTune: async ({ params, body }, { expected }) => ({
      body: migrationJson(await engine.tuneMigration(params.migration, present(body), expected)),
    }),
    migrationPause: async ({ params }, { expected }) => ({
      body: migrationJson(await engine.pauseMigration(params.migration, expected)),
    }),
    migrationSamples: async ({ params }) => ({ body: samplesJson(await engine.migrationSamples(params.migration)) }),
    migrationInspect: async ({ params }) => ({ body: inspectionJson(await engine.inspection(params.migration)) }),
    migrationPostCopy: async ({ params }, { expected }) => ({
      body: migrationJson(await engine.startPostCopy(params.migration, expected)),
    }),
    migrationAbort: async ({ params }, { expected }) => ({
      body: migrationJson(await engine.abortMigration(params.migration, expected)),
    }),
  };
};

const drainRequestOf = ({
  hosts,
  at,
  deadline,
  force,
  neverDegrade,
}: ParsedOf<'drainCreate'>['body']): DrainRequest => ({
  hosts,
  ...(at === undefined ? {} : { beginsAt: Date.parse(at) }),
  ...(deadline === undefined ? {} : { deadlineAt: Date.parse(deadline) }),
  force: force === true,
  ...(neverDegrade === true ? { neverDegrade } : {}),
});

const rolloutRequestOf = ({ work, onlyIf, ...body }: ParsedOf<'rolloutCreate'>['body']): RolloutRequest => ({
  ...present(body),
  ...(work === undefined ? {} : { work: present(work) }),
  ...(onlyIf === undefined ? {} : { onlyIf: present(onlyIf) }),
});

/** Replaces a URI by the host that it leads to. */
const onTarget = <T>(
  engine: Engine,
  { toUri, ...body }: ParsedOf<'migrationCreate'>['body'],
  signal: AbortSignal,
  use: (request: MigrationRequest & { readonly vm: string }) => Promise<T>,
): Promise<T> => {
  if (toUri === undefined) return use(requestOf(body));
  if ((body.to ?? body.preferHost ?? body.toCluster) !== undefined)
    throw new FerryError(
      'request-invalid',
      'The field "toUri" of the body names the target; "to", "preferHost" and "toCluster" do not go with it.',
    );
  const request = requestOf(body);
  return engine.withExternalHost(toUri, signal, (target) => use({ ...request, ...target }));
};

/** Fields that are not there are left out, in the steps too. */
const policyOf = ({ steps, hooks, ...content }: ParsedOf<'policyPut'>['body']): PolicyContent => ({
  ...present(content),
  steps: steps.map((step) => present<object>(step) as PolicyStep),
  ...(hooks === undefined ? {} : { hooks: hooks.map((hook) => present(hook)) }),
});

/** A new one is hard, and has a kind. */
const changedRule = (before: RuleContent | undefined, body: ParsedOf<'ruleChange'>['body']): RuleContent => {
  const { kind, ...rest } = mergePatch(before ?? { strength: 'hard' }, body) as Partial<RuleContent> &
    Omit<RuleContent, 'kind'>;
  if (kind === undefined)
    throw new FerryError(
      'rule-invalid',
      'It is a new rule and needs a kind: apart, together, on-hosts, off-hosts, pinned.',
    );
  return { kind, ...rest };
};

/** Fields that are not there are left out, as the objects of one operation each are made. */
const configurationOf = ({
  policies = {},
  ...rest
}: ParsedOf<'configurationApply'>['body']['configuration']): Configuration => ({
  ...(withoutAbsent(rest) as Configuration),
  policies: Object.fromEntries(Object.entries(policies).map(([name, policy]) => [name, policyOf(policy)])),
});
const withoutAbsent = (value: unknown): unknown =>
  isObject(value)
    ? Object.fromEntries(
        Object.entries(value).flatMap(([key, each]) => (each === undefined ? [] : [[key, withoutAbsent(each)]])),
      )
    : value;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** RFC 7396. */
const mergePatch = (before: unknown, patch: object): object => {
  const merged = new Map(Object.entries(isObject(before) ? before : {}));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else if (value !== undefined) merged.set(key, isObject(value) ? mergePatch(merged.get(key), value) : value);
  }
  return Object.fromEntries(merged);
};

/** Throws FerryError `request-invalid` for fields that exclude each other. */
const requestOf = (
  body: Omit<ParsedOf<'migrationCreate'>['body'], 'toUri'>,
): MigrationRequest & { readonly vm: string } => {
  const exclude = (one: string, other: string): never => {
    throw new FerryError('request-invalid', `The fields "${one}" and "${other}" of the body exclude each other.`);
  };
  if (body.to !== undefined && body.preferHost !== undefined) exclude('to', 'preferHost');
  if (body.temporary === true && body.keepSource === true) exclude('temporary', 'keepSource');
  if (body.xml !== undefined && body.map !== undefined) exclude('xml', 'map');
  const { rescue, map, ...rest } = body;
  return {
    ...present(rest),
    ...(rescue === undefined ? {} : { rescue: present(rescue) }),
    ...(map === undefined ? {} : { map: present(map) }),
  };
};

/** The same pages, as they are shown. */
const shown =
  <T, C, U>(read: ReadPage<T, C>, show: (item: T) => U): ReadPage<U, C> =>
  async (after, limit) => {
    const { items, next } = await read(after, limit);
    return { items: items.map((item) => show(item)), next };
  };

const ageOf = ({ at, host, path }: VolumeRecord): string => `${String(at).padStart(15, '0')} ${host} ${path}`;
