/**
 * Clusters, policies, rules and labels as one document: what applying it would change, and what is wrong with it. What
 * the document does not name stays as it is. Pure.
 */
import { blackoutProblems } from '../batch/blackout.ts';
import { FerryError } from '../model/errors.ts';
import { limitProblem } from '../planning/slots.ts';
import { isNetwork } from '../model/network.ts';
import type { Cluster } from '../model/host.ts';
import type { PolicyContent } from '../model/policy.ts';
import type { RuleContent } from '../model/rule.ts';
import { policyProblems } from '../policy/policy.ts';
import { ruleProblems } from '../planning/rules/problems.ts';

type Named<T> = Readonly<Record<string, T>>;

export interface Configuration {
  readonly version: 1;
  readonly policies?: Named<PolicyContent>;
  readonly clusters?: Named<Omit<Cluster, 'name'>>;
  /** By label: the policy of the VMs that have it. */
  readonly bindings?: Named<string>;
  /** By name of the host: all of its labels. */
  readonly hostLabels?: Named<readonly string[]>;
  /** By UUID, or by a name that one VM has: all of its labels. */
  readonly vmLabels?: Named<readonly string[]>;
  readonly rules?: Named<RuleContent>;
}

/** In the order in which they are applied: nothing comes before what it names. */
export const sections = ['policies', 'clusters', 'bindings', 'hostLabels', 'vmLabels', 'rules'] as const;
export type Section = (typeof sections)[number];

export interface ConfigurationChange {
  readonly section: Section;
  readonly name: string;
  readonly change: 'create' | 'change';
  /** Settings that go, with `-`, and that come, with `+`. */
  readonly diff: readonly string[];
}

/** What applying `wanted` changes. Both name a VM in the same way. */
export function configurationChanges(present: Configuration, wanted: Configuration): readonly ConfigurationChange[] {
  return sections.flatMap((section) => {
    const before = new Map<string, unknown>(Object.entries(present[section] ?? {}));
    return Object.entries<unknown>(wanted[section] ?? {}).flatMap(([name, value]) => {
      const [old, next] = [linesOf(before.get(name)), linesOf(value)];
      const gone = old.filter((line) => !next.includes(line));
      const come = next.filter((line) => !old.includes(line));
      // an empty cluster is one that is not stored
      if (gone.length === 0 && come.length === 0) return [];
      return [
        {
          section,
          name,
          change: before.has(name) ? ('change' as const) : ('create' as const),
          diff: [...gone.map((line) => `- ${line}`), ...come.map((line) => `+ ${line}`)],
        },
      ];
    });
  });
}

/** A line for each setting, with where it is. Labels have no order. */
function linesOf(value: unknown, path = ''): readonly string[] {
  if (value === undefined) return [];
  const start = path === '' ? '' : `${path}: `;
  if (Array.isArray(value) && value.every((each) => typeof each === 'string'))
    return value.length === 0 ? [] : [start + [...new Set(value)].sort().map(plain).join(', ')];
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([key, each]) =>
      linesOf(each, path === '' ? plain(key) : `${path}.${plain(key)}`),
    );
  return [start + (typeof value === 'string' ? plain(value) : JSON.stringify(value))];
}

/** Two different values never look the same. */
const plain = (text: string): string => (/^[A-Za-z][A-Za-z0-9_=/-]*$/.test(text) ? text : JSON.stringify(text));

/** What a document is checked against, beside itself. */
export interface ConfigurationContext {
  readonly isPreset: (policy: string) => boolean;
  readonly isPolicy: (name: string) => boolean;
  readonly isHost: (name: string) => boolean;
  /** How many VMs the name or UUID stands for. */
  readonly vmsNamed: (ref: string) => number;
}

const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Labels of a VM are kept also while no host has it. */
export const isUuid = (text: string): boolean => uuidForm.test(text);

/** What is wrong with it, each sentence with its place. */
export function configurationProblems(wanted: Configuration, context: ConfigurationContext): readonly string[] {
  const { policies = {}, clusters = {}, bindings = {}, hostLabels = {}, vmLabels = {}, rules = {} } = wanted;
  const isPolicy = (name: string): boolean => Object.hasOwn(policies, name) || context.isPolicy(name);
  const problems: string[] = [];
  const at = (section: Section, name: string, sentences: readonly string[]): void =>
    void problems.push(...sentences.map((sentence) => `${section}.${name}: ${sentence}`));
  const policyOf = (name: string | undefined): readonly string[] =>
    name === undefined || isPolicy(name) ? [] : [`There is no policy "${name}".`];
  for (const [name, policy] of Object.entries(policies))
    at('policies', name, context.isPreset(name) ? [`"${name}" is a preset.`] : policyProblems(policy));
  for (const [name, cluster] of Object.entries(clusters))
    at('clusters', name, [...clusterProblems(cluster), ...policyOf(cluster.policy)]);
  for (const [label, policy] of Object.entries(bindings)) at('bindings', label, policyOf(policy));
  for (const name of Object.keys(hostLabels))
    at('hostLabels', name, context.isHost(name) ? [] : [`There is no host "${name}".`]);
  for (const ref of Object.keys(vmLabels)) at('vmLabels', ref, vmProblems(ref, context.vmsNamed(ref)));
  for (const [name, rule] of Object.entries(rules)) at('rules', name, ruleProblems(rule));
  return problems;
}

function vmProblems(ref: string, count: number): readonly string[] {
  if (isUuid(ref) || count === 1) return [];
  return [count === 0 ? `There is no VM "${ref}".` : `${count} VMs are named "${ref}": use the UUID.`];
}

export function clusterProblems({
  migrationNetwork,
  migrationPorts,
  blackouts = [],
  ...limits
}: Omit<Cluster, 'name'>): readonly string[] {
  const problems: string[] = (['maxOutgoingPerHost', 'maxIncomingPerHost', 'maxPerMigrationNetwork'] as const).flatMap(
    (name) => limitProblem(name, limits[name]) ?? [],
  );
  if (migrationNetwork !== undefined && !isNetwork(migrationNetwork))
    problems.push(`"${migrationNetwork}" is not a network such as 10.1.0.0/16 or fd00::/64.`);
  if (migrationPorts !== undefined && migrationPorts.first > migrationPorts.last)
    problems.push(`The range of ports begins with ${migrationPorts.first} and ends with ${migrationPorts.last}.`);
  problems.push(...blackoutProblems(blackouts));
  return problems;
}

/** Throws FerryError `request-invalid`. */
export function refuseCluster(cluster: Cluster): void {
  const problems = clusterProblems(cluster);
  if (problems.length > 0) throw new FerryError('request-invalid', problems.join(' '));
}
