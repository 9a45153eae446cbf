/**
 * What a move is decided from: what the source says of the VM, what every candidate says of itself, and the small
 * questions that several of the checks ask of them. Pure.
 */
import type { CpuThere, GuestCpu } from '../model/cpu.ts';
import { noHardware, type FreePages, type GuestHardware, type MediatedDevices } from '../model/hardware.ts';
import { type Cluster, defaultCluster, type HostView } from '../model/host.ts';
import type { HostId, TimeMs, VmUuid } from '../model/ids.ts';
import type { PolicyContent } from '../model/policy.ts';
import type { Reason } from '../model/reasons.ts';
import type { MigrationRequest } from '../model/request.ts';
import type { RuleFacts } from '../model/rule.ts';
import type { DiskFacts, StatePlace } from '../model/storage.ts';
import type { Instance, Vm } from '../model/vm.ts';
import { type DefinitionNeeds, type HostResources, noNeeds, type OwnDefinition } from './definition.ts';
import type { PathThere } from './host-ties.ts';
import { chooseKind } from './kind.ts';
import { needsOfBoth, type NextStart } from './next-start.ts';
import type { HostUses, TargetHoldings } from './ownership.ts';
import type { Secrets } from './secrets.ts';
import type { GuestState } from './state-versions.ts';
import type { TargetStorage } from './disks/question.ts';

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
  /** Paths of the VM's files other than disks that do not travel with a guest that is shut off. */
  readonly stateFiles: readonly string[];
  /** Where they would be, there or not, running or not. */
  readonly statePlaces: readonly StatePlace[];
  /** UEFI variables are a disk of their own to QEMU. */
  readonly nvram: boolean;
  readonly hardware: GuestHardware;
  /** Of a guest that runs. */
  readonly cpu?: GuestCpu;
  readonly snapshots: number;
  readonly externalSnapshots: boolean;
  readonly checkpoints: number;
  readonly needs: DefinitionNeeds;
  /** Of a guest that runs, or is saved, and stays defined when it stops. */
  readonly nextStart?: NextStart;
}

/** `refused`: in libvirt's words. */
export type MayLeave = { readonly answer: 'may' } | { readonly answer: 'refused' | 'unknown'; readonly why: string };

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
  /** Of the source, by network and bridge, if it reports them. */
  readonly sourceMtus?: ReadonlyMap<string, number>;
  /** By host, of the candidates; only of a guest that runs and whose CPU can be compared. */
  readonly cpus?: ReadonlyMap<HostId, CpuThere>;
  /**
   * What libvirt and QEMU on the source say of the running guest's leaving: nothing against it, a refusal in their words,
   * or that they did not answer. Absent where they were not asked.
   */
  readonly mayLeave?: MayLeave;
  /** By host, of the candidates: of the sizes that the guest has. */
  readonly pages?: ReadonlyMap<HostId, readonly FreePages[]>;
  /** By host, the source included; only of a VM that has such devices. */
  readonly mediated?: ReadonlyMap<HostId, MediatedDevices>;
  /** Labels of the VM. */
  readonly labels?: readonly string[];
  /** By host, of the candidates: whether they have the paths that the definition names. */
  readonly paths?: ReadonlyMap<HostId, ReadonlyMap<string, PathThere>>;
  /** What the operator's own definition says, or why it cannot be read. */
  readonly ownXml?: OwnDefinition | { readonly problem: string };
  /** Hosts that keep a definition of the VM on purpose. */
  readonly parkedOn?: ReadonlySet<HostId>;
  /** Names of hosts that the VM was on when they were removed from Ferry. */
  readonly goneWith?: readonly string[];
  /** It arrived paused and was not resumed since: another move or a save kills its QEMU, and its memory is lost. */
  readonly arrivedPaused?: boolean;
  /** Those that have something to say, by name. */
  readonly clusters?: ReadonlyMap<string, Cluster>;
  /** By target: why the source's daemon did not reach it last time. */
  readonly peerRefusals?: ReadonlyMap<HostId, { readonly at: TimeMs; readonly message: string }>;
  /** Every domain that the host reports. */
  readonly domainsOn?: (id: HostId) => readonly (Pick<Instance, 'uuid' | 'name'> & Partial<Instance>)[];
  /** Ports that active migrations use on this host. */
  readonly portsInUse?: (id: HostId) => readonly number[];
  /** Memory that active migrations will take on this host. */
  readonly memoryPromised?: (id: HostId) => number;
  /** Names of the VMs that will have it. */
  readonly promisedTo?: (id: HostId) => readonly string[];
  /** Whether others have all slots of this target, or of the network by which it is reached. */
  readonly slotWaits?: (target: HostView, travels: boolean) => readonly Reason[];
  /** Candidates that were asked something and did not answer, or take no further connection. */
  readonly silent?: ReadonlyMap<HostId, Reason>;
  /** Rules that speak of the VM, with where its fellows are and are going. */
  readonly rules?: readonly RuleFacts[];
  readonly policy?: PolicyContent;
  /** Hosts on which earlier attempts of this migration failed, and why. */
  readonly tried?: ReadonlyMap<HostId, string>;
  /** Nobody can be asked: what is recorded of the fleet is all that is known. */
  readonly recordedOnly?: true;
  /** UUID for a helper domain, should one be needed. */
  readonly helperUuid?: VmUuid;
}

/** Of a VM without disks, files and needs. */
export const noFacts: VmFacts = {
  saved: false,
  autostart: false,
  persistent: true,
  disks: [],
  stateFiles: [],
  statePlaces: [],
  nvram: false,
  hardware: noHardware,
  snapshots: 0,
  externalSnapshots: false,
  checkpoints: 0,
  needs: noNeeds,
};

export const factsOf = (input: Pick<CheckInput, 'facts'>): VmFacts => input.facts ?? noFacts;

export const kindOf = (input: CheckInput): ReturnType<typeof chooseKind> =>
  chooseKind({ name: input.vm.name, state: input.vm.state, saved: factsOf(input).saved }, input.request.kind);

/** The guest's memory or processor state travels. */
export const carriesGuest = (input: CheckInput): boolean => {
  const chosen = kindOf(input);
  return !('kind' in chosen) || chosen.kind === 'live' || chosen.kind === 'suspended';
};

/** On the target, for a guest that runs there. */
export const memoryNeeded = (input: CheckInput): number =>
  carriesGuest(input) || input.request.autoStart === true ? input.vm.memoryBytes : 0;

export const ownOf = ({ ownXml }: CheckInput): OwnDefinition | undefined =>
  ownXml !== undefined && 'needs' in ownXml ? ownXml : undefined;

/** A temporary guest leaves its definition at home; the operator's own replaces both. */
export function bothOf(input: CheckInput): VmFacts {
  const { nextStart, ...now } = factsOf(input);
  return nextStart === undefined || input.request.temporary === true || ownOf(input) !== undefined
    ? now
    : { ...now, nextStart };
}

export const needsIn = (input: CheckInput): DefinitionNeeds => ownOf(input)?.needs ?? needsOfBoth(bothOf(input));

export const named = (input: CheckInput, name: string): HostView | undefined =>
  input.hosts.find(({ host }) => host.name === name || host.id === name);

export const sourceOf = ({ hosts, vm }: Pick<CheckInput, 'hosts' | 'vm'>): HostView | undefined =>
  hosts.find(({ host }) => host.id === vm.hostId);

/** The id itself, of a host that is not known any more. */
export const hostNameIn =
  ({ hosts }: Pick<CheckInput, 'hosts'>) =>
  (id: HostId): string =>
    hosts.find(({ host }) => host.id === id)?.host.name ?? id;

/** The target is chosen in it. */
export const wantedCluster = (input: Pick<CheckInput, 'hosts' | 'vm' | 'request'>): string =>
  input.request.toCluster ?? sourceOf(input)?.host.cluster ?? defaultCluster;
