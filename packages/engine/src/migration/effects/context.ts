/**
 * What the steps of one move (effects/preparing.ts, effects/transferring.ts, effects/ending.ts) are given: the runner's
 * surroundings, open connections of both sides, and limits in time; and the small questions that several of them ask.
 */
import {
  FerryError,
  forNextStart,
  type CheckResult,
  type DefinitionPlan,
  type HostId,
  type JobSample,
  type Migration,
  type Prediction,
  type OwnDefinition,
  type Planned,
  type Reason,
  type TimeMs,
  type TransferPlan,
  type VmUuid,
} from '@ferry/core';
import type { CarriedSnapshots } from './carried-snapshots.ts';
import type { CreatedResources } from './created-resources.ts';
import type { Inspection } from '../../state/migration-records.ts';
import type { KeptInstances } from '../../fleet/kept-instances.ts';
import type { Clock, HookCaller, HostLink, Log, StoredDefinition } from '../../ports/ports.ts';
import type { CarriedFiles } from './carried-files.ts';
import type { Sharing } from '../../planning/sharing.ts';
import { sideOn, type Side } from '../../planning/side.ts';
import type { Reserving } from '../../state/reservations.ts';
import type { Volumes } from './volumes.ts';

export interface RunnerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly installation: string;
  readonly hooks: HookCaller;
  /** The open connection of a host; throws FerryError `host-unreachable`. */
  readonly linkOf: (hostId: string) => HostLink;
  /** URI by which other hosts reach this one. */
  readonly uriOf: (hostId: string) => string;
  readonly stored: (uuid: VmUuid, host: string) => Promise<StoredDefinition | undefined>;
  /** UUID of the machine that a host is. */
  readonly machineOf: (hostId: string) => string;
  readonly volumes: Volumes;
  readonly sharing: Pick<Sharing, 'notThere' | 'sharesFile' | 'usesOf'>;
  readonly carried: CarriedFiles;
  readonly rewriteDefinition: (xml: string, plan: DefinitionPlan) => string;
  readonly identityOfDefinition: (xml: string) => OwnDefinition;
  readonly kept: KeptInstances;
  readonly snapshots: CarriedSnapshots;
  readonly created: CreatedResources;
  /** Remembers that the daemon of one host does not reach that of another. */
  readonly notReached: (from: string, to: string, message: string) => Promise<void>;
  /** Forgets it: it has. */
  readonly reached: (from: string, to: string) => Promise<void>;
  /** Never rejects. `vmIsNow`: where the hosts show the VM. */
  readonly check: (
    migration: Migration,
    signal: AbortSignal,
  ) => Promise<{ readonly result: CheckResult; readonly vmIsNow: NonNullable<Migration['vmIsNow']> | 'nowhere' }>;
  /** What has changed since its target was chosen, so that it may not begin. Never rejects. */
  readonly changedSince: (migration: Migration, signal: AbortSignal) => Promise<readonly Reason[]>;
  /** The same transfer on ports of the target that nobody is known to use; undefined when there are none. */
  readonly otherPorts: (migration: Planned) => TransferPlan | undefined;
  /** Whether it will converge, where that is worth measuring; never rejects. */
  readonly predictConvergence: (migration: Migration, signal: AbortSignal) => Promise<Prediction | undefined>;
  /** Keeps figures of a transfer. */
  readonly sampled: (migration: Migration, sample: JobSample, at: TimeMs) => void;
  readonly inspected: (inspection: Inspection) => Promise<void>;
  /**
   * Stores the migration with what it takes or gives back; a finished one goes to the journal. Resolves when it is
   * durable. Where somebody else has changed it, or has what it chose, nothing was stored, and it is decided again.
   */
  readonly store: Reserving['store'];
  /** Somebody else has brought it to its end. */
  readonly ended: (migration: Migration) => void;
  /** Called after each change; `kept`: the change is stored, and not just progress. */
  readonly changed: (migration: Migration, kept: boolean) => void;
  /** Reads the VM again on these hosts, where they are connected. */
  readonly refresh: (uuid: VmUuid, hosts: readonly HostId[], signal: AbortSignal) => Promise<void>;
}

export const bothHosts = ({ from, to }: Pick<Migration, 'from' | 'to'>): readonly HostId[] =>
  to === undefined ? [from.id] : [from.id, to.id];

export interface MoveContext {
  /** As it was when the step began. */
  readonly migration: Planned;
  /** As it is now: limits may change while a step waits. */
  readonly current: () => Planned;
  readonly deps: RunnerDeps;
  /** Open connections; throw FerryError `host-unreachable`. */
  readonly source: () => HostLink;
  readonly target: () => HostLink;
  readonly signal: AbortSignal;
  /** The signal, with a limit in time for one step. */
  readonly bounded: () => AbortSignal;
  /**
   * Rejects unless source and target are two machines at this moment: before anything of either side goes because the
   * other side has it.
   */
  readonly apart: () => Promise<void>;
}

/** No answer came to the call: it may take effect yet, so only what the host shows next decides. */
export const isUnanswered = (error: unknown): boolean =>
  error instanceof FerryError ? error.unanswered : error instanceof Error && error.name === 'TimeoutError';

/** What a host said to a call that it refused. Throws the error where it said nothing, so that the step is repeated. */
export function refusalText(error: unknown): string {
  if (isUnanswered(error)) throw error;
  return error instanceof Error ? error.message : String(error);
}

/** The domain that libvirt moves: the VM's own, or the helper with its disks. */
export const travelling = ({ plan, vm }: Pick<Planned, 'plan' | 'vm'>): VmUuid => plan.helper?.uuid ?? vm.uuid;

/** Device of the helper domain for the disk at this place; libvirt's names for the first 26 and beyond. */
export const helperTarget = (index: number): string =>
  `sd${index < 26 ? '' : String.fromCodePoint(96 + Math.floor(index / 26))}${String.fromCodePoint(97 + (index % 26))}`;

export const sidesOf = ({
  migration,
  deps,
  source,
  target,
}: Pick<MoveContext, 'migration' | 'deps' | 'source' | 'target'>): { readonly from: Side; readonly to: Side } => {
  const side = ({ id, name }: Planned['from'], link: HostLink): Side =>
    sideOn({ id, name, machine: deps.machineOf(id) }, link);
  return { from: side(migration.from, source()), to: side(migration.to, target()) };
};

/**
 * The VM's definition as the target gets it: that of the running guest, or that for its next start. The operator's own
 * names what it wants; where disks are joined it has to say so, too.
 */
export function rewritten(
  { plan: { definition }, request }: Pick<Planned, 'plan' | 'request'>,
  of: 'now' | 'next-start',
  xml: string,
  { rewriteDefinition }: Pick<RunnerDeps, 'rewriteDefinition'>,
): string {
  if (definition === undefined) return xml;
  if (definition.ownXml !== true) return rewriteDefinition(xml, of === 'now' ? definition : forNextStart(definition));
  const own = request.xml ?? xml;
  return definition.chains === undefined ? own : rewriteDefinition(own, { chains: definition.chains });
}
