/**
 * Gathers what core needs to know about a move, from the hosts and from what is stored, and asks core. It decides
 * nothing, and leaves nothing behind on any host.
 */
import {
  candidatesOf,
  checkMigration,
  checkRescue,
  defaultCluster,
  disksOfBoth,
  emulatorPaths,
  joinMaps,
  linksOf,
  loadOn,
  memoryPromisedOn,
  needsOfBoth,
  ownPlaces,
  placesOf,
  portsUsedOn,
  rescueCandidates,
  vmReasons,
  vmUuid,
  FerryError,
  type CheckInput,
  type CheckResult,
  type Cluster,
  type FileThere,
  type Host,
  type HostFacts,
  type HostId,
  type HostUses,
  type HostView,
  type Instance,
  type Migration,
  type MigrationRequest,
  type PathThere,
  type Reason,
  type RescueStorage,
  type ResolvedPolicy,
  type TargetHoldings,
  type TargetStorage,
  type Vm,
  type VmFacts,
  type VmUuid,
} from '@ferry/core';
import { lookForPaths } from './host-paths.ts';
import type { KeptInstanceStore } from '../fleet/kept-instances.ts';
import type { Peers } from '../fleet/peer-reachability.ts';
import type { Policies } from '../settings/policies.ts';
import type { Clock, FileFacts, HostLink, Hypervisor, StoredDefinition } from '../ports/ports.ts';
import type { Sharing } from './sharing.ts';
import type { StorageSurvey } from './storage-survey.ts';
import type { Records } from '../state/ownership.ts';
import { sideOn, type Side } from './side.ts';

/** Bounds all the asking for one check. */
export const factsTimeoutMs = 45_000;
/** Bounds the asking of one host. */
const lookTimeoutMs = 20_000;
/** A daemon that does not answer a cheap call within this time is not asked again. */
const silenceMs = 5_000;

export interface FleetView {
  hosts(): readonly HostView[];
  vms(): readonly Vm[];
  vm(ref: string): Vm;
  vmByUuid(uuid: VmUuid): Vm | undefined;
  /** What the host last reported. */
  instancesOn(hostId: string): readonly Instance[];
}

export interface FactFinderDeps {
  readonly clock: Clock;
  /** The open connection of a host; throws FerryError `host-unreachable`. */
  readonly linkOf: (hostId: string) => HostLink;
  readonly stored: (uuid: VmUuid, host: string) => Promise<StoredDefinition | undefined>;
  readonly volumes: StorageSurvey;
  readonly sharing: Pick<Sharing, 'sharesFile'>;
  readonly records: Pick<Records, 'at'>;
  readonly hypervisor: Pick<Hypervisor, 'describeDefinition' | 'identityOfDefinition'>;
  readonly kept: Pick<KeptInstanceStore, 'hasArrivedPaused' | 'isParked'>;
  readonly peers: Pick<Peers, 'refusalsOf'>;
  readonly policies: Pick<Policies, 'resolve'>;
  readonly clusters: () => ReadonlyMap<string, Cluster>;
  readonly fleet: FleetView;
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
}

/** What the hosts said. The choice is made of it when it is asked for, with what other migrations have by then. */
export interface Gathered {
  /** `self`: the migration that asks. */
  choose(self: string | undefined): CheckResult;
  /**
   * Whether the chosen host's daemon accepts one more connection, as the move will need it. A daemon with too many
   * clients lets it wait, and libvirt waits without a limit. Such a host is not chosen again.
   */
  takes(chosen: CheckResult, signal: AbortSignal): Promise<boolean>;
  /** Whether the VM and its hosts are still what they were. */
  holds(): boolean;
}

export interface FactFinder {
  /** Asks the hosts what has to be known of a move. `self`: the migration that asks. Rejects when the signal aborts. */
  gather(
    vm: Vm,
    request: MigrationRequest,
    self: Pick<Migration, 'policy' | 'attempts'> | undefined,
    signal: AbortSignal,
  ): Promise<Gathered>;
  /** That of the cluster which the VM leaves, unless the VM or the request has another. */
  policyOf(vm: Vm, request: MigrationRequest): ResolvedPolicy;
  clusterOf(hostId: string): Cluster;
}

/** A host with its open connection. */
interface Place {
  readonly host: Host;
  readonly link: HostLink;
}

export function createFactFinder(deps: FactFinderDeps): FactFinder {
  const { clock, fleet, active } = deps;
  const clusterOf = (hostId: string): Cluster => {
    const name = fleet.hosts().find(({ host }) => host.id === hostId)?.host.cluster ?? defaultCluster;
    return deps.clusters().get(name) ?? { name };
  };
  const policyOf = (vm: Vm, request: MigrationRequest): ResolvedPolicy =>
    deps.policies.resolve(request, vm.uuid, clusterOf(vm.hostId));

  const readOwnXml = (xml: string): NonNullable<CheckInput['ownXml']> => {
    try {
      return deps.hypervisor.identityOfDefinition(xml);
    } catch (error) {
      return { problem: error instanceof Error ? error.message : String(error) };
    }
  };

  const factsOn = ({ host }: Place): HostFacts | undefined =>
    fleet.hosts().find((view) => view.host.id === host.id)?.facts;
  const sideAt = ({ host, link }: Place): Side =>
    sideOn({ id: host.id, name: host.name, machine: host.machineUuid }, link);
  /** The file at this path; a text where that cannot be seen. */
  const lookAt = async (
    { files }: Side,
    path: string,
    signal: AbortSignal,
  ): Promise<FileFacts | string | undefined> => {
    try {
      return await files.look(path, signal);
    } catch (error) {
      if (error instanceof FerryError && error.code === 'volume-failed') return error.message;
      throw error;
    }
  };

  /** Looks at the target's storage where the maps, or the operator's own definition, put the disks. */
  const surveyOn = async (
    { request, facts, ownXml, clusters }: CheckInput,
    from: Place,
    to: Place,
    signal: AbortSignal,
  ): Promise<TargetStorage> => {
    const map = joinMaps(clusters?.get(to.host.cluster)?.map, request.map);
    const poolsOf = async ({ host, link }: Place) => ({
      name: host.name,
      pools: map.pools === undefined ? [] : await link.volumes.pools(signal),
    });
    const { places, reasons } =
      ownXml === undefined
        ? placesOf(map, await poolsOf(from), await poolsOf(to))
        : { places: 'problem' in ownXml ? [] : ownPlaces(ownXml.disks, facts), reasons: [] };
    return {
      ...(await deps.volumes.survey(
        facts === undefined ? [] : disksOfBoth(facts),
        sideAt(from),
        sideAt(to),
        places,
        signal,
      )),
      mapReasons: reasons,
    };
  };

  /** Files on the target where the VM's state would go. */
  const statesOn = async (
    { statePlaces }: Pick<VmFacts, 'statePlaces'>,
    from: Side | undefined,
    to: Side,
    signal: AbortSignal,
  ): Promise<TargetHoldings['state']> => {
    const look = async (path: string): Promise<readonly (readonly [string, FileThere])[]> => {
      const there = await lookAt(to, path, signal);
      if (there === undefined) return [];
      if (typeof there === 'string') return [[path, { kind: 'unseen', why: there }]];
      const record = await deps.records.at(to, path);
      const shared =
        record === undefined && from !== undefined && (await deps.sharing.sharesFile(path, from, to, signal));
      const { allocationBytes, modified } = there;
      return [
        [
          path,
          {
            kind: 'file',
            allocationBytes,
            ...(modified === undefined ? {} : { modified }),
            ...(record === undefined ? {} : { record }),
            ...(shared ? { shared: true as const } : {}),
          },
        ],
      ];
    };
    return new Map((await Promise.all(statePlaces.map(({ path }) => look(path)))).flat());
  };
  /** With the files that its definitions use: every time that something is written there. */
  const withUses = async (
    state: TargetHoldings['state'],
    { statePlaces }: Pick<VmFacts, 'statePlaces'>,
    storage: TargetStorage | undefined,
    to: Side,
    signal: AbortSignal,
  ): Promise<TargetHoldings> => {
    const writes = state.size > 0 || statePlaces.some(({ what }) => what !== 'memory') || isCopied(storage);
    return { state, ...(writes ? { uses: await to.uses(signal) } : {}) };
  };

  /**
   * A host's free memory now, which is also the question whether it answers at all. What one host does not say is
   * that host's reason, and no other's.
   */
  const ask = async <T>(
    { host, link }: Place,
    heard: Heard,
    look: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T | undefined> => {
    const over = new AbortController();
    const within = AbortSignal.any([signal, over.signal]);
    let why: string | undefined;
    const giveUpAfter = async (ms: number, unless: () => boolean): Promise<void> => {
      await clock.sleep(ms, within).catch(() => undefined);
      if (within.aborted || unless()) return;
      why = `${host.name} did not answer within ${ms / 1_000} s.`;
      over.abort(new Error(why));
    };
    void giveUpAfter(silenceMs, () => heard.freeMemory.has(host.id));
    void giveUpAfter(lookTimeoutMs, () => false);
    const answer = async (): Promise<void> =>
      void heard.freeMemory.set(host.id, await link.inventory.freeMemory(within));
    try {
      const [looked] = await Promise.all([look(within), answer()]);
      return looked;
    } catch (error) {
      if (signal.aborted) throw error;
      const message =
        why ??
        `${host.name} did not answer what the move needs: ${error instanceof Error ? error.message : String(error)}`;
      heard.silent.set(host.id, {
        code: 'target-silent',
        host: host.name,
        message,
        remedy: `Check libvirtd on ${host.name}, or choose another host.`,
      });
      return undefined;
    } finally {
      over.abort(new Error('the asking is over'));
    }
  };

  const takesAnother = ({ host, link }: Place, heard: Heard, signal: AbortSignal): Promise<boolean> => {
    const known = heard.takes.get(host.id);
    if (known !== undefined) return known;
    const asking = connects({ host, link }, signal).then((problem) => {
      if (problem !== undefined) heard.silent.set(host.id, problem);
      return problem === undefined;
    });
    heard.takes.set(host.id, asking);
    return asking;
  };
  const connects = async ({ host, link }: Place, signal: AbortSignal): Promise<Reason | undefined> => {
    const over = new AbortController();
    const late = clock.sleep(silenceMs, over.signal).then(
      () => over.abort(new Error(`nothing came within ${silenceMs / 1_000} s`)),
      () => undefined,
    );
    try {
      await link.takesAnother(AbortSignal.any([signal, over.signal]));
      return undefined;
    } catch (error) {
      if (signal.aborted) throw error;
      const why = over.signal.aborted ? over.signal.reason : error;
      return {
        code: 'target-full',
        host: host.name,
        message:
          `${host.name} accepts no further libvirt client ` +
          `(${why instanceof Error ? why.message : String(why)}), and the move needs one.`,
        remedy:
          `Raise max_clients in libvirtd.conf on ${host.name}, end clients that nobody needs (virt-admin ` +
          'client-list libvirtd), or choose another host.',
      };
    } finally {
      over.abort(new Error('the asking is over'));
      await late;
    }
  };

  const parkedOn = (vm: Vm): ReadonlySet<HostId> =>
    new Set(vm.instances.map(({ hostId }) => hostId).filter((id) => deps.kept.isParked(vm.uuid, id)));

  /** The dead host is asked nothing: what is stored and what the candidates have decides. */
  const gatherForRescue = async (
    vm: Vm,
    request: MigrationRequest,
    self: Pick<Migration, 'attempts'> | undefined,
    heard: Heard,
    signal: AbortSignal,
  ): Promise<(now: Now) => CheckResult> => {
    const hosts = fleet.hosts();
    const definition = await deps.stored(vm.uuid, vm.hostId);
    const facts = definition === undefined ? undefined : deps.hypervisor.describeDefinition(definition.xml);
    const known = facts ?? { statePlaces: [] };
    const answering = rescueCandidates({ vm, hosts, request }).filter(({ state }) => state === 'connected');
    const surveyed = await Promise.all(
      answering.map(
        async ({
          host,
        }): Promise<
          readonly {
            readonly id: HostId;
            readonly storage: RescueStorage;
            readonly holdings: TargetHoldings;
            readonly paths: ReadonlyMap<string, PathThere>;
          }[]
        > => {
          const place = { host, link: deps.linkOf(host.id) };
          const to = sideAt(place);
          const said = await ask(
            place,
            heard,
            (within) =>
              Promise.all([
                deps.volumes.surveyForRescue(facts?.disks ?? [], vm.hostId, to, within),
                statesOn(known, undefined, to, within).then((state) => withUses(state, known, undefined, to, within)),
                lookForPaths(
                  emulatorPaths(facts?.needs.machines ?? [], factsOn(place)),
                  undefined,
                  place.link.paths,
                  within,
                ),
              ]),
            signal,
          );
          return said === undefined ? [] : [{ id: host.id, storage: said[0], holdings: said[1], paths: said[2] }];
        },
      ),
    );
    const all = surveyed.flat();
    return (now) =>
      checkRescue({
        vm,
        request,
        ...now,
        tried: triedBy(self),
        parkedOn: parkedOn(vm),
        domainsOn: (id) => fleet.instancesOn(id),
        hosts: heard.of(hosts),
        silent: heard.silent,
        storage: new Map(all.map(({ id, storage }) => [id, storage])),
        holdings: new Map(all.map(({ id, holdings }) => [id, holdings])),
        paths: new Map(all.map(({ id, paths }) => [id, paths])),
        ...(facts === undefined ? {} : { facts }),
      });
  };

  /** Asks the source what the VM consists of, and every candidate about its storage. */
  const gatherForMove = async (
    vm: Vm,
    request: MigrationRequest,
    self: Pick<Migration, 'policy' | 'attempts'> | undefined,
    heard: Heard,
    signal: AbortSignal,
  ): Promise<(now: Now) => CheckResult> => {
    const hosts = fleet.hosts();
    const basic: CheckInput = {
      vm,
      hosts,
      request,
      policy: self?.policy ?? policyOf(vm, request),
      tried: triedBy(self),
      loadOf: () => 0,
      clusters: deps.clusters(),
      domainsOn: (id) => fleet.instancesOn(id),
      peerRefusals: await deps.peers.refusalsOf(vm.hostId),
      helperUuid: vmUuid(clock.randomUuid()),
      parkedOn: parkedOn(vm),
      arrivedPaused: deps.kept.hasArrivedPaused(vm),
    };
    const decide = (input: CheckInput) => (now: Now) =>
      checkMigration({ ...input, ...now, hosts: heard.of(hosts), silent: heard.silent });
    const source = hosts.find(({ host }) => host.id === vm.hostId);
    if (source?.state !== 'connected') return decide(basic);
    const from = { host: source.host, link: deps.linkOf(vm.hostId) };
    const facts = await ask(from, heard, (within) => from.link.definitions.describe(vm.uuid, within), signal);
    const unread = () => (): CheckResult => ({
      kind: 'refused',
      reasons: [
        {
          code: 'facts-missing',
          host: source.host.name,
          message: `Ferry cannot read what it needs to move ${vm.name}: ${heard.silent.get(source.host.id)?.message ?? ''}`,
          remedy: `Check that libvirtd on ${source.host.name} answers, then try again.`,
        },
      ],
    });
    if (facts === undefined) return unread();
    const input: CheckInput = {
      ...basic,
      facts,
      ...(request.xml === undefined ? {} : { ownXml: readOwnXml(request.xml) }),
    };
    // no host is asked about disks when the VM itself forbids the move
    if (vmReasons(input).length > 0) return decide(input);
    const needs = input.ownXml !== undefined && 'needs' in input.ownXml ? input.ownXml.needs : needsOfBoth(facts);
    const named = [needs.networks, needs.bridges, needs.filters, needs.secrets].some((names) => names.length > 0);
    const links = linksOf(needs, {});
    const askingHere =
      needs.secrets.length + links.length === 0
        ? undefined
        : ask(from, heard, (within) => from.link.resources.look(needs.secrets, links, within), signal);
    const hasDisks = request.kind !== 'configuration' && disksOfBoth(facts).length > 0;
    const candidates = candidatesOf(input);
    const mapTo = ({ host }: Place) =>
      input.ownXml === undefined ? joinMaps(input.clusters?.get(host.cluster)?.map, request.map) : {};
    // the files that are copied away may be others', too: asked once it is known that any are
    let askingUses: Promise<HostUses | undefined> | undefined;
    const lookAtTarget = async (to: Place, within: AbortSignal) => {
      const survey = async (): Promise<TargetStorage> => {
        const storage = await surveyOn(input, from, to, within);
        if (isCopied(storage)) {
          askingUses ??= ask(from, heard, (asking) => sideAt(from).uses(asking), signal);
          // it is waited for once the candidates have answered
          askingUses.catch(() => undefined);
        }
        return storage;
      };
      const [resources, storage, paths, state] = await Promise.all([
        named ? to.link.resources.look(needs.secrets, linksOf(needs, mapTo(to)), within) : undefined,
        hasDisks ? survey() : undefined,
        // who moves a definition alone may bring the rest later
        request.kind === 'configuration'
          ? undefined
          : lookForPaths(
              [...needs.paths, ...emulatorPaths(needs.machines, factsOn(to))],
              from.link.paths,
              to.link.paths,
              within,
            ),
        statesOn(facts, sideAt(from), sideAt(to), within),
      ]);
      return { resources, storage, paths, holdings: await withUses(state, facts, storage, sideAt(to), within) };
    };
    const askingCandidates = Promise.all(
      candidates.map(async ({ host }) => {
        const to = { host, link: deps.linkOf(host.id) };
        // where there is no choice it need not wait for one
        if (candidates.length === 1) void takesAnother(to, heard, signal).catch(() => undefined);
        const said = await ask(to, heard, (within) => lookAtTarget(to, within), signal);
        return { id: host.id, ...said };
      }),
    );
    const [asked, here] = await Promise.all([askingCandidates, askingHere]);
    const sourceSecrets = needs.secrets.length === 0 ? undefined : here?.secrets;
    const uses = await askingUses;
    if (askingUses !== undefined && uses === undefined) return unread();
    return decide({
      ...input,
      ...(sourceSecrets === undefined ? {} : { sourceSecrets }),
      ...(here?.mtus === undefined ? {} : { sourceMtus: here.mtus }),
      paths: new Map(asked.flatMap(({ id, paths }) => (paths === undefined ? [] : [[id, paths] as const]))),
      resources: new Map(
        asked.flatMap(({ id, resources }) => (resources === undefined ? [] : [[id, resources] as const])),
      ),
      ...(uses === undefined ? {} : { uses }),
      holdings: new Map(asked.flatMap(({ id, holdings }) => (holdings === undefined ? [] : [[id, holdings] as const]))),
      ...(hasDisks
        ? {
            storage: new Map(
              asked.flatMap(({ id, storage }) => (storage === undefined ? [] : [[id, storage] as const])),
            ),
          }
        : {}),
    });
  };

  /** What other migrations have now. */
  const nowFor = (self: string | undefined): Now => {
    const others = active().filter(({ id }) => id !== self);
    return {
      loadOf: (id) => loadOn(id, others),
      portsInUse: (id) => portsUsedOn(id, others),
      memoryPromised: (id) => memoryPromisedOn(id, others),
    };
  };
  /** What must stay as it is for the answers to hold. */
  const printOf = (uuid: VmUuid): string => {
    const { currentMigration: _, ...vm } = fleet.vmByUuid(uuid) ?? { uuid: undefined };
    return JSON.stringify([vm, fleet.hosts().map(({ freeMemoryBytes: __, ...view }) => view)]);
  };

  const gather: FactFinder['gather'] = async (vm, request, self, signal) => {
    const print = printOf(vm.uuid);
    const heard = newlyHeard();
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(factsTimeoutMs)]);
    const choose = await (request.rescue === undefined
      ? gatherForMove(vm, request, self, heard, bounded)
      : gatherForRescue(vm, request, self, heard, bounded));
    return {
      choose: (id) => choose(nowFor(id)),
      takes: async (chosen, within) => {
        const host =
          chosen.kind === 'chosen' && chosen.plan.transfer !== undefined
            ? fleet.hosts().find((each) => each.host.id === chosen.to.id)?.host
            : undefined;
        return host === undefined || takesAnother({ host, link: deps.linkOf(host.id) }, heard, within);
      },
      holds: () => printOf(vm.uuid) === print,
    };
  };

  return { gather, policyOf, clusterOf };
}

/** Hosts on which earlier attempts failed, and why. */
const triedBy = (self: Pick<Migration, 'attempts'> | undefined): ReadonlyMap<HostId, string> =>
  new Map((self?.attempts ?? []).flatMap(({ to, error }) => (to === undefined ? [] : [[to.id, error.message]])));

const isCopied = (storage: TargetStorage | undefined): boolean =>
  [...(storage?.sharing.values() ?? [])].some(({ verdict }) => verdict === 'separate');

type Now = Pick<CheckInput, 'loadOf' | 'portsInUse' | 'memoryPromised'> & Required<Pick<CheckInput, 'loadOf'>>;

/** What hosts say while facts are gathered, and which of them do not. */
interface Heard {
  readonly silent: Map<HostId, Reason>;
  /** Whether a host takes one more connection. */
  readonly takes: Map<HostId, Promise<boolean>>;
  readonly freeMemory: Map<HostId, number>;
  /** The hosts, with the memory that they have now. */
  readonly of: (hosts: readonly HostView[]) => readonly HostView[];
}

function newlyHeard(): Heard {
  const silent = new Map<HostId, Reason>();
  const freeMemory = new Map<HostId, number>();
  const withMemory = (view: HostView): HostView => {
    const freeMemoryBytes = freeMemory.get(view.host.id);
    return freeMemoryBytes === undefined ? view : { ...view, freeMemoryBytes };
  };
  return { silent, takes: new Map(), freeMemory, of: (hosts) => hosts.map(withMemory) };
}
