/** Whom the facts of a move are asked of: the fleet as it is known, what is stored, and the open connections of the hosts. */
import type {
  CheckInput,
  CheckResult,
  Cluster,
  Host,
  HostFacts,
  HostId,
  HostView,
  Instance,
  Ledger,
  Migration,
  MigrationRequest,
  ResolvedPolicy,
  Vm,
  VmUuid,
} from '@ferry/core';
import type { KeptInstanceStore } from '../fleet/kept-instances.ts';
import type { Peers } from '../fleet/peer-reachability.ts';
import type { Clock, HostLink, Hypervisor, StoredDefinition } from '../ports/ports.ts';
import type { Policies } from '../settings/policies.ts';
import type { Rules } from '../settings/rules.ts';
import type { Records } from '../state/ownership.ts';
import type { Sharing } from './sharing.ts';
import { sideOn, type Side } from './side.ts';
import type { StorageSurvey } from './storage-survey.ts';

export interface FleetView {
  hosts(): readonly HostView[];
  vms(): readonly Vm[];
  vm(ref: string): Vm;
  vmByUuid(uuid: VmUuid): Vm | undefined;
  /** What the host last reported. */
  instancesOn(hostId: string): readonly Instance[];
}

export interface FactSources {
  readonly clock: Clock;
  /** The open connection of a host; throws FerryError `host-unreachable`. */
  readonly linkOf: (hostId: string) => HostLink;
  readonly stored: (uuid: VmUuid, host: string) => Promise<StoredDefinition | undefined>;
  readonly volumes: StorageSurvey;
  readonly sharing: Pick<Sharing, 'sharesFile' | 'usesOf'>;
  readonly records: Pick<Records, 'at'>;
  readonly hypervisor: Pick<Hypervisor, 'describeDefinition' | 'identityOfDefinition'>;
  readonly kept: Pick<KeptInstanceStore, 'hasArrivedPaused' | 'hasArrivedSaved' | 'isParked' | 'goneWith'>;
  readonly peers: Pick<Peers, 'refusalsOf'>;
  readonly policies: Pick<Policies, 'labelsOf' | 'resolve'>;
  readonly rules: Pick<Rules, 'factsFor'>;
  readonly clusters: () => ReadonlyMap<string, Cluster>;
  readonly fleet: FleetView;
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
  readonly ledger: Ledger;
}

/** A host with its open connection. */
export interface Place {
  readonly host: Host;
  readonly link: HostLink;
}

export const sideAt = ({ host, link }: Place): Side =>
  sideOn({ id: host.id, name: host.name, machine: host.machineUuid }, link);

/** What is asked for: facts of a move of this VM. */
export interface FactsWanted {
  readonly vm: Vm;
  readonly request: MigrationRequest;
  readonly policy: ResolvedPolicy;
  /** Of the migration that asks. */
  readonly attempts: Migration['attempts'];
}

/** What other migrations have at the moment of the choice. */
export type OthersNow = Pick<
  CheckInput,
  'loadOf' | 'portsInUse' | 'memoryPromised' | 'promisedTo' | 'rules' | 'slotWaits'
> &
  Required<Pick<CheckInput, 'loadOf'>>;
export type Choose = (now: OthersNow) => CheckResult;

export const factsOn = ({ fleet }: Pick<FactSources, 'fleet'>, { host }: Place): HostFacts | undefined =>
  fleet.hosts().find((view) => view.host.id === host.id)?.facts;

export const parkedOn = ({ kept }: Pick<FactSources, 'kept'>, vm: Vm): ReadonlySet<HostId> =>
  new Set(vm.instances.map(({ hostId }) => hostId).filter((id) => kept.isParked(vm.uuid, id)));

/** Names of removed hosts that the VM may be on, beside the definition that was kept. */
export function goneWith({ kept, fleet }: Pick<FactSources, 'kept' | 'fleet'>, vm: Vm): readonly string[] {
  const gone = kept.goneWith(vm.uuid, vm.hostId);
  if (gone === undefined || fleet.hosts().some(({ host }) => host.machineUuid === gone.machineUuid)) return [];
  return [gone.name];
}

/** Hosts on which earlier attempts failed, and why. */
export const triedBy = ({ attempts = [] }: Pick<FactsWanted, 'attempts'>): ReadonlyMap<HostId, string> =>
  new Map(attempts.flatMap(({ to, error }) => (to === undefined ? [] : [[to.id, error.message]])));
