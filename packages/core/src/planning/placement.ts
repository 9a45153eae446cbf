/**
 * Chooses the target among the hosts that pass the checks, or says why there is none: every host with every reason that
 * speaks against it. Pure.
 */
import type { HostView } from '../model/host.ts';
import type { CheckResult, HostWeights } from '../model/plan.ts';
import type { Reason, ReasonCode } from '../model/reasons.ts';
import { type CheckInput, kindOf, memoryNeeded, named, sourceOf, wantedCluster } from './check-input.ts';
import { reasonsOf } from './checks/check.ts';
import { findingsOf, judgeHost, plainOf, refusalsIn, type Judged } from './checks/judge.ts';
import { memoryNotGiven } from './checks/overcommit.ts';
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
export function checkMigration(given: CheckInput): CheckResult {
  const input = sourceFirst(given);
  const ofVm = findingsOf(reasonsOf(vmChecks, input), input);
  const general = plainOf(ofVm, 'refuse');
  const candidates = inQuestion(input);
  // storage that was not looked at has no reasons: the VM or the host is refused anyway
  const lookedAt = general.length === 0 || input.storage !== undefined;
  const weighed = candidates.map((view) => weigh(input, view, lookedAt));
  // what is said of the VM holds for every host
  const said = ofVm.filter(({ verdict }) => verdict !== 'refuse');
  const answers = weighed.map(({ answer }) => ({ ...answer, findings: [...answer.findings, ...said] }));
  const suited = weighed.filter(({ reasons }) => reasons.length === 0).sort(betterIn(input));
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
    reasons: [...general, ...noCandidate(input, candidates), ...weighed.flatMap(({ reasons }) => reasons)],
    answers,
  };
}

/** Many checks look for the source: it is found at once, however large the fleet is. */
export const sourceFirst = (input: CheckInput): CheckInput => {
  const source = sourceOf(input);
  return source === undefined || source === input.hosts[0]
    ? input
    : { ...input, hosts: [source, ...input.hosts.filter((view) => view !== source)] };
};

/** By these QEMU or libvirt on the target may not take the guest: another host is better. */
const doubtful: readonly ReasonCode[] = ['target-cpu-lacks', 'target-cpu-differs', 'target-tsc', 'target-pinning'];

export interface Weighed extends Judged {
  readonly weighs: HostWeights;
}

export function weigh(input: CheckInput, view: HostView, lookedAt: boolean): Weighed {
  const promised = input.memoryPromised?.(view.host.id) ?? 0;
  const of = judgeHost(input, view, { lookedAt, promised });
  const { stateRisks = [], disks } = of.plan;
  const copied = disks.filter(({ how }) => how === 'copy');
  const copyBytes = copied.reduce((sum, { allocationBytes = 0 }) => sum + allocationBytes, 0);
  const spareBytes = spareOn(input, view, promised);
  const weighs: HostWeights = {
    risks: stateRisks.length + of.answer.findings.filter(({ code }) => doubtful.includes(code)).length,
    softRules: unmetRules(input.rules ?? [], view.host),
    copies: copied.length,
    ...(copyBytes === 0 ? {} : { copyBytes }),
    load: input.loadOf(view.host.id),
    ...(spareBytes === undefined ? {} : { spareBytes }),
  };
  return { ...of, answer: { ...of.answer, weighs }, weighs };
}

/** Memory that nobody has or was promised; of a move that may not degrade a guest, that none was given either. */
function spareOn(input: CheckInput, view: HostView, promised: number): number | undefined {
  const { freeMemoryBytes } = view;
  const spare = freeMemoryBytes === undefined ? undefined : freeMemoryBytes - promised;
  const notGiven = input.request.neverDegrade === true ? memoryNotGiven(input, view) : undefined;
  return spare === undefined || notGiven === undefined ? (spare ?? notGiven) : Math.min(spare, notGiven);
}

/** The better host first. One that does not say what it has free counts as full. */
export const betterIn = (input: CheckInput): ((a: Weighed, b: Weighed) => number) => {
  const { preferHost } = input.request;
  const preferred = preferHost === undefined ? undefined : named(input, preferHost);
  const isNot = ({ view }: Weighed): number => (view === preferred ? 0 : 1);
  return (a, b) =>
    isNot(a) - isNot(b) ||
    a.weighs.risks - b.weighs.risks ||
    a.weighs.softRules - b.weighs.softRules ||
    a.weighs.copies - b.weighs.copies ||
    a.weighs.load - b.weighs.load ||
    (b.weighs.spareBytes ?? 0) - (a.weighs.spareBytes ?? 0) ||
    (a.view.host.name < b.view.host.name ? -1 : 1);
};

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
