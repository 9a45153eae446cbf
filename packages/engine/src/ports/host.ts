/** Ports: how a host is opened, what the machine is, and the ports of one open host. */
import type {
  DefinitionPlan,
  FreePages,
  HostFacts,
  MediatedDevices,
  OwnDefinition,
  TimeMs,
  VmFacts,
} from '@ferry/core';
import type { DefinitionPort, SavedMemoryPort, SnapshotPort } from './definitions.ts';
import type { GuestPort } from './guest.ts';
import type { InstancePort } from './instances.ts';
import type { PowerPort } from './power.ts';
import type { ResourcePort } from './resources.ts';
import type { SteeringPort, TransferPort } from './transfer.ts';
import type { FilePort, PathPort, VolumePort } from './volumes.ts';

/** Opens a host. Rejects with FerryError `uri-*` or `host-*`. */
export interface Hypervisor {
  connect(uri: string, signal: AbortSignal): Promise<HostLink>;
  /** What can be read from a definition without asking a host. Throws when it cannot be read. */
  describeDefinition(xml: string): VmFacts;
  /** Whose it is, and what it names. Throws when it cannot be read. */
  identityOfDefinition(xml: string): OwnDefinition;
  /** The same definition with other names; what the plan does not speak of stays byte for byte. */
  rewriteDefinition(xml: string, plan: DefinitionPlan): string;
}

/** One open host. Resolve `closed` with the reason when the connection is lost, with undefined when we closed it. */
export interface HostLink {
  readonly inventory: InventoryPort;
  readonly instances: InstancePort;
  readonly power: PowerPort;
  readonly transfer: TransferPort;
  readonly steering: SteeringPort;
  readonly guest: GuestPort;
  readonly definitions: DefinitionPort;
  readonly savedMemory: SavedMemoryPort;
  readonly snapshots: SnapshotPort;
  readonly volumes: VolumePort;
  readonly paths: PathPort;
  readonly files: FilePort;
  readonly resources: ResourcePort;
  /**
   * Opens a further connection as far as its first answer, and closes it. Rejects with the reason why it does not
   * come about.
   */
  takesAnother(signal: AbortSignal): Promise<void>;
  /** When the certificate of its daemon ends; absent without TLS. */
  readonly certificateUntil?: TimeMs | undefined;
  readonly closed: Promise<Error | undefined>;
  close(): Promise<void>;
}

/** The machine that a host is. */
export interface InventoryPort {
  facts(signal: AbortSignal): Promise<HostFacts & { readonly freeMemoryBytes: number }>;
  /** Names the machine that answers at this moment. */
  machineUuid(signal: AbortSignal): Promise<string>;
  /** Bytes; costs the host next to nothing. */
  freeMemory(signal: AbortSignal): Promise<number>;
  /** What its QEMU gives to a guest with host-model, as `<cpu>`. Rejects with `host-refused` where there is none. */
  hostModel(of: { readonly arch: string; readonly type: string }, signal: AbortSignal): Promise<string>;
  /** A `<cpu>` that every one of these has. Rejects with `host-refused` where there is none. */
  baselineCpu(
    cpus: readonly string[],
    of: { readonly arch: string; readonly type: string },
    signal: AbortSignal,
  ): Promise<string>;
  /** Of these sizes; none of a size that the host does not have. */
  freePages(sizesKiB: readonly number[], signal: AbortSignal): Promise<readonly FreePages[]>;
  /** Empty on a host that has none, or does not report them. */
  mediated(signal: AbortSignal): Promise<MediatedDevices>;
}
