/** How a rollout begins: what is refused, and what its hosts become. Pure. */
import { refuseDrain } from '../batch/begin.ts';
import { serviceStateOf } from '../fleet/service.ts';
import { FerryError } from '../model/errors.ts';
import type { HostRef, HostView } from '../model/host.ts';
import type { HostId, RolloutId, TimeMs } from '../model/ids.ts';
import type { Rollout, RolloutHost, RolloutPlan } from '../model/rollout.ts';
import { hookTargetProblems } from '../policy/hook-problems.ts';
import { hasRolledOut } from './step.ts';

export const defaultReturnMs = 1_800_000;
/** For a hook that works on a host: it may reboot it, and wait for that. */
export const longestWorkMs = 14_400_000;
export const defaultWorkMs = 1_800_000;

/** Throws FerryError with what is wrong: nothing has begun. */
export function refuseRollout(
  hosts: readonly HostView[],
  plan: RolloutPlan,
  fleet: readonly HostView[],
  others: readonly Rollout[],
  now: TimeMs,
): void {
  const problems = [plan.work, plan.onlyIf].flatMap((target) =>
    target === undefined ? [] : hookTargetProblems(target, longestWorkMs),
  );
  if (problems.length > 0) throw new FerryError('rollout-refused', problems.join(' '));
  const twice = hosts.find(({ host }, index) => hosts.findIndex((each) => each.host.id === host.id) !== index);
  if (twice !== undefined) throw new FerryError('rollout-refused', `The host ${twice.host.name} is named twice.`);
  for (const { host } of hosts) {
    const other = others.find((each) => !hasRolledOut(each) && each.hosts.some((mine) => mine.host.id === host.id));
    if (other !== undefined)
      throw new FerryError('host-in-rollout', `${host.name} belongs to ${other.name}, which has not ended.`);
  }
  // each by itself: the others are back by then; in upgrade mode they take no VMs before they are done
  const force = plan.force === true;
  const together = plan.upgrade === true ? [hosts] : hosts.map((view) => [view]);
  for (const each of together) refuseDrain({ hosts: each, force }, fleet, now);
}

/** `problem`: of a hook that it names. */
export const uncallable = (problem: string): FerryError =>
  new FerryError('rollout-refused', `A hook of the rollout cannot be called: ${problem}.`);

/** Hosts that the labels select. Throws FerryError `rollout-refused`: where all are meant, they are to be named. */
export function selectedHosts(selector: string, chosen: readonly HostView[], fleet: readonly HostView[]): void {
  if (chosen.length === 0) throw new FerryError('rollout-refused', `No host has the labels "${selector}".`);
  if (chosen.length === fleet.length)
    throw new FerryError(
      'rollout-refused',
      `"${selector}" selects all ${fleet.length} hosts of the fleet: name the hosts, if all are meant.`,
    );
}

export const rolloutName = (hosts: readonly HostRef[], id: RolloutId): string =>
  `rollout-${hosts[0]?.name ?? ''}${hosts.length > 1 ? `+${hosts.length - 1}` : ''}-${id.slice(-5)}`;

export const rolloutHosts = (
  hosts: readonly HostView[],
  { upgrade }: RolloutPlan,
  now: TimeMs,
): readonly RolloutHost[] =>
  hosts.map(({ host }) => ({
    host: { id: host.id, name: host.name },
    state: 'waiting',
    since: now,
    ...(upgrade === true && serviceStateOf(host) === 'schedulable' ? { cordoned: true as const } : {}),
  }));

/**
 * A host that is worked on takes no VMs, whoever asks for it; also where the rollout has stopped and its hook may go on.
 * Throws FerryError `host-in-rollout`.
 */
export function refuseWhileWorkedOn(rollouts: readonly Rollout[], id: HostId): void {
  for (const { name, phase, hosts } of rollouts) {
    if (hasRolledOut({ phase })) continue;
    const found = hosts.find(({ host }) => host.id === id);
    if (found === undefined || (phase === 'stopped' && !(found.state === 'working' && found.called === true))) continue;
    if (['draining', 'working', 'returning'].includes(found.state))
      throw new FerryError('host-in-rollout', `${found.host.name} is ${found.state} in ${name}.`);
  }
}

/** What a hook is told of a host: on the standard input of a program, or as the body of a request. */
export const rolloutDocument = (
  { id, name, actor, client }: Rollout,
  stage: 'ask' | 'work',
  { host }: HostView,
  now: TimeMs,
): string =>
  JSON.stringify({
    version: 1,
    stage,
    at: new Date(now).toISOString(),
    rollout: { id, name, actor, client },
    host: { id: host.id, name: host.name, uri: host.uri },
  });
