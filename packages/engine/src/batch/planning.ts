/**
 * What a drain would do, before it is stored or when its time has come: what refuses it, its members, and where each would
 * go. Nothing is touched.
 */
import {
  asWished,
  batchName,
  inOrder,
  lastHosts,
  memberOf,
  refuseDrain,
  refuseTooMany,
  remaining,
  serviceStateOf,
  type Batch,
  type BatchId,
  type Host,
  type HostRef,
  type HostView,
  type RequestedBy,
} from '@ferry/core';
import type { IntentWrite } from '../ports/ports.ts';
import { planPatienceMs } from './carry-out.ts';
import type { BatchesDeps } from './deps.ts';
import type { Looking } from './looking.ts';
import { withProposals } from './propose.ts';

export interface DrainRequest {
  readonly hosts: readonly string[];
  /** Absent: now. */
  readonly beginsAt?: number;
  readonly deadlineAt?: number;
  readonly force: boolean;
  /** Only to hosts where every guest keeps the memory that it was given; what does not fit waits. */
  readonly neverDegrade?: boolean;
}

export interface DrainPlanning {
  /** Throws FerryError with what is wrong. */
  readonly planned: (
    request: DrainRequest,
    by: RequestedBy,
    id: BatchId,
    /** Of its members, before their targets are known. */
    known?: (batch: Batch) => void,
  ) => Promise<Batch>;
  /** A restore with what speaks against the way home of its members, if the hosts say it soon: it waits for nothing. */
  readonly homeward: (batch: Batch) => Promise<Batch>;
  /** Of one whose time has come: with its members as they are now. Throws FerryError with what is wrong. */
  readonly due: (batch: Batch) => Promise<Batch>;
  /**
   * Refuses the transaction that begins a drain once a cluster has lost the host that remained to it. Throws FerryError
   * `drain-last-host`.
   */
  readonly guards: (batch: Batch) => Promise<readonly IntentWrite[]>;
}

/** Hosts that take longer are asked when the turn of each VM comes. */
const homewardMs = 3_000;

export const refOf = ({ id, name }: HostRef): HostRef => ({ id, name });

export function planDrains({
  clock,
  knownHosts,
  migrations,
  vmsOn,
}: Pick<BatchesDeps, 'clock' | 'knownHosts' | 'migrations'> & Pick<Looking, 'vmsOn'>): DrainPlanning {
  const proposed = (batch: Batch, within: AbortSignal): Promise<Batch> =>
    withProposals(batch, inOrder(batch.members), migrations.propose, within);
  const withMembers = async (batch: Batch, known?: (batch: Batch) => void): Promise<Batch> => {
    const members = vmsOn(batch.hosts)
      .filter(({ isActive }) => isActive)
      .map((vm) => asWished(batch, memberOf(vm)));
    refuseTooMany(members.length);
    known?.({ ...batch, members });
    return proposed({ ...batch, members }, clock.timeout(planPatienceMs));
  };
  const viewsOf = (refs: readonly string[]): readonly HostView[] => refs.map((ref) => knownHosts.host(ref));
  return {
    async homeward(batch) {
      const within = clock.timeout(homewardMs);
      const found = await proposed(batch, within);
      // cut off in the middle, it would say of VMs what nobody has looked at
      return within.aborted ? batch : found;
    },
    async planned({ hosts: refs, beginsAt, deadlineAt, force, neverDegrade }, { actor, client }, id, known) {
      const views = viewsOf(refs);
      refuseDrain({ hosts: views, force, beginsAt, deadlineAt }, knownHosts.hosts(), clock.now());
      const hosts = views.map(({ host }) => refOf(host));
      return withMembers(
        {
          id,
          name: batchName('drain', hosts, id),
          kind: 'drain',
          actor,
          client,
          hosts,
          startedAt: clock.now(),
          ...(beginsAt === undefined ? {} : { beginsAt }),
          ...(deadlineAt === undefined ? {} : { deadlineAt }),
          ...(force ? { force } : {}),
          ...(neverDegrade === true ? { neverDegrade } : {}),
          phase: beginsAt === undefined ? 'running' : 'scheduled',
          members: [],
        },
        known,
      );
    },
    async due(batch) {
      const views = viewsOf(batch.hosts.map(({ id }) => id));
      refuseDrain({ hosts: views, force: batch.force === true }, knownHosts.hosts(), clock.now());
      return withMembers(batch);
    },
    async guards({ hosts, force }) {
      if (force === true) return [];
      const drained = hosts.flatMap(({ id }) => knownHosts.follower(id)?.host() ?? []);
      const guards: IntentWrite[] = [];
      for (const { cluster, hosts: rest } of remaining(drained, knownHosts.hosts())) {
        const guard = await firstGuard(rest, cluster);
        if (guard === undefined) throw lastHosts(cluster, drained);
        guards.push(guard);
      }
      return guards;
    },
  };

  /** Of one that takes VMs as it is stored, whatever is known here. */
  async function firstGuard(hosts: readonly Host[], cluster: string): Promise<IntentWrite | undefined> {
    for (const { id } of hosts) {
      const { host, write } = await knownHosts.guard(id);
      if (host.cluster === cluster && serviceStateOf(host) === 'schedulable') return write;
    }
    return undefined;
  }
}
