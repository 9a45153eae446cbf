/** Facts of a move: the source is asked what the VM consists of, every candidate what the move would meet there. */
import {
  candidatesOf,
  carriesGuest,
  checkMigration,
  disksOfBoth,
  emulatorPaths,
  factsMissing,
  factsOf,
  joinMaps,
  linksOf,
  needsOfBoth,
  mediatedIn,
  memoryNeeded,
  pageSizesOf,
  vmReasons,
  vmUuid,
  type CheckInput,
  type CheckResult,
  type HostId,
  type HostUses,
  type MayLeave,
  type TargetStorage,
} from '@ferry/core';
import {
  factsOn,
  goneWith,
  parkedOn,
  sideAt,
  triedBy,
  type Choose,
  type FactSources,
  type FactsWanted,
  type Place,
} from './fact-sources.ts';
import type { HostAnswers } from './host-answers.ts';
import { lookForPaths } from './host-paths.ts';
import { holdingsOn, isCopied, statesOn, surveyStorage } from './target-look.ts';

export async function gatherForMove(
  deps: FactSources,
  wanted: FactsWanted,
  answers: HostAnswers,
  signal: AbortSignal,
): Promise<Choose> {
  const { clock, fleet } = deps;
  const { vm, request, policy } = wanted;
  const hosts = fleet.hosts();
  const basic: CheckInput = {
    vm,
    hosts,
    request,
    policy,
    tried: triedBy(wanted),
    loadOf: () => 0,
    clusters: deps.clusters(),
    domainsOn: (id) => fleet.instancesOn(id),
    peerRefusals: await deps.peers.refusalsOf(vm.hostId),
    helperUuid: vmUuid(clock.randomUuid()),
    parkedOn: parkedOn(deps, vm),
    labels: deps.policies.labelsOf(vm.uuid),
    goneWith: goneWith(deps, vm),
    arrivedPaused: deps.kept.hasArrivedPaused(vm),
  };
  const decide =
    (input: CheckInput): Choose =>
    (now) =>
      checkMigration({ ...input, ...now, hosts: answers.asOfNow(hosts), silent: answers.silent });
  const source = hosts.find(({ host }) => host.id === vm.hostId);
  if (source?.state !== 'connected') return decide(basic);
  const from = { host: source.host, link: deps.linkOf(vm.hostId) };
  const facts = await answers.ask(from, (within) => from.link.definitions.describe(vm.uuid, within), signal);
  const unread = () => (): CheckResult => ({
    kind: 'refused',
    reasons: [factsMissing(vm.name, answers.silent.get(source.host.id)?.message ?? '', source.host.name)],
  });
  if (facts === undefined) return unread();
  const input: CheckInput = {
    ...basic,
    facts,
    ...(request.xml === undefined ? {} : { ownXml: readOwnXml(deps, request.xml) }),
  };
  // no host is asked about disks when the VM itself forbids the move
  if (vmReasons(input).length > 0) return decide(input);
  const needs = input.ownXml !== undefined && 'needs' in input.ownXml ? input.ownXml.needs : needsOfBoth(facts);
  const named = [needs.networks, needs.bridges, needs.filters, needs.secrets].some((names) => names.length > 0);
  const links = linksOf(needs, {});
  const askingHere =
    needs.secrets.length + links.length === 0
      ? undefined
      : answers.ask(from, (within) => from.link.resources.look(needs.secrets, links, within), signal);
  const askingLeave = mayLeave(deps, input, from, signal);
  const mediates = mediatedIn(facts.hardware).length > 0 && memoryNeeded(input) > 0;
  const pageSizes = memoryNeeded(input) > 0 ? pageSizesOf(input) : [];
  const askingMediated = mediates
    ? answers.ask(from, (within) => from.link.inventory.mediated(within), signal)
    : undefined;
  const hasDisks = request.kind !== 'configuration' && disksOfBoth(facts).length > 0;
  const candidates = candidatesOf(input);
  const mapTo = ({ host }: Place) =>
    input.ownXml === undefined ? joinMaps(input.clusters?.get(host.cluster)?.map, request.map) : {};
  // the files that are copied away may be others', too: asked once it is known that any are
  const ownPaths = disksOfBoth(facts).flatMap(({ source }) => source ?? []);
  let askingUses: Promise<HostUses | undefined> | undefined;
  const lookAtTarget = async (to: Place, within: AbortSignal) => {
    const survey = async (): Promise<TargetStorage> => {
      const storage = await surveyStorage(deps.volumes, input, from, to, within);
      if (isCopied(storage)) {
        askingUses ??= answers.ask(from, (asking) => deps.sharing.usesOf(sideAt(from), ownPaths, asking), signal);
        // it is waited for once the candidates have answered
        askingUses.catch(() => undefined);
      }
      return storage;
    };
    const guest = carriesGuest(input) && facts.cpu?.passthrough === false ? facts.cpu : undefined;
    const [resources, storage, paths, state, cpu, pages, mediated] = await Promise.all([
      named ? to.link.resources.look(needs.secrets, linksOf(needs, mapTo(to)), within) : undefined,
      hasDisks ? survey() : undefined,
      // who moves a definition alone may bring the rest later
      request.kind === 'configuration'
        ? undefined
        : lookForPaths(
            [...needs.paths, ...emulatorPaths(needs.machines, factsOn(deps, to))],
            from.link.paths,
            to.link.paths,
            within,
          ),
      statesOn(deps, facts, sideAt(from), sideAt(to), within),
      guest === undefined ? undefined : to.link.definitions.compareCpu(guest, within),
      pageSizes.length === 0 ? undefined : to.link.inventory.freePages(pageSizes, within),
      mediates ? to.link.inventory.mediated(within) : undefined,
    ]);
    return {
      cpu,
      pages,
      mediated,
      resources,
      storage,
      paths,
      holdings: await holdingsOn(deps, state, facts, storage, sideAt(to), within),
    };
  };
  const askingCandidates = Promise.all(
    candidates.map(async ({ host }) => {
      const to = { host, link: deps.linkOf(host.id) };
      // where there is no choice it need not wait for one
      if (candidates.length === 1) void answers.takesAnother(to, signal).catch(() => undefined);
      const said = await answers.ask(to, (within) => lookAtTarget(to, within), signal);
      return { id: host.id, ...said };
    }),
  );
  const [asked, here, leave, mediated] = await Promise.all([askingCandidates, askingHere, askingLeave, askingMediated]);
  const sourceSecrets = needs.secrets.length === 0 ? undefined : here?.secrets;
  const uses = await askingUses;
  if (askingUses !== undefined && uses === undefined) return unread();
  return decide({
    ...input,
    ...(sourceSecrets === undefined ? {} : { sourceSecrets }),
    ...(here?.mtus === undefined ? {} : { sourceMtus: here.mtus }),
    ...(leave === undefined ? {} : { mayLeave: leave }),
    cpus: byHost(asked, ({ cpu }) => cpu),
    pages: byHost(asked, ({ pages }) => pages),
    mediated: new Map([
      ...byHost(asked, (each) => each.mediated),
      ...(mediated === undefined ? [] : [[vm.hostId, mediated] as const]),
    ]),
    paths: byHost(asked, ({ paths }) => paths),
    resources: byHost(asked, ({ resources }) => resources),
    ...(uses === undefined ? {} : { uses }),
    holdings: byHost(asked, ({ holdings }) => holdings),
    ...(hasDisks ? { storage: byHost(asked, ({ storage }) => storage) } : {}),
  });
}

/** A domain with another job would keep the question waiting longer than it is worth. */
const leavePatienceMs = 5_000;

/** Of a guest that runs; libvirt refuses any domain with snapshots, which are taken off it before the move. */
async function mayLeave(
  { clock }: Pick<FactSources, 'clock'>,
  input: CheckInput,
  { link }: Place,
  signal: AbortSignal,
): Promise<MayLeave | undefined> {
  const { saved, snapshots, checkpoints } = factsOf(input);
  if (!carriesGuest(input) || saved || snapshots + checkpoints > 0) return undefined;
  const patience = clock.timeout(leavePatienceMs);
  try {
    return await link.transfer.mayLeave(input.vm.uuid, AbortSignal.any([signal, patience]));
  } catch (error) {
    if (signal.aborted) throw error;
    const why = patience.aborted ? `it did not answer within ${leavePatienceMs / 1_000} s` : textOf(error);
    return { answer: 'unknown', why };
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');

const readOwnXml = (
  { hypervisor }: Pick<FactSources, 'hypervisor'>,
  xml: string,
): NonNullable<CheckInput['ownXml']> => {
  try {
    return hypervisor.identityOfDefinition(xml);
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
};

/** Of the hosts that have one. */
const byHost = <A extends { readonly id: HostId }, T>(
  asked: readonly A[],
  of: (answer: A) => T | undefined,
): ReadonlyMap<HostId, T> =>
  new Map(
    asked.flatMap((each) => {
      const value = of(each);
      return value === undefined ? [] : [[each.id, value] as const];
    }),
  );
