/**
 * Chooses the target among the hosts that pass the checks, or says why there is none: every host with every reason that
 * speaks against it. Pure.
 */
import type { HostView } from '../model/host.ts';
import type { CheckResult, MigrationPlan } from '../model/plan.ts';
import type { Reason } from '../model/reasons.ts';
import { type CheckInput, kindOf, memoryNeeded, named, wantedCluster } from './check-input.ts';
import { reasonsOf } from './checks/check.ts';
import { judgeHost, refusalsIn } from './checks/judge.ts';
import { hostChecks, vmChecks } from './checks/table.ts';
import { unmetRules } from './rules/judge.ts';

/** Hosts whose storage must be checked: the candidates that pass every other rule. */
export function candidatesOf(input: CheckInput): readonly HostView[] {
  return inQuestion(input).filter((target) => refusalsIn(reasonsOf(hostChecks, { input, target }), input).length === 0);
}

/** Of the VM and its source: they hold for every target. */
export const vmReasons = (input: CheckInput): readonly Reason[] => refusalsIn(reasonsOf(vmChecks, input), input);

const inQuestion = (input: CheckInput): readonly HostView[] => {
  const { hosts, request, vm } = input;
  return request.to === undefined
    ? hosts.filter(({ host }) => host.id !== vm.hostId && host.cluster === wantedCluster(input))
    : hosts.filter((view) => view === named(input, request.to ?? ''));
};

/**
 * Chooses the target. `to`: this one or none; `preferHost`: first if it passes; otherwise the suited host with the
 * fewest risks for the guest's state, then the fewest soft rules unmet, then the fewest disks to copy, then the fewest
 * migrations, then the most memory that nobody has been promised. Refused: all reasons of all hosts in question.
 */
export function checkMigration(input: CheckInput): CheckResult {
  const { request } = input;
  const { rules = [] } = input;
  const general = vmReasons(input);
  const candidates = inQuestion(input);
  const promisedOn = ({ host }: HostView): number => input.memoryPromised?.(host.id) ?? 0;
  // storage that was not looked at has no reasons: the VM or the host is refused anyway
  const judged = candidates.map((view) =>
    judgeHost(input, view, {
      lookedAt: general.length === 0 || input.storage !== undefined,
      promised: promisedOn(view),
    }),
  );
  const answers = judged.map(({ answer }) => answer);
  const copies = ({ disks }: MigrationPlan): number => disks.filter(({ how }) => how === 'copy').length;
  const isPreferred = ({ view }: { readonly view: HostView }): number =>
    request.preferHost !== undefined && view === named(input, request.preferHost) ? 0 : 1;
  const spare = (view: HostView): number => (view.freeMemoryBytes ?? 0) - promisedOn(view);
  const suited = judged
    .filter(({ reasons }) => reasons.length === 0)
    .sort(
      (a, b) =>
        isPreferred(a) - isPreferred(b) ||
        (a.plan.stateRisks?.length ?? 0) - (b.plan.stateRisks?.length ?? 0) ||
        unmetRules(rules, a.view.host) - unmetRules(rules, b.view.host) ||
        copies(a.plan) - copies(b.plan) ||
        input.loadOf(a.view.host.id) - input.loadOf(b.view.host.id) ||
        spare(b.view) - spare(a.view) ||
        (a.view.host.name < b.view.host.name ? -1 : 1),
    );
  const chosen = suited.find(({ waits }) => waits.length === 0) ?? suited[0];
  const kind = kindOf(input);
  if (chosen !== undefined && general.length === 0 && 'kind' in kind) {
    const choice = { to: { id: chosen.view.host.id, name: chosen.view.host.name }, move: kind.kind, plan: chosen.plan };
    if (chosen.waits.length === 0) return { kind: 'chosen', ...choice, answers };
    return {
      kind: 'waits',
      ...choice,
      reasons: suited.flatMap(({ waits }) => waits),
      on: suited.map(({ view, ports, plan }) => ({
        host: view.host.id,
        ports,
        memoryBytes: memoryNeeded(input),
        travels: plan.transfer !== undefined,
      })),
      answers,
    };
  }
  return {
    kind: 'refused',
    reasons: [...general, ...noCandidate(input, candidates), ...judged.flatMap(({ reasons }) => reasons)],
    answers,
  };
}

/** Why there is no host to speak of. */
export function noCandidate(
  { request, vm, hosts }: Pick<CheckInput, 'request' | 'vm' | 'hosts'>,
  candidates: readonly HostView[],
): readonly Reason[] {
  if (candidates.length > 0) return [];
  if (request.to !== undefined)
    return [
      {
        code: 'target-unknown',
        host: request.to,
        message: `There is no host ${request.to}.`,
        remedy: 'List the hosts with "ferry host list".',
      },
    ];
  const elsewhere = hosts.filter(({ host }) => host.id !== vm.hostId);
  if (elsewhere.length === 0)
    return [
      { code: 'no-other-host', message: 'There is no other host.', remedy: 'Add one with "ferry host add URI".' },
    ];
  const clusters = [...new Set(elsewhere.map(({ host }) => host.cluster))].sort();
  const none =
    request.toCluster === undefined
      ? `The cluster of ${vm.name} has no other host`
      : `The cluster ${request.toCluster} has no host for ${vm.name}`;
  return [
    {
      code: 'no-other-host',
      message: `${none}; there are hosts in ${clusters.join(', ')}.`,
      remedy: 'Choose a cluster with --to-cluster, or a host with --to.',
    },
  ];
}
