/**
 * Where VMs that are to move together would go: the checks of every move say where each may be, and core places them as
 * a group. It proposes; the migration decides when its turn comes. Nothing is touched.
 */
import {
  beyond,
  errorReport,
  groupOf,
  placeGroup,
  proposalFrom,
  type Batch,
  type BatchMember,
  type Checked,
  type Host,
  type HostId,
  type HostRef,
  type HostView,
  type MigrationRequest,
  type Proposal,
  type VmUuid,
} from '@ferry/core';
import { createFactFinder } from '../planning/fact-finding.ts';
import type { FactSources } from '../planning/fact-sources.ts';

/** VMs whose facts are gathered at a time. */
const gatheredAtOnce = 8;

/** `closed`: hosts that take none of them. `home`: the only one that does, also if no other VM may be moved there now. */
export interface ProposeWhere {
  readonly closed?: ReadonlySet<HostId>;
  readonly home?: HostRef;
}

export type Propose = (
  members: readonly BatchMember[],
  where: ProposeWhere,
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

export function proposeTargets(deps: FactSources): Propose {
  return async (members, { closed, home }, signal) => {
    const group = new Set(members.map(({ vm }) => vm.uuid));
    const asItWillBe = (host: Host): Host => {
      const { service: _, ...inService } = host;
      if (host.id === home?.id) return inService;
      return closed?.has(host.id) === true
        ? { ...host, service: { state: 'draining', since: deps.clock.now() } }
        : host;
    };
    const hosts = (): readonly HostView[] =>
      deps.fleet.hosts().map((view) => ({ ...view, host: asItWillBe(view.host) }));
    const facts = createFactFinder({
      ...deps,
      fleet: { ...deps.fleet, hosts },
      rules: { factsFor: (vm, active) => beyond(deps.rules.factsFor(vm, active), group) },
    });
    const asItMoves = (member: BatchMember): BatchMember => (member.way === 'cold' ? { ...member, off: true } : member);
    const check = async (member: BatchMember): Promise<Checked | string> => {
      const found = deps.fleet.vmByUuid(member.vm.uuid);
      const vm = found !== undefined && member.off === true ? { ...found, state: 'shut-off' as const } : found;
      if (vm === undefined) return 'No host has it any more.';
      const attempts = (member.tried ?? []).map((id) => ({
        at: 0,
        to: { id, name: id },
        error: errorReport('migration-failed', member.note ?? 'It failed.'),
      }));
      const self = { policy: facts.policyOf(vm, {}), attempts };
      const request = { ...requestOf(member), ...(home === undefined ? {} : { to: home.id }) };
      try {
        const result = (await facts.gather(vm, request, self, signal)).choose(undefined);
        return { vm, result, rules: deps.rules.factsFor(vm, deps.active()) };
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    };

    const proposals = new Map<VmUuid, Proposal>();
    const checked: Checked[] = [];
    for (let first = 0; first < members.length; first += gatheredAtOnce) {
      const some = members.slice(first, first + gatheredAtOnce).map(asItMoves);
      const answers = await Promise.all(some.map(check));
      for (const [index, { vm }] of some.entries()) {
        const answer = answers[index];
        if (answer === undefined || typeof answer === 'string') proposals.set(vm.uuid, { note: answer ?? '' });
        else checked.push(answer);
      }
    }
    const known = hosts().map(({ host: { id, name } }) => ({ id, name }));
    const plan = placeGroup(groupOf(checked, known));
    for (const each of checked) proposals.set(each.vm.uuid, proposalFrom(each, plan, known));
    return proposals;
  };
}

/** With their proposals, for VMs that are to leave; of a restore, with what speaks against their way home. */
export async function withProposals(
  batch: Batch,
  ordered: readonly BatchMember[],
  propose: Propose,
  signal: AbortSignal,
): Promise<Batch> {
  const moving = ordered.filter(({ way }) => way === 'live' || way === 'suspend' || way === 'cold');
  const [home] = batch.hosts;
  const where: ProposeWhere =
    batch.kind === 'restore' && home !== undefined ? { home } : { closed: new Set(batch.hosts.map(({ id }) => id)) };
  const proposals = await propose(moving, where, signal);
  return {
    ...batch,
    members: batch.members.map((member) => {
      const { reasons: _, ...proposal } = proposals.get(member.vm.uuid) ?? {};
      return { ...member, ...proposal };
    }),
  };
}
