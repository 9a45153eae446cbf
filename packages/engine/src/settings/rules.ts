/**
 * The rules on where VMs may be: stored objects, kept in memory since every check reads them. Whoever changes one writes
 * a key beside them all: two changes at once conflict, so that they do not contradict each other unseen.
 */
import {
  contradictions,
  hostsOfRule,
  parseSelector,
  refuseContradictions,
  refuseRule,
  rulesFor,
  ruleWarningsOf,
  unknownRule,
  vmsMeantBy,
  vmUuid,
  type Host,
  type HostView,
  type MeantRule,
  type Migration,
  type Rule,
  type RuleContent,
  type RuleFacts,
  type Selector,
  type Vm,
  type VmUuid,
} from '@ferry/core';
import type { IntentStore } from '../ports/ports.ts';
import { collection, document, expectRevision, text } from '../state/collection.ts';
import { openMirror, type MirrorDeps } from '../state/mirror.ts';

export interface RuleView {
  readonly rule: Rule;
  readonly revision: number;
  /** VMs that it means now. */
  readonly vms: number;
  /** Names of the hosts that it means now. */
  readonly hosts: readonly string[];
  /** What it names and the fleet does not have. */
  readonly warnings: readonly string[];
}

/** What the rules speak of. */
export interface RuleSubjects {
  readonly vms: () => readonly Vm[];
  readonly vmByUuid: (uuid: VmUuid) => Vm | undefined;
  readonly vmsNamed: (name: string) => readonly Vm[];
  readonly labelsOf: (vm: VmUuid) => readonly string[];
  /** Those that can match, and maybe others; undefined where any VM can. */
  readonly labelled: (selector: Selector) => readonly VmUuid[] | undefined;
  readonly hosts: () => readonly HostView[];
}

/** Labels as they will be, of VMs and hosts by id. */
export interface LabelsToBe {
  readonly vms: ReadonlyMap<string, readonly string[]>;
  readonly hosts: ReadonlyMap<string, readonly string[]>;
}

export interface Rules {
  /** By name. */
  all(): readonly Rule[];
  views(): readonly RuleView[];
  /** Throws FerryError `rule-unknown`. */
  view(name: string): RuleView;
  revisionOf(name: string): number;
  /**
   * Makes the rule, or changes it; `change` is called again after a conflict. `expected`: the revision that it must
   * have. `along`: rules that are stored next, which it must not contradict. Throws FerryError `rule-invalid`,
   * `rules-contradict`, `revision-stale`.
   */
  change(
    name: string,
    change: (before: Rule | undefined) => RuleContent,
    expected?: number,
    along?: Readonly<Record<string, RuleContent>>,
  ): Promise<RuleView>;
  /** Throws FerryError `rule-unknown`, `revision-stale`. */
  remove(name: string, expected?: number): Promise<void>;
  /** The rules that speak of the VM, with where the others are and are going. */
  factsFor(vm: Vm, active: readonly Migration[]): readonly RuleFacts[];
  /** What contradicts what if these were stored too. */
  contradictionsWith(changed: Readonly<Record<string, RuleContent>>, labels?: LabelsToBe): readonly string[];
}

const prefix = 'rules/';

/** `changed`: the rule is another, or gone. */
export async function openRules(
  intents: IntentStore,
  subjects: RuleSubjects,
  deps: MirrorDeps,
  changed: (name: string, view: RuleView | undefined) => void = () => {},
): Promise<Rules> {
  const stored = await openMirror(
    collection(intents, prefix, document<Rule>({ name: 'string', kind: 'string', strength: 'string' })),
    deps,
    ({ key, value, revision }) => changed(key, value === undefined ? undefined : viewOf(value, revision)),
  );
  const guard = collection(intents, 'rule-changes', text);
  const hosts = (): readonly Host[] => subjects.hosts().map(({ host }) => host);
  const all = (): readonly Rule[] =>
    stored
      .all()
      .map(({ value }) => value)
      .sort((a, b) => (a.name < b.name ? -1 : 1));

  const vmsOf = (rule: Rule): readonly Vm[] => {
    const found = new Map<VmUuid, Vm>();
    const isMeant = vmsMeantBy(rule);
    const take = (vm: Vm | undefined): void => {
      if (vm !== undefined && isMeant(vm, subjects.labelsOf(vm.uuid))) found.set(vm.uuid, vm);
    };
    for (const ref of rule.vms ?? []) {
      take(subjects.vmByUuid(vmUuid(ref)));
      subjects.vmsNamed(ref).forEach(take);
    }
    if (rule.vmSelector !== undefined) {
      const candidates = subjects.labelled(parseSelector(rule.vmSelector));
      (candidates?.map((uuid) => subjects.vmByUuid(uuid)) ?? subjects.vms()).forEach(take);
    }
    return [...found.values()];
  };
  const isVm = (ref: string): boolean =>
    subjects.vmByUuid(vmUuid(ref)) !== undefined || subjects.vmsNamed(ref).some(({ name }) => name === ref);
  const viewOf = (rule: Rule, revision: number): RuleView => {
    const vms = vmsOf(rule).length;
    const meant = hostsOfRule(rule, hosts());
    return {
      rule,
      revision,
      vms,
      hosts: hosts()
        .filter(({ id }) => meant.has(id))
        .map(({ name }) => name)
        .sort(),
      warnings: ruleWarningsOf(rule, { vms, isVm }, hosts()),
    };
  };
  /** The VMs by their UUIDs; those that the fleet does not have by their names, and by the selector. */
  const meant = (rule: Rule, labels: LabelsToBe | undefined): MeantRule => {
    const isMeant = vmsMeantBy(rule);
    const found = new Set<string>(vmsOf(rule).map(({ uuid }) => uuid));
    for (const [uuid, own] of labels?.vms ?? []) {
      const { name = uuid } = subjects.vmByUuid(vmUuid(uuid)) ?? {};
      if (isMeant({ uuid: vmUuid(uuid), name }, own)) found.add(uuid);
      else found.delete(uuid);
    }
    for (const ref of rule.vms ?? []) if (!isVm(ref)) found.add(ref);
    // what two rules say of the same labels contradicts also while nobody has them
    if (rule.vmSelector !== undefined)
      for (const one of ['a VM', 'another VM']) found.add(`${one} with ${rule.vmSelector}`);
    return { rule, vms: [...found].sort() };
  };
  const contradicting = (
    before: readonly Rule[],
    next: Readonly<Record<string, RuleContent>>,
    labels?: LabelsToBe,
  ): readonly string[] => {
    const rules = [
      ...before.filter(({ name }) => !Object.hasOwn(next, name)),
      ...Object.entries(next).map(([name, content]) => ({ ...content, name })),
    ].sort((a, b) => (a.name < b.name ? -1 : 1));
    return contradictions(
      rules.map((rule) => meant(rule, labels)),
      hosts().map((host) => ({ ...host, labels: labels?.hosts.get(host.id) ?? host.labels ?? [] })),
      (vm) => subjects.vmByUuid(vmUuid(vm))?.name ?? vm,
    );
  };
  const view = (name: string): RuleView => {
    const found = stored.get(name);
    if (found === undefined) throw unknownRule(name);
    return viewOf(found.value, found.revision);
  };

  return {
    all,
    views: () => all().map(({ name }) => view(name)),
    view,
    revisionOf: (name) => stored.get(name)?.revision ?? 0,
    async change(name, change, expected, along = {}) {
      let content: RuleContent | undefined;
      const { value, revision } = await stored.change(
        name,
        (before) => {
          expectRevision(`The rule ${name}`, before?.revision ?? 0, expected);
          content = change(before?.value);
          refuseRule(name, content);
          return { ...content, name };
        },
        async () => {
          const before = await guard.get('');
          const others = (await stored.stored.list()).items.map((each) => each.value);
          const next = content === undefined ? along : { ...along, [name]: content };
          // those that were there before are not this one's fault
          const known = contradicting(others, {});
          const found = contradicting(others, next).filter((sentence) => !known.includes(sentence));
          refuseContradictions(found);
          return [guard.put('', name, before?.revision ?? 0)];
        },
      );
      return value === undefined ? view(name) : viewOf(value, revision);
    },
    async remove(name, expected) {
      await stored.change(name, (before) => {
        if (before === undefined) throw unknownRule(name);
        expectRevision(`The rule ${name}`, before.revision, expected);
        return undefined;
      });
    },
    factsFor: (vm, active) =>
      rulesFor(vm, { rules: all(), labelsOf: subjects.labelsOf, hosts: hosts(), vmsOf, active }),
    contradictionsWith: (next, labels) => contradicting(all(), next, labels),
  };
}
