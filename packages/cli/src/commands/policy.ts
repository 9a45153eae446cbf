/** `ferry policy ...`: how far a migration may go to come to its end. */
import { InvalidArgumentError, type Command } from 'commander';
import type { PolicyBindingJson, PolicyJson, PolicyPut } from '@ferry/api';
import { everyItem } from '@ferry/api/every-item';
import { asList, contextOf } from '../context.ts';
import { readInput } from '../input-file.ts';
import type { ListLook } from '../output/columns.ts';
import { fields, table } from '../output/table.ts';

const stepText = (step: PolicyJson['steps'][number]): string => {
  const { when, do: measure, ...figures } = step;
  const text = Object.entries(figures)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');
  return `${when}: ${measure}${text === '' ? '' : ` (${text})`}`;
};

const policyText = (policy: PolicyJson): string =>
  [
    fields([
      ['name', policy.name],
      ['version', policy.preset ? 'preset' : policy.version],
      ['is', policy.description],
      ['may do', policy.text],
      ['post-copy', policy.postCopy],
      ['patience', policy.patience],
      [
        'retry',
        policy.retry === undefined
          ? 'never'
          : `${policy.retry.attempts} times, ${policy.retry.delayMs / 1_000} s apart`,
      ],
      ['single copy', policy.singleCopy],
      ['two copies', policy.twoCopies],
      ['unknown sharing', policy.unknownSharing],
      [
        'checks',
        policy.checks === undefined
          ? undefined
          : Object.entries(policy.checks)
              .map(([code, what]) => `${code}: ${what}`)
              .join(', '),
      ],
    ]),
    ...(policy.hooks === undefined
      ? []
      : [
          '',
          table(
            ['hook', 'stage', 'calls', 'for at most'],
            policy.hooks.map(({ name, stage, program, url, timeoutMs = 60_000 }) => [
              name,
              stage,
              program ?? url,
              `${timeoutMs / 1_000} s`,
            ]),
          ),
        ]),
    '',
    table(
      ['', 'when: what'],
      policy.steps.map((step, index) => [String(index), stepText(step)]),
    ),
  ].join('\n');

const policyLook = (bindings: readonly PolicyBindingJson[]): ListLook<PolicyJson> => ({
  columns: [
    { name: 'name', of: ({ name }) => name },
    { name: 'version', of: ({ preset, version }) => (preset ? 'preset' : version) },
    { name: 'is', of: ({ description }) => description },
    {
      name: 'labels',
      of: ({ name }) =>
        bindings
          .filter(({ policy }) => policy === name)
          .map(({ label }) => label)
          .join(', '),
    },
    { name: 'may do', of: ({ text }) => text, wide: true },
  ],
  name: ({ name }) => name,
});

/** The file's policy; what `ferry policy show -o json` adds to it is left out. */
function contentOf(file: string): PolicyPut {
  const text = readInput(file);
  try {
    const {
      name: _name,
      version: _version,
      revision: _revision,
      changedAt: _changedAt,
      preset: _preset,
      text: _text,
      ...content
    } = JSON.parse(text) as PolicyJson;
    return content;
  } catch (error) {
    throw new InvalidArgumentError(`${file} is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
}

export function policyCommands(program: Command): void {
  const policy = program.command('policy').description('policies: how far a migration may go to end');
  asList(policy.command('list'))
    .description('list the policies, and the labels that select one')
    .action(async (_: object, command: Command) => {
      const { client, output } = contextOf(command);
      const { items } = await everyItem((page) => client().call('policyList', { query: page }));
      const bindings = (await everyItem((page) => client().call('policyBindings', { query: page }))).items;
      if (output.structured) output.result({ policies: items, bindings }, () => '');
      else output.list(items, policyLook(bindings));
    });
  policy
    .command('show <policy>')
    .description('show one policy; -o json prints what "set" takes')
    .action(async (name: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const shown = await client().call('policyShow', { params: { policy: name } });
      output.result(shown, (safe) => policyText(safe));
    });
  policy
    .command('set <policy> <file>')
    .description('create a policy from a JSON file (- for standard input), or its next version')
    .action(async (name: string, file: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const put = await client().call('policyPut', { params: { policy: name }, body: contentOf(file) });
      output.result(put, (safe) => policyText(safe));
    });
  policy
    .command('remove <policy>')
    .description('remove a policy that nothing selects')
    .action(async (name: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      await client().call('policyRemove', { params: { policy: name } });
      output.result({ removed: name }, ({ removed }) => `removed ${removed}`);
    });
  policy
    .command('bind <label> <policy>')
    .description('use the policy for VMs with this label (tier=db)')
    .action(async (label: string, name: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const { items } = await client().call('policyBind', { body: { label, policy: name } });
      output.result(items, (safe) =>
        table(
          ['label', 'policy'],
          safe.map((each) => [each.label, each.policy]),
        ),
      );
    });
  policy
    .command('unbind <label>')
    .description('stop using a policy for this label')
    .action(async (label: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const { items } = await client().call('policyBind', { body: { label } });
      output.result(items, (safe) =>
        table(
          ['label', 'policy'],
          safe.map((each) => [each.label, each.policy]),
        ),
      );
    });
}
