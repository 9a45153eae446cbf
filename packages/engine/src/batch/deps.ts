/** What batches need of the rest of the engine. Types and nothing else. */
import type { Batch, VmUuid } from '@ferry/core';
import type { KnownHosts } from '../fleet/hosts.ts';
import type { Fleet } from '../fleet/vms.ts';
import type { Migrations } from '../migration/migrations.ts';
import type { Clock, IntentStore, Log } from '../ports/ports.ts';

export interface BatchesDeps {
  readonly intents: IntentStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly knownHosts: Pick<KnownHosts, 'host' | 'hosts' | 'follower' | 'linkOf' | 'serve' | 'nameOf'>;
  readonly fleet: Pick<Fleet, 'get' | 'on'>;
  readonly labelsOf: (vm: VmUuid) => readonly string[];
  readonly migrations: Pick<Migrations, 'start' | 'find' | 'active' | 'abort' | 'propose'>;
  readonly published: (batch: Batch, revision: number) => void;
}
