/**
 * Policies, the labels of VMs and what binds the one to the other: stored objects, kept in memory since every check
 * reads them. Presets come with Ferry and are not stored.
 */
import {
  choosePolicy,
  presets,
  refusePolicy,
  refusePolicyInUse,
  refusePreset,
  resolvePolicy,
  unknownPolicy,
  type Cluster,
  type MigrationRequest,
  type Policy,
  type PolicyBinding,
  type PolicyContent,
  type ResolvedPolicy,
  type Selector,
  type Vm,
  type VmUuid,
} from '@ferry/core';
import { collection, document, expectRevision, text, texts } from '../state/collection.ts';
import { openMirror, type MirrorDeps } from '../state/mirror.ts';
import { usersOf } from '../state/users.ts';
import type { Clock, IntentStore, IntentWrite } from '../ports/ports.ts';
import { createLabelIndex } from './label-index.ts';

const policyPrefix = 'policies/';
const bindingPrefix = 'policy-bindings/';
const labelPrefix = 'vm-labels/';

export interface Policies {
  /** Ferry's own, the other presets, then the stored ones, each group by name. */
  all(): readonly Policy[];
  /** Throws FerryError `policy-unknown`. */
  find(name: string): Policy;
  /** Of the stored policy; 0 of a preset. */
  revisionOf(name: string): number;
  /**
   * Makes it, or replaces it with the next version. `expected`: the revision that it must have, 0 for none. Throws
   * FerryError `policy-invalid`, `policy-preset`, `revision-stale`.
   */
  put(
    name: string,
    content: PolicyContent,
    expected?: number,
  ): Promise<{ readonly policy: Policy; readonly revision: number }>;
  /** Throws FerryError `policy-unknown`, `policy-preset`, `policy-in-use`, `revision-stale`. */
  remove(name: string, clusters: () => Promise<Iterable<Cluster>>, expected?: number): Promise<void>;
  bindings(): readonly PolicyBinding[];
  /** VMs with this label go by the policy; an undefined policy takes that away. */
  bind(label: string, policy: string | undefined): Promise<void>;
  labelsOf(vm: VmUuid): readonly string[];
  /** Those that have any; the fleet need not have them. */
  labelledVms(): readonly VmUuid[];
  /** VMs that can match, and maybe others; undefined where any VM can. */
  labelled(selector: Selector): readonly VmUuid[] | undefined;
  labelsRevisionOf(vm: VmUuid): number;
  /** Throws FerryError `revision-stale`. */
  label(vm: Pick<Vm, 'uuid' | 'name'>, change: LabelChange, expected?: number): Promise<void>;
  /** What a migration of this VM goes by. Throws FerryError `policy-unknown`. */
  resolve(request: MigrationRequest, vm: VmUuid, cluster: Cluster | undefined): ResolvedPolicy;
  /**
   * Goes into the transaction of whatever begins to name this policy: whoever removes it at the same moment conflicts,
   * and looks again who uses it. Throws FerryError `policy-unknown`.
   */
  use(name: string): Promise<readonly IntentWrite[]>;
}

export interface LabelChange {
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

/** In order; one that is added and removed is there. */
export const changedLabels = (before: readonly string[], { add, remove }: LabelChange): readonly string[] =>
  [...new Set([...before.filter((label) => !remove.includes(label)), ...add])].sort();

export interface PolicyEvents {
  /** Absent: it is gone. */
  policy(name: string, policy: Policy | undefined, revision: number): void;
  binding(label: string, policy: string | undefined): void;
  labels(vm: VmUuid): void;
}

export async function openPolicies(
  intents: IntentStore,
  deps: MirrorDeps & { readonly clock: Clock },
  events: PolicyEvents,
): Promise<Policies> {
  const stored = await openMirror(
    collection(intents, policyPrefix, document<Policy>({ name: 'string', version: 'number', steps: 'array' })),
    deps,
    ({ key, value, revision }) => events.policy(key, value, revision),
  );
  const bound = await openMirror(collection(intents, bindingPrefix, text), deps, ({ key, value }) =>
    events.binding(key, value),
  );
  const labelIndex = createLabelIndex();
  const labels = await openMirror(collection(intents, labelPrefix, texts), deps, ({ key, value = [] }) => {
    labelIndex.set(key as VmUuid, value);
    events.labels(key as VmUuid);
  });
  for (const { key, value } of labels.all()) labelIndex.set(key as VmUuid, value);
  const users = usersOf(intents, policyPrefix, stored.stored);
  const byName = (a: Policy, b: Policy): number => (a.name < b.name ? -1 : 1);
  const find = (name: string): Policy => {
    const policy = stored.get(name)?.value ?? presets.get(name);
    if (policy === undefined) throw unknownPolicy(name);
    return policy;
  };
  const bindings = (): readonly PolicyBinding[] =>
    bound
      .all()
      .map(({ key, value }) => ({ label: key, policy: value }))
      .sort((a, b) => (a.label < b.label ? -1 : 1));
  const use: Policies['use'] = async (name) => {
    if (presets.has(name)) return [];
    const now = await stored.stored.get(name);
    if (now === undefined) throw unknownPolicy(name);
    return users.begin(now);
  };
  return {
    all: () => [
      ...presets.values(),
      ...stored
        .all()
        .map(({ value }) => value)
        .sort(byName),
    ],
    find,
    revisionOf: (name) => stored.get(name)?.revision ?? 0,
    async put(name, content, expected) {
      refusePolicy(name, content);
      const { value: policy, revision } = await stored.change(name, (before) => {
        expectRevision(`The policy "${name}"`, before?.revision ?? 0, expected);
        return { ...content, name, version: (before?.value.version ?? 0) + 1, changedAt: deps.clock.now() };
      });
      return { policy: policy ?? find(name), revision };
    },
    async remove(name, clusters, expected) {
      refusePreset(name);
      await stored.change(
        name,
        (before) => {
          if (before === undefined) throw unknownPolicy(name);
          expectRevision(`The policy "${name}"`, before.revision, expected);
          return undefined;
        },
        async () => {
          const unused = await users.none(name);
          const { items } = await bound.stored.list();
          refusePolicyInUse(name, {
            clusters: [...(await clusters())],
            bindings: items.map(({ key, value }) => ({ label: key, policy: value })),
          });
          return unused;
        },
      );
    },
    bindings,
    async bind(label, policy) {
      await bound.change(label, () => policy, policy === undefined ? undefined : () => use(policy));
    },
    labelsOf: (vm) => labels.get(vm)?.value ?? [],
    labelledVms: () => labels.all().map(({ key }) => key as VmUuid),
    labelled: (selector) => labelIndex.candidates(selector),
    labelsRevisionOf: (vm) => labels.get(vm)?.revision ?? 0,
    async label({ uuid, name }, { add, remove }, expected) {
      await labels.change(uuid, (before) => {
        expectRevision(`The labels of ${name}`, before?.revision ?? 0, expected);
        const labelled = changedLabels(before?.value ?? [], { add, remove });
        return labelled.length === 0 ? undefined : labelled;
      });
    },
    resolve(request, vm, cluster) {
      const { name, from } = choosePolicy({
        ...(request.policy === undefined ? {} : { requested: request.policy }),
        labels: labels.get(vm)?.value ?? [],
        bindings: bindings(),
        ...(cluster?.policy === undefined ? {} : { cluster: cluster.policy }),
      });
      return resolvePolicy(find(name), from, request);
    },
    use,
  };
}
