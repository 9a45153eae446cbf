/**
 * A fleet as plain data: what is recorded of hosts, VMs, rules and migrations at one moment. Whoever has it can plan
 * with no host in reach. Types and nothing else: read by known-fleet.ts.
 */
import type { Cluster, FleetSettings, HostView } from '../../model/host.ts';
import type { HostId, TimeMs, VmUuid } from '../../model/ids.ts';
import type { Migration } from '../../model/migration.ts';
import type { Policy } from '../../model/policy.ts';
import type { Rule } from '../../model/rule.ts';
import type { Vm } from '../../model/vm.ts';
import type { PolicyBinding } from '../../policy/resolve.ts';
import type { Reservations } from '../ledger.ts';

/** One that has not ended. */
export type FleetMigration = Pick<Migration, 'id' | 'vm' | 'from' | 'to' | 'request'>;

export interface Fleet {
  /** All facts are as old as this, or older where a host does not answer. */
  readonly takenAt: TimeMs;
  /** With their labels. */
  readonly hosts: readonly HostView[];
  readonly vms: readonly Vm[];
  readonly labels: ReadonlyMap<VmUuid, readonly string[]>;
  /** Hosts that keep a definition of the VM on purpose. */
  readonly parkedOn: ReadonlyMap<VmUuid, ReadonlySet<HostId>>;
  /** VMs that arrived paused and were not resumed since. */
  readonly arrivedPaused: ReadonlySet<VmUuid>;
  readonly rules: readonly Rule[];
  /** Those that have settings. */
  readonly clusters: readonly Cluster[];
  /** The operator's own; the presets come with Ferry. */
  readonly policies: readonly Policy[];
  readonly bindings: readonly PolicyBinding[];
  readonly settings: FleetSettings;
  readonly migrations: readonly FleetMigration[];
  /** By key, as in the ledger. */
  readonly reservations: Readonly<Record<string, Reservations>>;
}
