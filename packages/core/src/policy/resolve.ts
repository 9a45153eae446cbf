/** Which policy a migration uses, and what the operator's own options change in it. */
import type { Policy, PolicyStep, ResolvedPolicy } from '../model/policy.ts';
import type { MigrationRequest } from '../model/request.ts';
import { defaultPolicyName } from './presets.ts';

/** The longest pause that "finish quickly" may take, unless the operator names one, ms. */
export const quickPauseMs = 10_000;

type Wishes = Pick<
  MigrationRequest,
  'maxDowntimeMs' | 'maxBandwidthMiBPerSecond' | 'deadlineMs' | 'quicklyFinish' | 'postCopy'
>;

/** The policy with what was asked for this one migration. */
export function resolvePolicy(policy: Policy, from: ResolvedPolicy['from'], wishes: Wishes = {}): ResolvedPolicy {
  const { maxDowntimeMs, maxBandwidthMiBPerSecond, deadlineMs, quicklyFinish, postCopy } = wishes;
  const limitMs =
    maxDowntimeMs ??
    (quicklyFinish === true ? Math.max(policy.downtime.limitMs, quickPauseMs) : policy.downtime.limitMs);
  const quick: readonly PolicyStep[] =
    quicklyFinish === true ? [{ when: 'stalled', passes: 2, do: 'fit-downtime' }] : [];
  const late: readonly PolicyStep[] =
    deadlineMs !== undefined && !policy.steps.some(({ when }) => when === 'deadline')
      ? [{ when: 'deadline', do: 'abort' }]
      : [];
  return {
    ...policy,
    from,
    downtime: { initialMs: maxDowntimeMs ?? policy.downtime.initialMs, limitMs },
    // steps are kept by their places: what was asked for comes after the policy's own
    steps: [...policy.steps, ...quick, ...late],
    ...(maxBandwidthMiBPerSecond === undefined ? {} : { bandwidthMiBPerSecond: maxBandwidthMiBPerSecond }),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(postCopy === true ? { postCopy: 'allowed' as const } : {}),
  };
}

/** A label as in `tier=db`, bound to a policy. */
export interface PolicyBinding {
  readonly label: string;
  readonly policy: string;
}

export interface PolicyChoice {
  readonly requested?: string;
  readonly labels: readonly string[];
  readonly bindings: readonly PolicyBinding[];
  readonly cluster?: string;
}

/**
 * Name of the policy and where it comes from: the migration's own, else the VM's label (the first by name), else its
 * cluster's, else Ferry's.
 */
export function choosePolicy({ requested, labels, bindings, cluster }: PolicyChoice): {
  readonly name: string;
  readonly from: ResolvedPolicy['from'];
} {
  if (requested !== undefined) return { name: requested, from: 'migration' };
  const [bound] = bindings.filter(({ label }) => labels.includes(label)).sort((a, b) => (a.label < b.label ? -1 : 1));
  if (bound !== undefined) return { name: bound.policy, from: 'vm' };
  return cluster === undefined ? { name: defaultPolicyName, from: 'default' } : { name: cluster, from: 'cluster' };
}
