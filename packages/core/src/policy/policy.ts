/** What is wrong with a policy, and what it may do to a guest, in words. When a step is due: convergence/decide.ts. */
import type { PolicyContent, MeasureName } from '../model/policy.ts';
import { hookProblems } from './hook-problems.ts';

const mostMs = 2_000_000;

/** What is wrong with it, sentence by sentence; empty when it can be used. */
export function policyProblems(policy: PolicyContent): readonly string[] {
  const { downtime, steps, postCopy, throttle, linkShare, deadlineMs, compression, connections, hooks = [] } = policy;
  const problems: string[] = [];
  const check = (fine: boolean, sentence: string): void => void (fine ? undefined : problems.push(sentence));
  check(
    downtime.initialMs <= downtime.limitMs,
    `The pause budget begins with ${downtime.initialMs} ms, above its limit of ${downtime.limitMs} ms.`,
  );
  check(downtime.limitMs <= mostMs, `QEMU takes a pause budget of ${mostMs} ms at most.`);
  for (const step of steps) {
    if (step.do === 'raise-downtime')
      check(
        step.toMs <= downtime.limitMs,
        `A step raises the pause budget to ${step.toMs} ms, above its limit of ${downtime.limitMs} ms.`,
      );
    if (step.when === 'elapsed')
      check((step.ms ?? 0) + (step.msPerGib ?? 0) > 0, 'A step with "elapsed" needs "ms" or "msPerGib".');
    if (step.when === 'throttled')
      check(throttle !== undefined, 'A step waits for throttling, which the policy does not allow.');
  }
  check(
    !steps.some((step) => step.do === 'post-copy') || postCopy !== 'never',
    'A step switches to post-copy, which "postCopy" forbids.',
  );
  check(connections === undefined || postCopy === 'never', 'QEMU does not do post-copy over several connections.');
  check(compression !== 'xbzrle' || connections === undefined, 'xbzrle does not work with several connections.');
  check(
    compression === undefined || compression === 'xbzrle' || connections !== undefined,
    `${compression ?? ''} needs several connections.`,
  );
  check(
    linkShare === undefined || (linkShare > 0 && linkShare <= 1),
    'The share of the link is above 0 and at most 1.',
  );
  check(deadlineMs === undefined || deadlineMs > 0, 'A deadline lies ahead.');
  return [...problems, ...hookProblems(hooks)];
}

/** The policy takes this measure, if it comes to that. */
export const allows = ({ steps }: Pick<PolicyContent, 'steps'>, measure: MeasureName): boolean =>
  steps.some((step) => step.do === measure);

const measureText: Readonly<Record<MeasureName, string>> = {
  'raise-downtime': 'raises the pause budget',
  'double-downtime': 'doubles the pause budget',
  'fit-downtime': 'raises the pause budget to what is needed',
  'post-copy': 'switches to post-copy',
  pause: 'pauses the guest',
  'power-off': 'shuts the guest down and moves it cold',
  abort: 'aborts',
};

/** What the policy may do to a guest, in words. */
export function policyText(policy: PolicyContent): string {
  const { downtime, steps, throttle, bandwidthMiBPerSecond, linkShare, hooks = [] } = policy;
  const measures = [...new Set(steps.map((step) => measureText[step.do]))];
  const bandwidth =
    bandwidthMiBPerSecond !== undefined
      ? `${bandwidthMiBPerSecond} MiB/s`
      : linkShare !== undefined
        ? `${Math.round(linkShare * 100)} % of the slower host's link`
        : 'no limit of bandwidth';
  return [
    `pauses of ${downtime.initialMs}${downtime.limitMs > downtime.initialMs ? ` to ${downtime.limitMs}` : ''} ms`,
    bandwidth,
    ...(throttle === undefined ? [] : ['throttles the guest']),
    ...measures,
    ...(hooks.length === 0 ? [] : [`calls ${hooks.map(({ name, stage }) => `${name} (${stage})`).join(', ')}`]),
  ].join('; ');
}
