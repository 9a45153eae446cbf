/**
 * The rules that may forbid a move, and the choice of a target among the hosts that pass them. Every host gets every
 * reason that speaks against it, not the first one. Pure; facts are arguments.
 */
import { notConnectedReason } from '../fleet/machine.ts';
import { defaultCluster, type Cluster, type Host, type HostView } from '../model/host.ts';
import type { HostId, VmUuid, TimeMs } from '../model/ids.ts';
import type { MigrationPlan, StateRisk, DiskPlan, CheckResult } from '../model/plan.ts';
import type { PolicyContent } from '../model/policy.ts';
import type { Reason, ReasonCode } from '../model/reasons.ts';
import type { MigrationKind, MigrationRequest } from '../model/request.ts';
import type { StatePlace, DiskFacts } from '../model/storage.ts';
import type { Instance, Vm } from '../model/vm.ts';
import { conflictReasons, definitionThereReasons } from './definition-there.ts';
import {
  joinMaps,
  mapReasons,
  mtuWarnings,
  noNeeds,
  placeOf,
  planDefinition,
  type DefinitionNeeds,
  type DiskEdits,
  type HostResources,
  type OwnDefinition,
  type Places,
} from './definition.ts';
import { helperMachine, helperReasons } from './helper-machine.ts';
import { planPaths, tieReasons, type PathThere } from './host-ties.ts';
import { chooseKind } from './kind.ts';
import { emulatorPaths, machineReasons, machinesOf } from './machine-type.ts';
import { disksToCopy, needsOfBoth, planNextStart, type NextStart } from './next-start.ts';
import { diskOwnership, planState, type HostUses, type TargetHoldings } from './ownership.ts';
import type { Secrets } from './secrets.ts';
import { stateFileReasons, stateRisks, uncheckedOf, type GuestState } from './state-versions.ts';
import { cacheReasons, planDisks, type TargetStorage } from './storage.ts';
import { planTransfer, versionOf } from './transfer.ts';

/** What the source host says of the VM beyond its inventory. */
export interface VmFacts extends GuestState {
  /**
   * libvirt holds the memory of the shut-off VM in a file. `disks` and `needs` are those of the definition inside it,
   * `nextStart` is the VM's.
   */
  readonly saved: boolean;
  /** Why that file cannot be read. */
  readonly savedUnread?: string;
  readonly autostart: boolean;
  readonly persistent: boolean;
  readonly disks: readonly DiskFacts[];
  /** Paths of what belongs to the VM beside its disks and does not travel with a guest that is shut off. */
  readonly stateFiles: readonly string[];
  /** Where they would be, there or not, running or not. */
  readonly statePlaces: readonly StatePlace[];
  /** UEFI variables are a disk of their own to QEMU. */
  readonly nvram: boolean;
  /** Devices of the host given to the guest. */
  readonly hostDevices: number;
  readonly snapshots: number;
  readonly externalSnapshots: boolean;
  readonly checkpoints: number;
  readonly needs: DefinitionNeeds;
  /** Of a guest that runs, or is saved, and stays defined when it stops. */
  readonly nextStart?: NextStart;
}

export interface CheckInput {
  readonly vm: Vm;
  readonly hosts: readonly HostView[];
  readonly request: MigrationRequest;
  /** Outgoing and incoming active migrations by host, this one left out. */
  readonly loadOf: (id: HostId) => number;
  /** Absent when the source could not be asked. */
  readonly facts?: VmFacts;
  /** By host, of the candidates. */
  readonly storage?: ReadonlyMap<HostId, TargetStorage>;
  /** What the source's definitions use; absent where nothing of it is copied away. */
  readonly uses?: HostUses;
  /** By host, of the candidates. */
  readonly holdings?: ReadonlyMap<HostId, TargetHoldings>;
  /** By host, of the candidates. */
  readonly resources?: ReadonlyMap<HostId, HostResources>;
  /** Of the source; only where the definition names any. */
  readonly sourceSecrets?: Secrets;
  /** Of the source, by network and bridge, where it tells. */
  readonly sourceMtus?: ReadonlyMap<string, number>;
  /** By host, of the candidates: whether they have the paths that the definition names. */
  readonly paths?: ReadonlyMap<HostId, ReadonlyMap<string, PathThere>>;
  /** What the operator's own definition says, or why it cannot be read. */
  readonly ownXml?: OwnDefinition | { readonly problem: string };
  /** Hosts that keep a definition of the VM on purpose. */
  readonly parkedOn?: ReadonlySet<HostId>;
  /** It arrived paused and was not resumed since: another move or a save kills its QEMU, and its memory is lost. */
  readonly arrivedPaused?: boolean;
  /** Those that have something to say, by name. */
  readonly clusters?: ReadonlyMap<string, Cluster>;
  /** By target: why the source's daemon did not reach it last time. */
  readonly peerRefusals?: ReadonlyMap<HostId, { readonly at: TimeMs; readonly message: string }>;
  /** Every domain that the host reports. */
  readonly domainsOn?: (id: HostId) => readonly Pick<Instance, 'uuid' | 'name'>[];
  /** Ports that active migrations use on this host. */
  readonly portsInUse?: (id: HostId) => readonly number[];
  /** Memory that active migrations will take on this host. */
  readonly memoryPromised?: (id: HostId) => number;
  /** Candidates that were asked something and did not answer, or take no further connection. */
  readonly silent?: ReadonlyMap<HostId, Reason>;
  readonly policy?: PolicyContent;
  /** Hosts on which earlier attempts of this migration failed, and why. */
  readonly tried?: ReadonlyMap<HostId, string>;
  /** UUID for a helper domain, should one be needed. */
  readonly helperUuid?: VmUuid;
}

type Rule = (input: CheckInput, candidate: HostView) => Reason | undefined;

const noFacts: VmFacts = {
  saved: false,
  autostart: false,
  persistent: true,
  disks: [],
  stateFiles: [],
  statePlaces: [],
  nvram: false,
  hostDevices: 0,
  snapshots: 0,
  externalSnapshots: false,
  checkpoints: 0,
  needs: noNeeds,
};
const factsOf = (input: Pick<CheckInput, 'facts'>): VmFacts => input.facts ?? noFacts;
const kindOf = (input: CheckInput): ReturnType<typeof chooseKind> =>
  chooseKind({ name: input.vm.name, state: input.vm.state, saved: factsOf(input).saved }, input.request.kind);
/** The guest's memory or processor state travels. */
const carriesGuest = (input: CheckInput): boolean => {
  const chosen = kindOf(input);
  return !('kind' in chosen) || chosen.kind === 'live' || chosen.kind === 'suspended';
};

/** Rules on the VM and its source: a reason here holds for every target. */
export function vmReasons(input: CheckInput): readonly Reason[] {
  const { vm, hosts, request } = input;
  const source = hosts.find(({ host }) => host.id === vm.hostId);
  const reasons: Reason[] = [];
  const facts = factsOf(input);
  if (source === undefined || source.state !== 'connected') {
    const remedy = 'Wait until the host answers, or restore the connection.';
    reasons.push(
      source === undefined
        ? { code: 'source-unreachable', message: `The host of ${vm.name} is no longer in the fleet.`, remedy }
        : notConnectedReason(source, 'source-unreachable', remedy),
    );
  } else {
    const chosen = kindOf(input);
    if ('reason' in chosen) reasons.push({ ...chosen.reason, host: source.host.name });
    else reasons.push(...wishReasons(vm.name, chosen.kind, request, facts));
  }
  reasons.push(...savedReasons(input, source?.host.name), ...ownXmlReasons(input));
  if (input.facts !== undefined && input.ownXml === undefined)
    reasons.push(...mapReasons(vm.name, facts.needs, request.map));
  if (input.arrivedPaused === true && carriesGuest(input)) {
    reasons.push({
      code: 'vm-arrived-paused',
      message: `${vm.name} arrived paused and has not been resumed since; another move would kill its QEMU and lose its memory.`,
      remedy: 'Resume it first; you may pause it again at once.',
    });
  }
  reasons.push(...conflictReasons(vm, (id) => hosts.find(({ host }) => host.id === id)?.host.name ?? id));
  return reasons;
}

/** The guest comes back with the definition inside its saved memory, and not with the VM's. */
function savedReasons({ vm, facts, ownXml }: CheckInput, from = 'its host'): readonly Reason[] {
  if (facts?.saved !== true) return [];
  const start = `Start ${vm.name} (virsh start ${vm.name}) and shut it down first`;
  if (facts.savedUnread !== undefined)
    return [
      {
        code: 'saved-memory-unread',
        message: `What disks the saved memory of ${vm.name} on ${from} needs cannot be read: ${facts.savedUnread}`,
        remedy: `${start}; or, to lose that memory: virsh managedsave-remove ${vm.name}`,
      },
    ];
  return ownXml === undefined
    ? []
    : [
        {
          code: 'saved-memory-xml',
          message: `${vm.name} is saved, and its memory has a definition of its own that one given with --xml cannot replace.`,
          remedy: `${start}; or use --map-network, --map-pool and --map-path, which change both.`,
        },
      ];
}

/** The operator's own definition has to be one, and of this VM. */
function ownXmlReasons({ vm, ownXml, facts }: CheckInput): readonly Reason[] {
  if (ownXml === undefined) return [];
  const remedy = `Start from the output of "virsh dumpxml --inactive ${vm.name}" on its host, and change only what must differ.`;
  if ('problem' in ownXml)
    return [{ code: 'xml-malformed', message: `The definition in --xml cannot be read: ${ownXml.problem}.`, remedy }];
  if (ownXml.uuid !== vm.uuid || ownXml.name !== vm.name) {
    return [
      {
        code: 'xml-identity',
        message: `The definition in --xml is of ${ownXml.name} (${ownXml.uuid}), not of ${vm.name} (${vm.uuid}).`,
        remedy,
      },
    ];
  }
  const lost = (facts?.disks ?? [])
    .filter(({ target, source }) => source !== undefined && ownXml.disks[target] === undefined)
    .map(({ target }) => target);
  return lost.length === 0
    ? []
    : [
        {
          code: 'xml-disks',
          message: `The definition in --xml has no disk ${lost.join(', ')}, which ${vm.name} has.`,
          remedy,
        },
      ];
}

/** Wishes that do not go together with the kind of move or with the VM. */
function wishReasons(name: string, kind: MigrationKind, request: MigrationRequest, facts: VmFacts): readonly Reason[] {
  const carries = kind === 'live' || kind === 'suspended';
  const reasons: Reason[] = [];
  const refuse = (code: ReasonCode, message: string, remedy: string): void =>
    void reasons.push({ code, message, remedy });
  if (request.temporary === true && (!carries || facts.saved))
    refuse(
      'temporary-unfit',
      `${name} does not run, so it cannot move temporarily.`,
      'Start it first, or omit --temporary.',
    );
  if (request.temporary === true && !facts.persistent)
    refuse(
      'temporary-transient',
      `${name} is transient: its host keeps no definition for its return.`,
      'Define it on its host first, or omit --temporary.',
    );
  if (request.keepSource === true && !facts.persistent)
    refuse('keep-source-transient', `${name} is transient: its host keeps no definition.`, 'Omit --keep-source.');
  if (request.autoStart === true && carries && !facts.saved)
    refuse(
      'auto-start-unfit',
      `${name} is not shut off, so there is nothing to start after the move.`,
      'Omit --auto-start.',
    );
  if (carries && !facts.saved) reasons.push(...tieReasons(name, facts.needs.ties));
  if (carries && facts.hostDevices > 0)
    refuse(
      'vm-host-devices',
      `${name} has ${facts.hostDevices} device(s) of its host, which cannot move with a running guest.`,
      'Detach them, or shut the VM down and move it cold.',
    );
  return reasons;
}

/** Where an earlier attempt failed: a host is tried again only when it was named. */
export function triedReason(
  { tried, request }: Pick<CheckInput, 'tried' | 'request'>,
  { id, name }: Pick<Host, 'id' | 'name'>,
): Reason | undefined {
  const why = tried?.get(id);
  return why === undefined || request.to !== undefined
    ? undefined
    : {
        code: 'target-tried',
        host: name,
        message: `An attempt to move to ${name} has failed already: ${why}`,
        remedy: 'Correct that, or choose another host.',
      };
}

const rules: readonly Rule[] = [
  ({ vm }, { host }) =>
    host.id === vm.hostId
      ? {
          code: 'target-is-source',
          host: host.name,
          message: `${vm.name} is already on ${host.name}.`,
          remedy: 'Name another host.',
        }
      : undefined,
  (input, { host }) => triedReason(input, host),
  (_, view) =>
    view.state === 'connected'
      ? undefined
      : notConnectedReason(view, 'target-unreachable', 'Restore the connection, or choose another host.'),
  ({ silent }, { host }) => silent?.get(host.id),
  (input, { host }) =>
    host.cluster === wantedCluster(input)
      ? undefined
      : {
          code: 'target-other-cluster',
          host: host.name,
          message:
            `${host.name} belongs to the cluster ${host.cluster}, ${input.vm.name} is in ` +
            `${sourceOf(input)?.host.cluster ?? defaultCluster}.`,
          remedy: `Add --to-cluster ${host.cluster} to move it there.`,
        },
  ({ vm, hosts }, { host, facts }) => {
    const source = hosts.find((each) => each.host.id === vm.hostId)?.facts;
    if (facts === undefined || source === undefined || facts.cpu.arch === source.cpu.arch) return undefined;
    return {
      code: 'target-arch',
      host: host.name,
      message: `${host.name} is ${facts.cpu.arch}, the source is ${source.cpu.arch}.`,
      remedy: 'Choose a host of the same architecture.',
    };
  },
  (input, { host, state, freeMemoryBytes }) => {
    const { vm } = input;
    return state !== 'connected' ||
      memoryNeeded(input) === 0 ||
      freeMemoryBytes === undefined ||
      freeMemoryBytes >= vm.memoryBytes
      ? undefined
      : {
          code: 'target-memory',
          host: host.name,
          message: `${host.name} has ${mib(freeMemoryBytes)} MiB free, ${vm.name} needs ${mib(vm.memoryBytes)} MiB.`,
          remedy: 'Free memory there, or choose another host.',
        };
  },
  (input, { host }) => nameTaken(input, host),
];

/** libvirt has each name once; the VM that has it there loses nothing to one that comes. */
export function nameTaken({ vm, domainsOn }: Pick<CheckInput, 'vm' | 'domainsOn'>, host: Host): Reason | undefined {
  const other = domainsOn?.(host.id).find(({ uuid, name }) => name === vm.name && uuid !== vm.uuid);
  if (other === undefined) return undefined;
  return {
    code: 'target-name-taken',
    host: host.name,
    message: `${host.name} has another VM named ${vm.name} (${other.uuid}); this one is ${vm.uuid}.`,
    remedy: `Rename one of them while it is shut off (virsh domrename ${vm.name} NEW-NAME), or choose another host.`,
  };
}

/** On the target, for a guest that runs there. */
const memoryNeeded = (input: CheckInput): number =>
  carriesGuest(input) || input.request.autoStart === true ? input.vm.memoryBytes : 0;

/** There is memory, and other migrations will take it. */
export function memoryWaits(
  vm: Pick<Vm, 'name' | 'memoryBytes'>,
  { host, freeMemoryBytes }: HostView,
  needed: number,
  promised: number,
): readonly Reason[] {
  if (
    needed === 0 ||
    promised === 0 ||
    freeMemoryBytes === undefined ||
    freeMemoryBytes < needed ||
    freeMemoryBytes - promised >= needed
  )
    return [];
  return [
    {
      code: 'target-memory-promised',
      host: host.name,
      message:
        `${host.name} has ${mib(freeMemoryBytes)} MiB free, of which incoming migrations take up ` +
        `to ${mib(promised)} MiB, and ${vm.name} needs ${mib(needed)} MiB.`,
      remedy: 'Ferry tries again when one of them has ended.',
    },
  ];
}

const mib = (bytes: number): number => Math.floor(bytes / 1_048_576);

const ownOf = ({ ownXml }: CheckInput): OwnDefinition | undefined =>
  ownXml !== undefined && 'needs' in ownXml ? ownXml : undefined;
/** A temporary guest leaves its definition at home, and the operator's own stands for both. */
function bothOf(input: CheckInput): VmFacts {
  const { nextStart, ...now } = factsOf(input);
  return nextStart === undefined || input.request.temporary === true || ownOf(input) !== undefined
    ? now
    : { ...now, nextStart };
}
const needsIn = (input: CheckInput): DefinitionNeeds => ownOf(input)?.needs ?? needsOfBoth(bothOf(input));

const reasonsFor = (input: CheckInput, candidate: HostView): readonly Reason[] => [
  ...rules.flatMap((rule) => rule(input, candidate) ?? []),
  ...machineReasons(input.vm.name, needsIn(input).machines, sourceOf(input), candidate),
  ...definitionThereReasons(input, candidate.host),
];

/** Hosts whose storage has to be looked at: those in question that pass every other rule. */
export function candidatesOf(input: CheckInput): readonly HostView[] {
  return inQuestion(input).filter((view) => reasonsFor(input, view).length === 0);
}

const named = (input: CheckInput, name: string): HostView | undefined =>
  input.hosts.find(({ host }) => host.name === name || host.id === name);

const sourceOf = ({ hosts, vm }: Pick<CheckInput, 'hosts' | 'vm'>): HostView | undefined =>
  hosts.find(({ host }) => host.id === vm.hostId);
/** The target is chosen in it. */
export const wantedCluster = (input: Pick<CheckInput, 'hosts' | 'vm' | 'request'>): string =>
  input.request.toCluster ?? sourceOf(input)?.host.cluster ?? defaultCluster;

const inQuestion = (input: CheckInput): readonly HostView[] => {
  const { hosts, request, vm } = input;
  return request.to === undefined
    ? hosts.filter(({ host }) => host.id !== vm.hostId && host.cluster === wantedCluster(input))
    : hosts.filter((view) => view === named(input, request.to ?? ''));
};

/**
 * Chooses the target. `to`: this one or none; `preferHost`: first if it passes; otherwise the suited host with the
 * fewest risks for the guest's state, then the fewest disks to copy, then the fewest migrations, then the most memory
 * that nobody has been promised. Refused: all reasons of all hosts in question.
 */
export function checkMigration(input: CheckInput): CheckResult {
  const { request } = input;
  const general = vmReasons(input);
  const candidates = inQuestion(input);
  const promisedOn = ({ host }: HostView): number => input.memoryPromised?.(host.id) ?? 0;
  const judged = candidates.map((view) => {
    const basic = reasonsFor(input, view);
    const planned = planOn(input, view);
    // nothing is said of storage that was not looked at, since the VM or the host fails anyway
    const looked = basic.length === 0 && (general.length === 0 || input.storage !== undefined);
    const waits = [...memoryWaits(input.vm, view, memoryNeeded(input), promisedOn(view)), ...planned.waits];
    return {
      view,
      plan: planned.plan,
      ports: planned.ports,
      waits,
      reasons: [...basic, ...(looked ? planned.storage : []), ...planned.transfer],
    };
  });
  const copies = ({ disks }: MigrationPlan): number => disks.filter(({ how }) => how === 'copy').length;
  const isPreferred = ({ view }: { readonly view: HostView }): number =>
    request.preferHost !== undefined && view === named(input, request.preferHost) ? 0 : 1;
  const spare = (view: HostView): number => (view.freeMemoryBytes ?? 0) - promisedOn(view);
  const suited = judged
    .filter(({ reasons }) => reasons.length === 0)
    .sort(
      (a, b) =>
        isPreferred(a) - isPreferred(b) ||
        (a.plan.stateRisks?.length ?? 0) - (b.plan.stateRisks?.length ?? 0) ||
        copies(a.plan) - copies(b.plan) ||
        input.loadOf(a.view.host.id) - input.loadOf(b.view.host.id) ||
        spare(b.view) - spare(a.view) ||
        (a.view.host.name < b.view.host.name ? -1 : 1),
    );
  const chosen = suited.find(({ waits }) => waits.length === 0) ?? suited[0];
  const kind = kindOf(input);
  if (chosen !== undefined && general.length === 0 && 'kind' in kind) {
    const choice = { to: { id: chosen.view.host.id, name: chosen.view.host.name }, move: kind.kind, plan: chosen.plan };
    if (chosen.waits.length === 0) return { kind: 'chosen', ...choice };
    return {
      kind: 'waits',
      ...choice,
      reasons: suited.flatMap(({ waits }) => waits),
      on: suited.map(({ view, ports }) => ({ host: view.host.id, ports, memoryBytes: memoryNeeded(input) })),
    };
  }
  return {
    kind: 'refused',
    reasons: [...general, ...noCandidate(input, candidates), ...judged.flatMap(({ reasons }) => reasons)],
  };
}

/** Why there is no host to speak of. */
export function noCandidate(
  { request, vm, hosts }: Pick<CheckInput, 'request' | 'vm' | 'hosts'>,
  candidates: readonly HostView[],
): readonly Reason[] {
  if (candidates.length > 0) return [];
  if (request.to !== undefined)
    return [
      {
        code: 'target-unknown',
        host: request.to,
        message: `There is no host ${request.to}.`,
        remedy: 'List the hosts with "ferry host list".',
      },
    ];
  const elsewhere = hosts.filter(({ host }) => host.id !== vm.hostId);
  if (elsewhere.length === 0)
    return [
      { code: 'no-other-host', message: 'There is no other host.', remedy: 'Add one with "ferry host add URI".' },
    ];
  const clusters = [...new Set(elsewhere.map(({ host }) => host.cluster))].sort();
  const none =
    request.toCluster === undefined
      ? `The cluster of ${vm.name} has no other host`
      : `The cluster ${request.toCluster} has no host for ${vm.name}`;
  return [
    {
      code: 'no-other-host',
      message: `${none}; there are hosts in ${clusters.join(', ')}.`,
      remedy: 'Choose a cluster with --to-cluster, or a host with --to.',
    },
  ];
}

/** The operator's own definition says itself where its disks are. */
function storageOn({ storage, ownXml, facts }: CheckInput, id: HostId): TargetStorage {
  const surveyed = storage?.get(id) ?? emptyStorage;
  return ownXml === undefined || 'problem' in ownXml
    ? surveyed
    : { ...surveyed, places: ownPlaces(ownXml.disks, facts) };
}

/** Where the operator's own definition has the disks of the VM. */
export const ownPlaces = (disks: Readonly<Record<string, string>>, facts: Pick<VmFacts, 'disks'> | undefined): Places =>
  (facts?.disks ?? []).flatMap(({ target, source, pool }): Places => {
    const own = disks[target];
    if (source === undefined || own === undefined) return [];
    // named by its pool, as before
    return pool !== undefined && own === `${pool}/${source.slice(source.lastIndexOf('/') + 1)}` ? [] : [[source, own]];
  });

/** What of the disks is other in a definition on the target. */
const editsOf = (facts: readonly DiskFacts[], disks: readonly DiskPlan[], places: Places): DiskEdits => ({
  disks: Object.fromEntries(movedDisks(facts, disks, places)),
  chains: Object.fromEntries(disks.flatMap(({ target, chain }) => (chain === undefined ? [] : [[target, chain]]))),
  volumePools: Object.fromEntries(
    disks.flatMap(({ target, namedPool }) => (namedPool === undefined ? [] : [[target, namedPool]])),
  ),
});

/** Disks whose source is another one on the target, or none. */
function movedDisks(
  facts: readonly DiskFacts[],
  disks: readonly DiskPlan[],
  places: Places,
): readonly (readonly [string, string | null])[] {
  return facts.flatMap(({ target, source, written = source }): readonly (readonly [string, string | null])[] => {
    if (source === undefined || !source.startsWith('/')) return [];
    if (disks.find((disk) => disk.target === target)?.how === 'eject') return [[target, null]];
    const place = placeOf(source, places);
    return place === written ? [] : [[target, place]];
  });
}

/** Risks of what would travel as a file. */
const riskyFiles = ({ saved, statePlaces, stateFiles }: VmFacts, risks: readonly StateRisk[]): readonly StateRisk[] =>
  risks.filter(({ of }) =>
    of === 'memory' ? saved : statePlaces.some(({ path, what }) => what === 'tpm' && stateFiles.includes(path)),
  );

/** What of the VM's state travels, as files or with the guest, and what goes before it. */
function stateOf(
  { stateFiles, statePlaces, saved }: VmFacts,
  travels: 'guest' | 'files' | 'definition',
  { shared, replaces }: Pick<ReturnType<typeof planState>, 'shared' | 'replaces'>,
): Pick<MigrationPlan, 'stateFiles' | 'guestFiles' | 'replaces'> {
  const files = travels === 'files' ? stateFiles.filter((path) => !shared.has(path)) : [];
  const withGuest =
    travels === 'guest'
      ? statePlaces.filter(({ path, what }) => what !== 'memory' && !shared.has(path)).map(({ path }) => path)
      : [];
  // memory that lies there would be what its next start goes on with
  const memory = saved ? [] : statePlaces.filter(({ what }) => what === 'memory').map(({ path }) => path);
  const goes = replaces.filter(({ path }) => [...files, ...withGuest, ...memory].includes(path));
  return {
    ...(files.length === 0 ? {} : { stateFiles: files }),
    ...(withGuest.length === 0 ? {} : { guestFiles: withGuest }),
    ...(goes.length === 0 ? {} : { replaces: goes }),
  };
}

const emptyStorage: TargetStorage = { pools: [], sharing: new Map(), volumes: new Map(), records: new Map() };

/** The move to this host, with what its storage has against it. */
function planOn(
  input: CheckInput,
  target: HostView,
): {
  readonly plan: MigrationPlan;
  readonly storage: readonly Reason[];
  readonly transfer: readonly Reason[];
  readonly waits: readonly Reason[];
  readonly ports: number;
} {
  const { vm, request } = input;
  const { host } = target;
  const facts = factsOf(input);
  const kind = kindOf(input);
  const move = 'kind' in kind ? kind.kind : 'live';
  const source = sourceOf(input);
  const from = source?.host.name ?? 'its host';
  const storage = storageOn(input, host.id);
  const names = { from, to: host.name };
  const wish = {
    ...request,
    ...(input.policy?.unknownSharing === 'shared' ? { assumeShared: true } : {}),
    cold: move === 'cold',
    usualClusters: target.facts !== undefined && versionOf(target.facts.libvirtVersion) < 8_000_000,
    externalSnapshots: facts.externalSnapshots,
  };
  const own = ownOf(input);
  const both = bothOf(input);
  const needs = needsIn(input);
  const now =
    move === 'configuration' ? { disks: [], reasons: [] } : planDisks(vm, disksToCopy(both), storage, wish, names);
  const next = planNextStart(vm, both, now.disks, storage, wish, names);
  const disks = next.disks;
  const reasons = [...now.reasons, ...next.reasons];
  const holdings = input.holdings?.get(host.id);
  const owned = diskOwnership(vm, disks, input.uses, holdings?.uses, names, request.deleteSourceDisks === true);
  const state = planState(vm, facts.statePlaces, holdings, names);
  const copied = disks.some(({ how }) => how === 'copy');
  const carries = (move === 'live' || move === 'suspended') && !facts.saved;
  const how = carries ? 'guest' : copied ? 'helper' : 'definition';
  const peerRefusal = input.peerRefusals?.get(host.id);
  const travel =
    how === 'definition' || source === undefined
      ? undefined
      : planTransfer({
          source,
          target,
          request,
          copies: copied,
          live: how === 'guest' && move === 'live',
          cluster: input.clusters?.get(host.cluster) ?? { name: host.cluster },
          sourceCluster: input.clusters?.get(source.host.cluster) ?? { name: source.host.cluster },
          portsInUse: input.portsInUse?.(host.id) ?? [],
          ...(input.policy === undefined ? {} : { policy: input.policy }),
          ...(peerRefusal === undefined ? {} : { peerRefusal }),
        });
  const cluster = input.clusters?.get(host.cluster);
  const map = own === undefined ? joinMaps(cluster?.map, request.map) : {};
  const adapted = planDefinition({
    vm: vm.name,
    needs,
    map,
    source: from,
    target: host.name,
    resources: input.resources?.get(host.id),
    sourceSecrets: input.sourceSecrets,
    createMissing: request.createMissing === true,
    ...editsOf(
      facts.disks,
      disks.filter(({ when }) => when !== 'next-start'),
      storage.places ?? [],
    ),
    ...(both.nextStart === undefined
      ? {}
      : {
          nextStart: editsOf(
            both.nextStart.disks,
            disks.filter(({ when }) => when !== 'now'),
            storage.places ?? [],
          ),
        }),
    ownXml: input.ownXml !== undefined,
  });
  const machine = how === 'helper' ? helperMachine(machinesOf(source?.facts), machinesOf(target.facts)) : undefined;
  const paths = planPaths(
    vm.name,
    [...needs.paths, ...emulatorPaths(needs.machines, target.facts)],
    input.paths?.get(host.id) ?? new Map(),
    host.name,
  );
  const devices =
    facts.hostDevices > 0
      ? [`whether ${host.name} has devices in place of the ${facts.hostDevices} of ${from} that ${vm.name} was given`]
      : [];
  const risks = stateRisks(vm.name, facts, source, target);
  const unchecked = [...adapted.unchecked, ...paths.unchecked, ...devices, ...(carries ? uncheckedOf(risks) : [])];
  const warnings = mtuWarnings(
    vm.name,
    needs,
    map,
    { name: from, mtus: input.sourceMtus },
    { name: host.name, mtus: input.resources?.get(host.id)?.mtus },
  );
  const plan: MigrationPlan = {
    how,
    ...(unchecked.length === 0 ? {} : { unchecked }),
    ...(carries && risks.length > 0 ? { stateRisks: risks } : {}),
    ...(warnings.length === 0 ? {} : { warnings }),
    live: move === 'live',
    persistence: !facts.persistent
      ? 'transient'
      : request.temporary === true
        ? 'temporary'
        : request.keepSource === true
          ? 'keep-source'
          : 'permanent',
    disks,
    ...(adapted.definition === undefined ? {} : { definition: adapted.definition }),
    ...(travel === undefined ? {} : { transfer: travel.transfer }),
    ...(how === 'helper' && input.helperUuid !== undefined
      ? {
          helper: {
            uuid: input.helperUuid,
            name: `ferry-${input.helperUuid.slice(0, 8)}`,
            ...(machine === undefined ? {} : { machine }),
          },
        }
      : {}),
    autostart: facts.autostart,
    ...stateOf(facts, carries ? 'guest' : move === 'configuration' ? 'definition' : 'files', state),
    ...(facts.saved ? { savedMemory: true as const } : {}),
    ...(facts.nvram ? { nvram: true as const } : {}),
    ...(vm.instances.some(({ hostId, instance }) => hostId === host.id && instance.persistent)
      ? { definedThere: true as const }
      : {}),
    ...(facts.snapshots + facts.checkpoints > 0 ? { carriesSnapshots: true as const } : {}),
  };
  const temporary: readonly Reason[] =
    plan.persistence === 'temporary' && copied
      ? [
          {
            code: 'temporary-needs-shared',
            host: host.name,
            message: `${vm.name} has disks that would be copied to ${host.name}; what it writes there would be lost when it comes back.`,
            remedy: 'Omit --temporary, or put the disks on shared storage.',
          },
        ]
      : [];
  const cached =
    how === 'guest'
      ? cacheReasons(
          vm.name,
          facts.disks,
          now.disks,
          [source, target].flatMap((each) =>
            each === undefined ? [] : [{ name: each.host.name, qemuVersion: each.facts?.qemuVersion }],
          ),
        )
      : [];
  return {
    plan,
    storage: [
      ...reasons,
      ...owned,
      ...state.reasons,
      ...temporary,
      ...cached,
      ...(how === 'helper' ? helperReasons(vm.name, source, target) : []),
    ],
    transfer: [
      ...(storage.mapReasons ?? []),
      ...adapted.reasons,
      ...paths.reasons,
      ...(travel?.reasons ?? []),
      ...(carries || move === 'configuration' ? [] : stateFileReasons(vm.name, host.name, riskyFiles(facts, risks))),
    ],
    waits: travel?.waits ?? [],
    ports: travel?.ports ?? 0,
  };
}
