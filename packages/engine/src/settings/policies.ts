/**
 * Policies, the labels of VMs and what binds the one to the other: stored objects, kept in memory since every check
 * reads them. Presets come with Ferry and are not stored.
 */
import {
  choosePolicy,
  FerryError,
  policyProblems,
  presets,
  resolvePolicy,
  type Cluster,
  type MigrationRequest,
  type Policy,
  type PolicyBinding,
  type PolicyContent,
  type ResolvedPolicy,
  type VmUuid,
} from '@ferry/core';
import { changeIntent } from '../state/change-intent.ts';
import type { Clock, IntentStore } from '../ports/ports.ts';

const policyPrefix = 'policies/';
const bindingPrefix = 'policy-bindings/';
const labelPrefix = 'vm-labels/';

export interface Policies {
  /** Ferry's own, the other presets, then the stored ones, each group by name. */
  all(): readonly Policy[];
  /** Throws FerryError `policy-unknown`. */
  find(name: string): Policy;
  /** Makes it, or replaces it with the next version. Throws FerryError `policy-invalid`, `policy-preset`. */
  put(name: string, content: PolicyContent): Promise<Policy>;
  /** Throws FerryError `policy-unknown`, `policy-preset`, `policy-in-use`. */
  remove(name: string, clusters: Iterable<Cluster>): Promise<void>;
  bindings(): readonly PolicyBinding[];
  /** VMs with this label go by the policy; an undefined policy takes that away. */
  bind(label: string, policy: string | undefined): Promise<void>;
  labelsOf(vm: VmUuid): readonly string[];
  label(vm: VmUuid, change: { readonly add: readonly string[]; readonly remove: readonly string[] }): Promise<void>;
  /** What a migration of this VM goes by. Throws FerryError `policy-unknown`. */
  resolve(request: MigrationRequest, vm: VmUuid, cluster: Cluster | undefined): ResolvedPolicy;
}

export async function openPolicies(intents: IntentStore, clock: Clock): Promise<Policies> {
  const listed = async <T>(prefix: string): Promise<Map<string, T>> =>
    new Map((await intents.list(prefix)).map(({ key, value }) => [key.slice(prefix.length), value as T]));
  const stored = await listed<Policy>(policyPrefix);
  const bound = await listed<string>(bindingPrefix);
  const labels = await listed<readonly string[]>(labelPrefix);
  const byName = (a: Policy, b: Policy): number => (a.name < b.name ? -1 : 1);
  const find = (name: string): Policy => {
    const policy = stored.get(name) ?? presets.get(name);
    if (policy === undefined) throw new FerryError('policy-unknown', `There is no policy "${name}".`);
    return policy;
  };
  return {
    all: () => [...presets.values(), ...[...stored.values()].sort(byName)],
    find,
    async put(name, content) {
      if (presets.has(name)) throw new FerryError('policy-preset', `"${name}" is a preset.`);
      const problems = policyProblems(content);
      if (problems.length > 0) throw new FerryError('policy-invalid', problems.join(' '));
      let policy: Policy = { ...content, name, version: 1, changedAt: clock.now() };
      await changeIntent<Policy>(
        intents,
        policyPrefix + name,
        (before) => (policy = { ...policy, version: (before?.version ?? 0) + 1 }),
      );
      stored.set(name, policy);
      return policy;
    },
    async remove(name, clusters) {
      if (presets.has(name)) throw new FerryError('policy-preset', `"${name}" is a preset.`);
      find(name);
      const users = [
        ...[...clusters].filter(({ policy }) => policy === name).map((cluster) => `cluster ${cluster.name}`),
        ...[...bound].filter(([, policy]) => policy === name).map(([label]) => `label ${label}`),
      ];
      if (users.length > 0)
        throw new FerryError('policy-in-use', `The policy "${name}" is used by ${users.join(', ')}.`);
      await intents.commit([{ op: 'delete', key: policyPrefix + name }]);
      stored.delete(name);
    },
    bindings: () =>
      [...bound].map(([label, policy]) => ({ label, policy })).sort((a, b) => (a.label < b.label ? -1 : 1)),
    async bind(label, policy) {
      if (policy === undefined) {
        await intents.commit([{ op: 'delete', key: bindingPrefix + label }]);
        bound.delete(label);
        return;
      }
      find(policy);
      await intents.commit([{ op: 'put', key: bindingPrefix + label, value: policy }]);
      bound.set(label, policy);
    },
    labelsOf: (vm) => labels.get(vm) ?? [],
    async label(vm, { add, remove }) {
      const next = await changeIntent<readonly string[]>(intents, labelPrefix + vm, (before = []) => {
        const sorted = [...new Set([...before.filter((label) => !remove.includes(label)), ...add])].sort();
        return sorted.length === 0 ? undefined : sorted;
      });
      if (next === undefined) labels.delete(vm);
      else labels.set(vm, next);
    },
    resolve(request, vm, cluster) {
      const { name, from } = choosePolicy({
        ...(request.policy === undefined ? {} : { requested: request.policy }),
        labels: labels.get(vm) ?? [],
        bindings: [...bound].map(([label, policy]) => ({ label, policy })),
        ...(cluster?.policy === undefined ? {} : { cluster: cluster.policy }),
      });
      return resolvePolicy(find(name), from, request);
    },
  };
}
