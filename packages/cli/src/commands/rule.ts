/** `ferry rule ...`: on which hosts VMs may be, and with which other VMs. */
import { Option, type Command } from 'commander';
import type { RuleChange, RuleJson } from '@ferry/api';
import { everyItem } from '@ferry/api/every-item';
import { contextOf } from '../context.ts';
import { listCommand, printList, type ListOptions } from '../list-command.ts';
import type { ListLook } from '../output/columns.ts';
import { fields } from '../output/table.ts';
import { anyItem, type WatchedList } from '../watch-list.ts';

const kinds = ['together', 'apart', 'on-hosts', 'off-hosts', 'pinned'] as const;
/** Names, and a selector in brackets. */
const whoText = (names: readonly string[] | undefined, selector: string | undefined): string | undefined =>
  [...(names ?? []), ...(selector === undefined ? [] : [`[${selector}]`])].join(', ') || undefined;

const ruleText = (rule: RuleJson): string =>
  [
    fields([
      ['name', rule.name],
      ['is', rule.description],
      ['kind', rule.kind],
      ['strength', rule.strength],
      ['vms', whoText(rule.vms, rule.vmSelector)],
      ['hosts', whoText(rule.hosts, rule.hostSelector)],
      ['matches', `${rule.matches.vms} VM(s)`],
      ['on hosts', rule.matches.hosts.length === 0 ? undefined : rule.matches.hosts.join(', ')],
    ]),
    ...(rule.warnings.length === 0 ? [] : ['', ...rule.warnings.map((warning) => `Warning: ${warning}`)]),
  ].join('\n');

const ruleLook: ListLook<RuleJson> = {
  columns: [
    { name: 'name', of: ({ name }) => name },
    { name: 'kind', of: ({ kind }) => kind },
    { name: 'strength', of: ({ strength }) => strength },
    { name: 'vms', of: ({ vms, vmSelector }) => whoText(vms, vmSelector) },
    { name: 'hosts', of: ({ hosts, hostSelector }) => whoText(hosts, hostSelector) },
    { name: 'matches', of: ({ matches }) => matches.vms },
    { name: 'matching hosts', of: ({ matches }) => matches.hosts.join(', '), wide: true },
    { name: 'warnings', of: ({ warnings }) => warnings.join(' '), wide: true },
    { name: 'is', of: ({ description }) => description, wide: true },
  ],
  name: ({ name }) => name,
};

const ruleList: WatchedList<RuleJson> = {
  look: ruleLook,
  keyOf: ({ name }) => name,
  read: (client, signal) => everyItem((page) => client.call('ruleList', { query: page, signal })),
  concerns: ({ type }) => (['rule', 'rule-removed'].includes(type) ? anyItem : undefined),
};

interface SetOptions {
  readonly kind?: RuleJson['kind'];
  readonly hard?: true;
  readonly soft?: true;
  readonly description?: string;
  readonly vm?: readonly string[];
  readonly vmSelector?: string;
  readonly host?: readonly string[];
  readonly hostSelector?: string;
}

/** "" takes a text away, and a single "" the names. */
const changeOf = ({ kind, hard, soft, description, vm, vmSelector, host, hostSelector }: SetOptions): RuleChange => {
  const text = (given: string): string | null => (given === '' ? null : given);
  const names = (given: readonly string[]): string[] | null => (given.join('') === '' ? null : [...given]);
  return {
    ...(kind === undefined ? {} : { kind }),
    ...(hard === true ? { strength: 'hard' as const } : soft === true ? { strength: 'soft' as const } : {}),
    ...(description === undefined ? {} : { description: text(description) }),
    ...(vm === undefined ? {} : { vms: names(vm) }),
    ...(vmSelector === undefined ? {} : { vmSelector: text(vmSelector) }),
    ...(host === undefined ? {} : { hosts: names(host) }),
    ...(hostSelector === undefined ? {} : { hostSelector: text(hostSelector) }),
  };
};

export function ruleCommands(program: Command): void {
  const rule = program.command('rule').description('rules: on which hosts VMs may be, and with which other VMs');
  listCommand(rule.command('list').description('list the rules'), 'rules', []).action(
    (options: ListOptions, command: Command) => printList(command, options, ruleList),
  );
  rule
    .command('show <rule>')
    .description('show one rule, whom it means now, and what of it means nobody')
    .action(async (name: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const shown = await client().call('ruleShow', { params: { rule: name } });
      output.result(shown, (safe) => ruleText(safe));
    });
  rule
    .command('set <rule>')
    .description('create a rule or change the named settings; "" removes a setting')
    .addOption(
      new Option(
        '--kind <kind>',
        'together: on one host; apart: no two on one host; on-hosts: only on these; off-hosts: on any but these; ' +
          'pinned: never moved',
      ).choices(kinds),
    )
    .addOption(new Option('--hard', 'refuse a target that breaks it (default of a new rule)').conflicts('soft'))
    .option('--soft', 'warn, and prefer a target that does not break it')
    .option('--vm <vm...>', 'names or UUIDs of VMs')
    .option('--vm-selector <selector>', 'VMs whose labels match, as in tier=db')
    .option('--host <host...>', 'names of hosts, for on-hosts and off-hosts')
    .option('--host-selector <selector>', 'hosts whose labels match, as in zone in (a,b)')
    .option('--description <text>', 'what it is for')
    .action(async (name: string, options: SetOptions, command: Command) => {
      const { client, output } = contextOf(command);
      const body = changeOf(options);
      if (Object.keys(body).length === 0) command.error('Name at least one setting; see "ferry rule set --help".');
      const changed = await client().call('ruleChange', { params: { rule: name }, body });
      output.result(changed, (safe) => ruleText(safe));
    });
  rule
    .command('delete <rule>')
    .alias('remove')
    .description('delete a rule')
    .action(async (name: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      await client().call('ruleRemove', { params: { rule: name } });
      output.result({ deleted: name }, ({ deleted }) => `deleted ${deleted}`);
    });
}
