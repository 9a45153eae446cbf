/**
 * Hosts and the clusters that they form, as the operator added them and as they report themselves. Types and nothing
 * else.
 */
import type { BatchId, HostId, TimeMs } from './ids.ts';

/** A host as the operator added it: an intent. */
export interface Host {
  readonly id: HostId;
  /** Unique in the fleet; libvirt's host name unless the operator gave another. */
  readonly name: string;
  /** libvirt URI by which the control plane, and other hosts in a peer-to-peer migration, reach it. */
  readonly uri: string;
  /** Name of its cluster. */
  readonly cluster: string;
  /** Where migration data reaches it, when that is not where its URI leads. */
  readonly migrationAddress?: string;
  /** UUID in the host's capabilities: shows that two URIs lead to one host. */
  readonly machineUuid: string;
  readonly addedAt: TimeMs;
  /** As in `zone=a`; rules select hosts by them. */
  readonly labels?: readonly string[];
  /** Known only for a migration to it, and forgotten with that. */
  readonly external?: true;
  /** Absent: it is schedulable. */
  readonly service?: HostService;
}

/**
 * Whether VMs may be placed on a host. `cordoned`: none comes by Ferry, and its own stay. `draining`: they are leaving.
 * `maintenance`: it was empty when its drain ended.
 */
export const serviceStates = ['schedulable', 'cordoned', 'draining', 'maintenance'] as const;
export type ServiceState = (typeof serviceStates)[number];

/** A host that takes no VMs, and since when. */
export interface HostService {
  readonly state: Exclude<ServiceState, 'schedulable'>;
  readonly since: TimeMs;
  /** The drain that brought it there, and what the host was before. */
  readonly drain?: { readonly id: BatchId; readonly before: 'schedulable' | 'cordoned' };
}

export interface HostRef {
  readonly id: HostId;
  readonly name: string;
}

/** `other-machine`: what answers at its address is not the machine that was added; nothing is done there. */
export type HostState = 'connecting' | 'connected' | 'unreachable' | 'other-machine';

/** How a host runs guests of one architecture. */
export interface GuestSupport {
  readonly arch: string;
  /** The program that it takes unless a definition names another. */
  readonly emulator: string;
  readonly machines: readonly string[];
  /** Aliases such as `pc`, which mean another machine type on each host. */
  readonly aliases: readonly string[];
  /** `kvm`, `qemu`. */
  readonly domainTypes: readonly string[];
}

export interface HostCpu {
  readonly arch: string;
  readonly model: string;
  readonly vendor: string;
  readonly threads: number;
  /** Family, model and stepping, as in 6/85/7; absent when the host does not report them. */
  readonly signature?: string;
  readonly microcode?: string;
  /** `scaling`: the CPU can give a guest another frequency. */
  readonly tsc?: { readonly hz: number; readonly scaling: boolean };
}

/** A NUMA node: its CPUs as in 0-3,8. */
export interface NumaNode {
  readonly id: number;
  readonly cpus: string;
}

/** What a host reports of itself. */
export interface HostFacts {
  readonly hostname: string;
  readonly machineUuid: string;
  readonly libvirtVersion: string;
  /** Absent while libvirt finds no QEMU there that it can use. */
  readonly qemuVersion?: string;
  readonly cpu: HostCpu;
  readonly memoryBytes: number;
  /** Absent when the host does not report it. */
  readonly guests?: readonly GuestSupport[];
  /** The fastest of its network cards that are up, in Mbit/s; absent when the host does not report it. */
  readonly linkMbit?: number;
  /** Vendor, version and date of its firmware; absent when the host does not report it. */
  readonly firmware?: string;
  /** Absent when the host does not report them. */
  readonly nodes?: readonly NumaNode[];
  /** Hardware addresses of its network cards, virtual ones left out; absent when the host does not report them. */
  readonly cards?: readonly string[];
}

/** A host with what is known of it now. */
export interface HostView {
  readonly host: Host;
  readonly state: HostState;
  /** Why the host cannot be used, in one sentence. */
  readonly stateDetail?: string;
  /** Last reported facts; absent until the first connection. */
  readonly facts?: HostFacts;
  readonly freeMemoryBytes?: number;
}

/** Evidence that no VM of a host can still run; so far an operator's statement. */
export interface ProofOfDeath {
  readonly host: string;
  readonly statement: string;
  readonly actor: string;
  readonly at: TimeMs;
}

/** Names on the source, and what replaces them on the target. */
export interface DefinitionMap {
  /** libvirt's networks and the host's bridges. */
  readonly networks?: Readonly<Record<string, string>>;
  readonly pools?: Readonly<Record<string, string>>;
  /** Files and folders; with everything below. */
  readonly paths?: Readonly<Record<string, string>>;
  /** Address on which the target's consoles listen. */
  readonly graphicsListen?: string;
}

/** Hosts that share what follows; a VM moves inside of its cluster unless asked otherwise. */
export interface Cluster {
  readonly name: string;
  /** Network as in 10.1.0.0/16: migration data goes to an address in it, or the move is refused. */
  readonly migrationNetwork?: string;
  /** Ports on the target for migration data, in place of libvirt's own range. */
  readonly migrationPorts?: { readonly first: number; readonly last: number };
  /** Migration data is encrypted unless asked otherwise. */
  readonly tls?: boolean;
  /** For VMs that come in. */
  readonly map?: DefinitionMap;
  /** Name of the policy for VMs that leave hosts of the cluster. */
  readonly policy?: string;
  /** Migrations at once; see planning/slots.ts for what holds where none is set. */
  readonly maxOutgoingPerHost?: number;
  readonly maxIncomingPerHost?: number;
  /** Of those that come to the cluster; clusters that share the network count together, each up to its own limit. */
  readonly maxPerMigrationNetwork?: number;
  /** Periods in which no drain or restore moves a VM off its hosts; as in batch/blackout.ts. */
  readonly blackouts?: readonly string[];
}

/** Settings of the fleet as a whole. */
export interface FleetSettings {
  /** Migrations that run at once. */
  readonly maxMigrations?: number;
}

export const defaultCluster = 'default';

/** Cluster of hosts that are not of the fleet. */
export const externalCluster = 'external';
