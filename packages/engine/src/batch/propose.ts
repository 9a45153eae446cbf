/**
 * Where VMs that are to move together would go: each chosen by the checks of every move, with what was proposed for the
 * ones before it counted as taken. It proposes; the migration decides when its turn comes. Nothing is touched.
 */
import {
  beginMigration,
  errorReport,
  hostKey,
  migrationId,
  startsThere,
  type Batch,
  type BatchMember,
  type HostId,
  type HostRef,
  type HostView,
  type Migration,
  type MigrationPlan,
  type MigrationRequest,
  type Reservations,
  type Vm,
  type VmUuid,
} from '@ferry/core';
import { createFactFinder, type Gathered } from '../planning/fact-finding.ts';
import type { FactSources } from '../planning/fact-sources.ts';

/** VMs whose facts are gathered at a time. */
const gatheredAtOnce = 8;

export interface Proposal {
  /** Absent: no host can take it now. */
  readonly to?: HostRef;
  /** What its disks hold that are copied there. */
  readonly diskBytes?: number;
  /** Why there is none, or what it will wait for there. */
  readonly note?: string;
}

/** `members`: in their order. `closed`: hosts that take none of them. */
export type Propose = (
  members: readonly BatchMember[],
  closed: ReadonlySet<HostId>,
  signal: AbortSignal,
) => Promise<ReadonlyMap<VmUuid, Proposal>>;

/** Of a VM that is moved cold: as it is once it is shut down. */
export const requestOf = ({
  way,
  off,
  neverDegrade,
}: Pick<BatchMember, 'way' | 'off' | 'neverDegrade'>): MigrationRequest => ({
  ...(way === 'suspend' ? { kind: 'suspended' } : way === 'cold' && off === true ? { autoStart: true } : {}),
  ...(neverDegrade === true ? { neverDegrade } : {}),
});

/** Nothing where it is moved with the storage that both hosts have. */
export function copiedBytes({ disks }: MigrationPlan): Pick<Proposal, 'diskBytes'> {
  const diskBytes = disks.reduce(
    (sum, { how, allocationBytes = 0 }) => sum + (how === 'copy' ? allocationBytes : 0),
    0,
  );
  return diskBytes === 0 ? {} : { diskBytes };
}

/** What was proposed takes memory for good; slots and ports are free again by the time that the next one begins. */
const memoryProposed = (planned: readonly Migration[], key: string): Reservations =>
  Object.fromEntries(
    planned.flatMap(({ id, vm, to, plan, request, memoryBytes = 0 }) =>
      to !== undefined && hostKey(to.id) === key && plan !== undefined && startsThere({ plan, request })
        ? [[id, { vm: vm.name, memoryBytes }]]
        : [],
    ),
  );

export function proposeTargets(deps: FactSources): Propose {
  return async (members, closed, signal) => {
    const planned: Migration[] = [];
    const hosts = (): readonly HostView[] =>
      deps.fleet
        .hosts()
        .map((view) =>
          closed.has(view.host.id)
            ? { ...view, host: { ...view.host, service: { state: 'draining' as const, since: deps.clock.now() } } }
            : view,
        );
    const facts = createFactFinder({
      ...deps,
      fleet: { ...deps.fleet, hosts },
      active: () => [...deps.active(), ...planned],
      ledger: { ...deps.ledger, of: (key) => ({ ...deps.ledger.of(key), ...memoryProposed(planned, key) }) },
    });
    const asItMoves = (member: BatchMember): BatchMember => (member.way === 'cold' ? { ...member, off: true } : member);
    const gather = async (member: BatchMember): Promise<{ readonly vm: Vm; readonly said: Gathered } | string> => {
      const found = deps.fleet.vmByUuid(member.vm.uuid);
      const vm = found !== undefined && member.off === true ? { ...found, state: 'shut-off' as const } : found;
      if (vm === undefined) return 'No host has it any more.';
      const attempts = (member.tried ?? []).map((id) => ({
        at: 0,
        to: { id, name: id },
        error: errorReport('migration-failed', member.note ?? 'It failed.'),
      }));
      const self = { policy: facts.policyOf(vm, {}), attempts };
      try {
        return { vm, said: await facts.gather(vm, requestOf(member), self, signal) };
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    };
    const choose = (member: BatchMember, vm: Vm, said: Gathered): Proposal => {
      const result = said.choose(undefined);
      if (result.kind === 'refused') return { note: result.reasons[0]?.message ?? 'No host can take it.' };
      const { to, plan, move: kind } = result;
      const request = requestOf(member);
      const by = { actor: '', client: '' };
      const id = migrationId(`planned-${vm.uuid}`);
      const policy = facts.policyOf(vm, request);
      planned.push({ ...beginMigration({ id, vm, from: member.from, kind, request, policy, by }, 0), to, plan });
      const proposal = { to, ...copiedBytes(plan) };
      return result.kind === 'waits' ? { ...proposal, note: result.reasons[0]?.message ?? '' } : proposal;
    };

    const proposals = new Map<VmUuid, Proposal>();
    for (let first = 0; first < members.length; first += gatheredAtOnce) {
      const some = members.slice(first, first + gatheredAtOnce).map(asItMoves);
      const answers = await Promise.all(some.map(gather));
      for (const [index, member] of some.entries()) {
        const answer = answers[index];
        if (answer === undefined || typeof answer === 'string') proposals.set(member.vm.uuid, { note: answer ?? '' });
        else proposals.set(member.vm.uuid, choose(member, answer.vm, answer.said));
      }
    }
    return proposals;
  };
}

/** With their proposals, for VMs that are to leave. */
export async function withProposals(
  batch: Batch,
  ordered: readonly BatchMember[],
  propose: Propose,
  signal: AbortSignal,
): Promise<Batch> {
  const moving = ordered.filter(({ way }) => way === 'live' || way === 'suspend' || way === 'cold');
  const proposals = await propose(moving, new Set(batch.hosts.map(({ id }) => id)), signal);
  return {
    ...batch,
    members: batch.members.map((member) => ({ ...member, ...proposals.get(member.vm.uuid) })),
  };
}
