/**
 * Chooses the target among the hosts that pass the checks, or says why there is none: every host with every reason that
 * speaks against it. Pure.
 */
import type { HostView } from '../model/host.ts';
import type { CheckResult, HostWeights, MigrationPlan } from '../model/plan.ts';
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
  const weighed = judged.map((each) => ({
    ...each,
    weighs: weightsOf(each.plan, {
      softRules: unmetRules(rules, each.view.host),
      load: input.loadOf(each.view.host.id),
      freeBytes: each.view.freeMemoryBytes,
      promised: promisedOn(each.view),
    }),
  }));
  const answers = weighed.map(({ answer, weighs }) => ({ ...answer, weighs }));
  const isPreferred = ({ view }: { readonly view: HostView }): number =>
    request.preferHost !== undefined && view === named(input, request.preferHost) ? 0 : 1;
  const suited = weighed
    .filter(({ reasons }) => reasons.length === 0)
    .sort(
      (a, b) =>
        isPreferred(a) - isPreferred(b) ||
        a.weighs.risks - b.weighs.risks ||
        a.weighs.softRules - b.weighs.softRules ||
        a.weighs.copies - b.weighs.copies ||
        a.weighs.load - b.weighs.load ||
        spareOf(b) - spareOf(a) ||
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

const weightsOf = (
  { stateRisks = [], disks }: MigrationPlan,
  host: Pick<HostWeights, 'softRules' | 'load'> & {
    readonly freeBytes: number | undefined;
    readonly promised: number;
  },
): HostWeights => ({
  risks: stateRisks.length,
  softRules: host.softRules,
  copies: disks.filter(({ how }) => how === 'copy').length,
  load: host.load,
  ...(host.freeBytes === undefined ? {} : { spareBytes: host.freeBytes - host.promised }),
});

/** A host that does not say counts as one that is full. */
const spareOf = ({ weighs: { spareBytes = 0 } }: { readonly weighs: HostWeights }): number => spareBytes;

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
