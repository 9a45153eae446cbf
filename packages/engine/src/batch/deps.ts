/** What batches need of the rest of the engine. Types and nothing else. */
import type { Batch, BatchId, Cluster, HostId, ResolvedPolicy, VmUuid } from '@ferry/core';
import type { KnownHosts } from '../fleet/hosts.ts';
import type { Fleet } from '../fleet/vms.ts';
import type { Migrations } from '../migration/migrations.ts';
import type { DirtyCurves } from '../planning/dirty-curves.ts';
import type { Clock, IntentStore, Log } from '../ports/ports.ts';

export interface BatchesDeps {
  readonly intents: IntentStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly knownHosts: Pick<KnownHosts, 'host' | 'hosts' | 'follower' | 'linkOf' | 'serve' | 'guard' | 'nameOf'>;
  readonly fleet: Pick<Fleet, 'get' | 'on'>;
  readonly labelsOf: (vm: VmUuid) => readonly string[];
  readonly clusterOf: (host: HostId) => Cluster;
  /** What its migration would go by; undefined: no host has it. */
  readonly policyOf: (vm: VmUuid) => ResolvedPolicy | undefined;
  readonly curves: Pick<DirtyCurves, 'fresh' | 'measureAndKeep'>;
  readonly migrations: Pick<Migrations, 'start' | 'takenOver' | 'active' | 'abort' | 'propose'>;
  /** A rollout that has not ended began it: it is kept, however old. */
  readonly isNeeded: (id: BatchId) => boolean;
  readonly published: (batch: Batch, revision: number) => void;
}
