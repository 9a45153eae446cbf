/** When a policy is not stored or not removed, in words. What a policy must be, policy.ts says. Pure. */
import { FerryError } from '../model/errors.ts';
import type { Cluster } from '../model/host.ts';
import type { PolicyContent } from '../model/policy.ts';
import { policyProblems } from './policy.ts';
import { presets } from './presets.ts';
import type { PolicyBinding } from './resolve.ts';

export const unknownPolicy = (name: string): FerryError =>
  new FerryError('policy-unknown', `There is no policy "${name}".`);

/** Throws FerryError `policy-preset`. */
export function refusePreset(name: string): void {
  if (presets.has(name)) throw new FerryError('policy-preset', `"${name}" is a preset.`);
}

/** Throws FerryError `policy-preset`, `policy-invalid`. */
export function refusePolicy(name: string, content: PolicyContent): void {
  refusePreset(name);
  const problems = policyProblems(content);
  if (problems.length > 0) throw new FerryError('policy-invalid', problems.join(' '));
}

/** Throws FerryError `policy-in-use`. */
export function refusePolicyInUse(
  name: string,
  { clusters, bindings }: { readonly clusters: readonly Cluster[]; readonly bindings: readonly PolicyBinding[] },
): void {
  const users = [
    ...clusters.filter(({ policy }) => policy === name).map((cluster) => `cluster ${cluster.name}`),
    ...bindings.filter(({ policy }) => policy === name).map(({ label }) => `label ${label}`),
  ];
  if (users.length > 0) throw new FerryError('policy-in-use', `The policy "${name}" is used by ${users.join(', ')}.`);
}
