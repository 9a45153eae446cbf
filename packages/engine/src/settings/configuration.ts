/**
 * The configuration as one document: shown, compared and applied. It is checked as a whole before anything is written;
 * then each object is written at the revision at which it was compared, in an order in which none names what is not
 * there yet.
 */
import {
  configurationChanges,
  configurationProblems,
  FerryError,
  isUuid,
  presets,
  refuseContradictions,
  vmUuid,
  type Cluster,
  type Configuration,
  type ConfigurationChange,
  type HostView,
  type Policy,
  type Vm,
  type VmUuid,
} from '@ferry/core';
import type { KnownHosts } from '../fleet/hosts.ts';
import type { ClusterStore } from './clusters.ts';
import type { Policies } from './policies.ts';
import type { LabelsToBe, Rules } from './rules.ts';

export interface AppliedConfiguration {
  readonly changes: readonly ConfigurationChange[];
  /** What it names and the fleet does not have. */
  readonly warnings: readonly string[];
  readonly applied: boolean;
}

export interface ConfigurationDeps {
  readonly policies: Policies;
  readonly clusters: ClusterStore;
  readonly rules: Rules;
  readonly hosts: Pick<KnownHosts, 'change' | 'revisionOf'> & { readonly all: () => readonly HostView[] };
  readonly vmByUuid: (uuid: VmUuid) => Vm | undefined;
  readonly vmsNamed: (name: string) => readonly Vm[];
  /** The labels of the VM are others. */
  readonly relabelled: (vm: VmUuid) => void;
}

export interface ConfigurationStore {
  show(): Configuration;
  /** Throws FerryError `configuration-invalid` or `rules-contradict`, with nothing changed. */
  apply(wanted: Configuration, options: { readonly dryRun: boolean }): Promise<AppliedConfiguration>;
}

const mostProblems = 10;

export function createConfiguration(deps: ConfigurationDeps): ConfigurationStore {
  const { policies, clusters, rules, hosts } = deps;
  const vmsCalled = (ref: string): readonly Vm[] => deps.vmsNamed(ref).filter(({ name }) => name === ref);
  const nameOfVm = (uuid: string): string => {
    const name = deps.vmByUuid(vmUuid(uuid))?.name;
    return name === undefined || isUuid(name) || vmsCalled(name).length !== 1 ? uuid : name;
  };

  /** `nameOf`: how VMs are named in it. */
  const shown = (nameOf: (uuid: string) => string): Configuration => {
    const own = policies.all().filter(({ name }) => !presets.has(name));
    return {
      version: 1,
      policies: byName(own.map((policy) => [policy.name, contentOf(policy)])),
      clusters: byName(
        [...clusters.all([]).values()]
          .filter(({ name }) => clusters.revisionOf(name) > 0)
          .map(({ name, ...settings }) => [name, settings]),
      ),
      bindings: byName(policies.bindings().map(({ label, policy }) => [label, policy])),
      hostLabels: byName(
        hosts.all().flatMap(({ host: { name, labels = [] } }) => (labels.length === 0 ? [] : [[name, labels]])),
      ),
      vmLabels: byName(policies.labelledVms().map((uuid) => [nameOf(uuid), policies.labelsOf(uuid)])),
      rules: byName(rules.all().map(({ name, ...content }) => [name, content])),
    };
  };
  /** VMs by their UUIDs. */
  const resolved = (wanted: Configuration): Configuration => {
    if (wanted.vmLabels === undefined) return wanted;
    const vmLabels = Object.entries(wanted.vmLabels).map(([ref, labels]): [string, readonly string[]] => [
      isUuid(ref) ? ref : (vmsCalled(ref)[0]?.uuid ?? ref),
      labels,
    ]);
    const twice = vmLabels.find(([uuid], index) => vmLabels.findIndex(([other]) => other === uuid) !== index);
    if (twice !== undefined)
      throw new FerryError('configuration-invalid', `vmLabels: ${nameOfVm(twice[0])} is in it by name and by UUID.`);
    return { ...wanted, vmLabels: Object.fromEntries(vmLabels) };
  };
  const refuseInvalid = (wanted: Configuration): void => {
    const problems = configurationProblems(wanted, {
      isPreset: (name) => presets.has(name),
      isPolicy: (name) => policies.all().some((policy) => policy.name === name),
      isHost: (name) => hosts.all().some(({ host }) => host.name === name),
      vmsNamed: (ref) => vmsCalled(ref).length,
    });
    if (problems.length === 0) return;
    const more = problems.length - mostProblems;
    throw new FerryError(
      'configuration-invalid',
      [...problems.slice(0, mostProblems), ...(more > 0 ? [`And ${more} more.`] : [])].join(' '),
    );
  };
  const labelsToBe = (wanted: Configuration): LabelsToBe => ({
    vms: new Map(Object.entries(wanted.vmLabels ?? {})),
    hosts: new Map(
      hosts.all().flatMap(({ host: { id, name } }) => {
        const labels = wanted.hostLabels?.[name];
        return labels === undefined ? [] : [[id, labels]];
      }),
    ),
  });

  /** Each of the changes, with what was stored when they were compared. */
  const steps = (wanted: Configuration, changes: readonly ConfigurationChange[]): readonly (() => Promise<unknown>)[] =>
    changes.map(({ section, name }) => {
      switch (section) {
        case 'policies': {
          const revision = policies.revisionOf(name);
          return () => policies.put(name, found(wanted.policies, name), revision);
        }
        case 'clusters': {
          const revision = clusters.revisionOf(name);
          return () => clusters.change(name, (): Cluster => ({ ...found(wanted.clusters, name), name }), revision);
        }
        case 'bindings':
          return () => policies.bind(name, found(wanted.bindings, name));
        case 'hostLabels': {
          const host = hosts.all().find((view) => view.host.name === name)?.host;
          const revision = hosts.revisionOf(host?.id ?? '');
          const change = { add: found(wanted.hostLabels, name), remove: host?.labels ?? [] };
          return () => hosts.change(name, { labels: change }, revision);
        }
        case 'vmLabels': {
          const uuid = vmUuid(name);
          const revision = policies.labelsRevisionOf(uuid);
          const change = { add: found(wanted.vmLabels, name), remove: policies.labelsOf(uuid) };
          return async () => {
            await policies.label({ uuid, name: nameOfVm(uuid) }, change, revision);
            deps.relabelled(uuid);
          };
        }
        case 'rules': {
          const revision = rules.revisionOf(name);
          return () => rules.change(name, () => found(wanted.rules, name), revision, wanted.rules);
        }
      }
    });

  return {
    show: () => shown(nameOfVm),
    async apply(given, { dryRun }) {
      refuseInvalid(given);
      const wanted = resolved(given);
      const labels = labelsToBe(wanted);
      const before = rules.contradictionsWith({});
      const contradicting = rules
        .contradictionsWith(wanted.rules ?? {}, labels)
        .filter((sentence) => !before.includes(sentence));
      refuseContradictions(contradicting);
      const changes = configurationChanges(
        shown((uuid) => uuid),
        wanted,
      );
      const named = changes.map((change) =>
        change.section === 'vmLabels' ? { ...change, name: nameOfVm(change.name) } : change,
      );
      const unknown = Object.keys(wanted.vmLabels ?? {}).filter((uuid) => deps.vmByUuid(vmUuid(uuid)) === undefined);
      const warnings = unknown.map((uuid) => `No host has the VM ${uuid}: its labels are kept for it.`);
      if (dryRun) return { changes: named, warnings, applied: false };
      let made = 0;
      for (const step of steps(wanted, changes)) {
        try {
          await step();
        } catch (error) {
          throw error instanceof FerryError ? failedAt(made, changes.length, error) : error;
        }
        made += 1;
      }
      const ofRules = Object.keys(wanted.rules ?? {}).flatMap((name) =>
        rules.view(name).warnings.map((warning) => `Rule ${name}: ${warning}`),
      );
      return { changes: named, warnings: [...warnings, ...ofRules], applied: true };
    },
  };
}

/** Whoever applies a file gave no revisions: what somebody else changed since it was compared is a conflict. */
function failedAt(made: number, all: number, error: FerryError): FerryError {
  const done = made === 0 ? 'Nothing was changed' : `${made} of ${all} changes were made before this failed`;
  const code = error.code === 'revision-stale' ? 'store-conflict' : error.code;
  return new FerryError(code, `${done}: ${error.message}`, { cause: error });
}

/** Keys are in order, so that two exports of the same are the same text. */
const byName = <T>(entries: readonly (readonly [string, T])[]): Readonly<Record<string, T>> =>
  Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));

const contentOf = ({ name: _name, version: _version, changedAt: _changedAt, ...content }: Policy) => content;

function found<T>(section: Readonly<Record<string, T>> | undefined, name: string): T {
  const value = section?.[name];
  if (value === undefined) throw new Error(`there is no ${name} in it`);
  return value;
}
