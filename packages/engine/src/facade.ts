/**
 * What the engine offers to the server: plain questions and commands over core's types. Failures are FerryErrors.
 * A `ref` is a name, an id or an unambiguous beginning of an id, as an operator would type it.
 */
import type {
  JobSample,
  Cluster,
  DirtyCurve,
  DoctorFinding,
  Fleet,
  FleetSettings,
  HostId,
  HostView,
  Migration,
  MigrationRequest,
  PredictionStats,
  TimeMs,
  Vm,
  VolumeRecord,
  OperatorLimits,
  QueuedMigration,
  RequestedBy,
} from '@ferry/core';
import type { Batches } from './batch/batches.ts';
import type { Rollouts } from './rollout/rollouts.ts';
import type { EventPlace, NumberedEvent } from './events/events.ts';
import type { CpuBaseline } from './fleet/cpu-baseline.ts';
import type { HostSettings } from './fleet/joining.ts';
import type { ConfigurationStore } from './settings/configuration.ts';
import type { Settle } from './fleet/settle.ts';
import type { Inspection } from './state/migration-records.ts';
import type { VmCursor, VmFilter, VmPage } from './fleet/vm-list.ts';
import type { MigrationPage, MigrationQuery } from './migration/migration-list.ts';
import type { PlannedMigration } from './migration/preview.ts';
import type { ClusterView } from './settings/clusters.ts';
import type { LabelChange, Policies } from './settings/policies.ts';
import type { RuleView, Rules } from './settings/rules.ts';
import type { FleetSettingsView } from './settings/fleet-settings.ts';
import type { Along, FirstAnswers } from './state/first-answers.ts';

export type { EngineEvent, EventPlace, NumberedEvent } from './events/events.ts';
export { keyKeptMs, type Along, type KeyedRequest } from './state/first-answers.ts';
export type { Batches } from './batch/batches.ts';
export type { DrainRequest } from './batch/planning.ts';
export type { RolloutRequest, Rollouts } from './rollout/rollouts.ts';
export type { HostSettings } from './fleet/joining.ts';
export type { VmCursor, VmFilter, VmPage } from './fleet/vm-list.ts';
export type { MigrationCursor, MigrationPage, MigrationQuery } from './migration/migration-list.ts';
export type { PlannedMigration } from './migration/preview.ts';
export type { ClusterView } from './settings/clusters.ts';
export type { AppliedConfiguration } from './settings/configuration.ts';
export type { RuleView } from './settings/rules.ts';
export type { FleetSettingsView } from './settings/fleet-settings.ts';

export interface Engine {
  /** Requests with a key, which are carried out once. What `make` gets goes to `addHost` or `startMigration`. */
  readonly once: FirstAnswers['once'];
  fleetSettings(): FleetSettingsView;
  /** What is recorded at this moment, as plain data. */
  recordedFleet(): Fleet;
  /** As `changeCluster`. */
  changeFleetSettings(change: (before: FleetSettings) => FleetSettings, expected?: number): Promise<FleetSettingsView>;
  clusters(): readonly ClusterView[];
  /**
   * Makes the cluster, or changes it: `change` is called again after a conflict. Here and below, whoever
   * gives the revision that it must have is refused with FerryError `revision-stale` when it has another one.
   */
  changeCluster(name: string, change: (before: Cluster) => Cluster, expected?: number): Promise<ClusterView>;
  /** Throws FerryError `cluster-unknown`, `host-unreachable`, `host-refused`. */
  cpuBaseline(cluster: string, signal: AbortSignal): Promise<CpuBaseline>;
  removeCluster(name: string, expected?: number): Promise<void>;
  hosts(): readonly HostView[];
  host(ref: string): HostView;
  /** Names and ids of hosts in stored objects, for people. */
  hostNameOf(id: string): string;
  vmCountOf(hostId: HostId): number;
  /** Why what a label of the host asks for is not done. */
  hostAttentionOf(id: HostId): string | undefined;
  addHost(
    request: HostSettings & { readonly uri: string; readonly name?: string },
    signal: AbortSignal,
    along?: Along,
  ): Promise<HostView>;
  /** Changes what is given; an empty address takes it away. */
  changeHost(ref: string, settings: HostSettings, expected?: number): Promise<HostView>;
  /** No VM is moved to these hosts from now on; those that are there stay. All of them or none. */
  cordonHosts(refs: readonly string[], expected?: number): Promise<readonly HostView[]>;
  /** Throws FerryError `host-draining`. */
  uncordonHosts(refs: readonly string[], expected?: number): Promise<readonly HostView[]>;
  /** Drains and restores. */
  readonly batches: Omit<Batches, 'changed' | 'recover' | 'stop'>;
  readonly rollouts: Pick<Rollouts, 'all' | 'revisionOf' | 'find' | 'begin' | 'goOn' | 'cancel'>;
  removeHost(ref: string, expected?: number): Promise<void>;
  /**
   * What is wrong with these hosts, or with all: alone, between each other, within their clusters. Throws FerryError
   * `host-unknown`, `host-ambiguous`.
   */
  examineHosts(
    refs: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly hosts: readonly string[]; readonly findings: readonly DoctorFinding[] }>;
  /** Adds labels to a host, and takes others away. */
  labelHost(ref: string, change: LabelChange, expected?: number): Promise<HostView>;
  /** Of what is stored of a host. */
  hostRevisionOf(id: string): number;
  vms(): readonly Vm[];
  /** By name. Throws FerryError `host-unknown`, `host-ambiguous`, `cluster-unknown`, `selector-invalid`. */
  vmPage(filter: VmFilter, page: { readonly limit: number; readonly after?: VmCursor }): VmPage;
  vm(ref: string): Vm;
  migrations(query: MigrationQuery): Promise<MigrationPage>;
  migration(ref: string): Promise<Migration>;
  /** Migrations that wait, in the order in which they begin, and what each waits for. */
  queue(): readonly QueuedMigration[];
  startMigration(
    request: MigrationRequest & { readonly vm: string },
    by: RequestedBy,
    along?: Along,
  ): Promise<Migration>;
  /** A migration to a host by its URI: one of the fleet, or one that Ferry knows until the migration ends. */
  withExternalHost<T>(
    uri: string,
    signal: AbortSignal,
    use: (target: { readonly to: string; readonly toCluster: string }) => Promise<T>,
  ): Promise<T>;
  /** What `startMigration` would do; nothing is touched. Throws FerryError `migration-refused` with every reason. */
  planMigration(request: MigrationRequest & { readonly vm: string }, signal: AbortSignal): Promise<PlannedMigration>;
  abortMigration(ref: string, expected?: number): Promise<Migration>;
  /**
   * The guest runs on the target from now on, its pages follow. Throws FerryError `post-copy-not-allowed`,
   * `migration-not-transferring`.
   */
  startPostCopy(ref: string, expected?: number): Promise<Migration>;
  /** Limits that hold from now on, also for one that runs. */
  tuneMigration(ref: string, limits: OperatorLimits, expected?: number): Promise<Migration>;
  /** The guest is paused until it has arrived. Throws FerryError `migration-not-transferring`. */
  pauseMigration(ref: string, expected?: number): Promise<Migration>;
  readonly policies: Pick<
    Policies,
    'all' | 'find' | 'revisionOf' | 'put' | 'bindings' | 'bind' | 'labelsOf' | 'labelsRevisionOf'
  > & {
    remove(name: string, expected?: number): Promise<void>;
  };
  /** Adds labels to a VM, and takes others away. */
  labelVm(ref: string, change: LabelChange, expected?: number): Promise<Vm>;
  /** By name. */
  rules(): readonly RuleView[];
  rule(name: string): RuleView;
  readonly changeRule: Rules['change'];
  removeRule(name: string, expected?: number): Promise<void>;
  /** Clusters, policies, rules and labels as one document. */
  readonly configuration: ConfigurationStore;
  /** Figures of a transfer, oldest first. */
  migrationSamples(ref: string): Promise<readonly { readonly at: TimeMs; readonly sample: JobSample }[]>;
  /** What was kept of a failed target. Throws FerryError `inspection-none`. */
  inspection(ref: string): Promise<Inspection>;
  /** What can be put right of a VM, and putting it right. */
  readonly settling: Settle;
  /**
   * Lets the VM's host measure what the guest writes, over several periods up to the longest; the plan uses it while it
   * is fresh. Throws FerryError `vm-not-running`, `host-refused`.
   */
  measureDirtyRate(
    ref: string,
    longestSeconds: number,
    signal: AbortSignal,
  ): Promise<{ readonly vm: Vm; readonly curve: DirtyCurve }>;
  /** Predictions of finished migrations held against what came. */
  predictionStats(): Promise<PredictionStats>;
  /** Lets the VM's host announce it on the network again. */
  announceVm(ref: string, signal: AbortSignal): Promise<Vm>;
  /** Volumes that moves left behind, oldest first. */
  leftovers(): Promise<readonly VolumeRecord[]>;
  /** Deletes one of them, if nobody touched it since. */
  purgeLeftover(hostRef: string, path: string, signal: AbortSignal): Promise<VolumeRecord>;
  /** The present state first, then each change, ending with the finished one. */
  watchMigration(ref: string, signal: AbortSignal): AsyncIterable<Migration>;
  /**
   * Events from now on, or after a place. A reader that falls behind gets what it missed from the journal, without
   * the progress between two phases; where that is no longer kept, and at a place of an earlier run, it gets one
   * `reset` and goes on from now.
   */
  events(after: EventPlace | undefined, signal: AbortSignal): AsyncIterable<NumberedEvent>;
  /** Where the stream of events is now. Asked before a list is read, it is where the list is followed from. */
  eventPlace(): Promise<Required<EventPlace>>;
  /** Tells the places of this run from those of earlier ones. */
  readonly eventRun: string;
  /** Stops following; running migrations go on without us. The stores stay open: they are the caller's. */
  close(): Promise<void>;
}
