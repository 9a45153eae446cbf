/**
 * Decisions on a recorded fleet: the hosts that suit a VM best, by the checks and the weights of every move. Hosts are
 * looked at in the order in which they would be chosen, so most of a large fleet is never looked at. Pure.
 */
import { isHeldBack } from '../../fleet/service.ts';
import type { HostView } from '../../model/host.ts';
import { hostId } from '../../model/ids.ts';
import type { CheckResult } from '../../model/plan.ts';
import type { MigrationRequest } from '../../model/request.ts';
import type { RuleFacts } from '../../model/rule.ts';
import type { Vm } from '../../model/vm.ts';
import { type CheckInput, kindOf, memoryNeeded, wantedCluster } from '../check-input.ts';
import { reasonsOf } from '../checks/check.ts';
import { refusalsIn } from '../checks/judge.ts';
import { hostChecks } from '../checks/table.ts';
import { isAboutHosts, isAboutVms } from '../rules/members.ts';
import { unmetRules } from '../rules/judge.ts';
import { betterIn, checkMigration, sourceFirst, vmReasons, weigh, type Weighed } from '../placement.ts';
import type { KnownFleet } from './known-fleet.ts';

/** What every host says, and which is chosen. `rules`: in place of those that speak of the VM. */
export const planMove = (
  known: KnownFleet,
  vm: Vm,
  request: MigrationRequest,
  rules: readonly RuleFacts[] = known.rulesOf(vm),
): CheckResult => checkMigration({ ...known.input(vm, request), rules });

/**
 * The choice alone, with the answers of the hosts that were looked at. Where none suits, every host is looked at for its
 * reasons; but not where the VM itself is refused.
 */
export function chooseHost(known: KnownFleet, vm: Vm, request: MigrationRequest = {}): CheckResult {
  const input = sourceFirst(known.input(vm, request));
  // a host that was asked for is the only one in question
  if (request.to !== undefined || request.preferHost !== undefined) return checkMigration(input);
  const reasons = vmReasons(input);
  if (reasons.length > 0) return { kind: 'refused', reasons };
  return resultOf(input, bestOf(known, input, 1)) ?? checkMigration(input);
}

export interface ChooseAmong {
  /** In place of those that speak of the VM. */
  readonly rules: readonly RuleFacts[];
  /** Hosts to look for. */
  readonly most: number;
  /** Where to begin among the first ones, so that not all VMs of a group look at the same hosts. */
  readonly start: { readonly at: number; readonly of: number };
}

/** Some hosts that suit it best. Undefined: none does. */
export function chooseHosts(
  known: KnownFleet,
  vm: Vm,
  request: MigrationRequest,
  { rules, most, start }: ChooseAmong,
): CheckResult | undefined {
  const input = sourceFirst({ ...known.input(vm, request), rules });
  return vmReasons(input).length > 0 ? undefined : resultOf(input, bestOf(known, input, most, start));
}

/** At least this many, if there are; without a `start`, no host is better than any of them. */
function bestOf(known: KnownFleet, input: CheckInput, most: number, start?: ChooseAmong['start']): readonly Weighed[] {
  const needed = memoryNeeded(input);
  const rules = rulesByHost(input);
  const found: Weighed[] = [];
  let flawless = 0;
  // the ranking does not know what guests were given; with a `start`, no order is promised
  const isRanked = start !== undefined || input.request.neverDegrade !== true;
  for (const view of rules.inOrder(turned(known.ranked(wantedCluster(input)), start))) {
    if (!mayTake(view, input, needed) || rules.forbid(view)) continue;
    if (refusalsIn(reasonsOf(hostChecks, { input, target: view }), input).length > 0) continue;
    const weighed = weigh(input, view, true);
    if (weighed.reasons.length > 0) continue;
    found.push(weighed);
    // whatever comes later breaks more soft rules, has more migrations or has less memory
    if (weighed.waits.length === 0 && weighed.weighs.risks + weighed.weighs.copies === 0) flawless += 1;
    if (flawless >= most && isRanked) break;
  }
  return found.sort(betterIn(input));
}

function turned(views: Iterable<HostView>, start: ChooseAmong['start'] | undefined): Iterable<HostView> {
  if (start === undefined) return views;
  const all = [...views];
  return [...all.slice(start.at, start.of), ...all.slice(0, start.at), ...all.slice(start.of)];
}

/** What the checks would refuse anyway, or would have wait for memory, found with less work. */
const mayTake = (
  { host, state, freeMemoryBytes }: HostView,
  { vm, memoryPromised }: CheckInput,
  needed: number,
): boolean =>
  host.id !== vm.hostId &&
  state === 'connected' &&
  !isHeldBack(host) &&
  (freeMemoryBytes === undefined || freeMemoryBytes - (memoryPromised?.(host.id) ?? 0) >= needed);

interface RulesByHost {
  /** A hard rule does, for certain. */
  readonly forbid: (view: HostView) => boolean;
  /** Those that break the fewest soft rules first; the order that there is, otherwise. */
  readonly inOrder: (views: Iterable<HostView>) => Iterable<HostView>;
}

/** A rule among VMs says the same of every host where none of them is or goes. */
function rulesByHost({ rules = [] }: CheckInput): RulesByHost {
  const ofVms = rules.filter(({ rule }) => isAboutVms(rule.kind));
  const ofHosts = rules.filter(({ rule }) => isAboutHosts(rule.kind));
  const fellowsOn = new Set(
    ofVms.flatMap(({ others }) => others.flatMap(({ hostId: at, movesTo = at }) => [at, movesTo])),
  );
  const nowhere = { id: hostId('') };
  const elsewhere = unmetRules(ofVms, nowhere);
  const unmet = ({ host }: HostView): number =>
    unmetRules(ofHosts, host) + (fellowsOn.has(host.id) ? unmetRules(ofVms, host) : elsewhere);
  const mustBeThere = ofVms.some(
    ({ rule, others }) =>
      rule.kind === 'together' && rule.strength === 'hard' && others.some(({ movesTo }) => movesTo !== 'open'),
  );
  return {
    forbid: ({ host }) =>
      (mustBeThere && !fellowsOn.has(host.id)) ||
      ofHosts.some(({ rule, hosts }) => rule.strength === 'hard' && hosts.has(host.id) !== (rule.kind === 'on-hosts')),
    inOrder(views) {
      if (rules.every(({ rule }) => rule.strength === 'hard')) return views;
      const byUnmet = new Map<number, HostView[]>();
      for (const view of views) {
        const count = unmet(view);
        const same = byUnmet.get(count);
        if (same === undefined) byUnmet.set(count, [view]);
        else same.push(view);
      }
      return [...byUnmet].sort(([a], [b]) => a - b).flatMap(([, same]) => same);
    },
  };
}

function resultOf(input: CheckInput, found: readonly Weighed[]): CheckResult | undefined {
  const chosen = found.find(({ waits }) => waits.length === 0) ?? found[0];
  const kind = kindOf(input);
  if (chosen === undefined || !('kind' in kind)) return undefined;
  const { host } = chosen.view;
  const choice = {
    to: { id: host.id, name: host.name },
    move: kind.kind,
    plan: chosen.plan,
    answers: found.map(({ answer }) => answer),
  };
  return chosen.waits.length === 0
    ? { kind: 'chosen', ...choice }
    : { kind: 'waits', ...choice, reasons: found.flatMap(({ waits }) => waits), on: [] };
}
