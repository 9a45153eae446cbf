/** `ferry apply` and `ferry export`: clusters, policies, rules and labels as one file. */
import type { Command } from 'commander';
import type { ConfigurationAppliedJson } from '@ferry/api';
import { parseConfiguration } from '../configuration-file.ts';
import { contextOf, yamlOf } from '../context.ts';
import { readInput } from '../input-file.ts';

const sectionNames: Readonly<Record<ConfigurationAppliedJson['changes'][number]['section'], string>> = {
  policies: 'policy',
  clusters: 'cluster',
  bindings: 'policy of VMs with the label',
  hostLabels: 'labels of the host',
  vmLabels: 'labels of the VM',
  rules: 'rule',
};

const diffText = ({ changes, warnings, applied }: ConfigurationAppliedJson): string =>
  [
    ...changes.flatMap(({ section, name, change, diff }) => [
      `${change} ${sectionNames[section]} ${name}`,
      ...diff.map((line) => `  ${line}`),
    ]),
    ...warnings.map((warning) => `Warning: ${warning}`),
    changes.length === 0
      ? 'Nothing to change.'
      : applied
        ? `${changes.length} change(s) applied.`
        : `${changes.length} change(s); nothing is changed yet. Apply them with --yes.`,
  ].join('\n');

export function applyCommand(program: Command): void {
  program
    .command('apply')
    .description('show what a file of clusters, policies, rules and labels would change; --yes changes it')
    .requiredOption('-f, --file <file>', 'YAML or JSON as of "ferry export" (- for standard input)')
    .option('--yes', 'apply it; what the file does not name stays as it is')
    .action(async ({ file, yes }: { readonly file: string; readonly yes?: true }, command: Command) => {
      const { client, output } = contextOf(command);
      const configuration = await parseConfiguration(readInput(file));
      const body = { configuration, dryRun: yes !== true };
      output.result(await client().call('configurationApply', { body }), (safe) => diffText(safe));
    });
}

export function exportCommand(program: Command): void {
  program
    .command('export')
    .description('print your clusters, policies, rules and labels as the file that "ferry apply" takes')
    .action(async (_: object, command: Command) => {
      const { client, output } = contextOf(command);
      const shown = await client().call('configurationShow');
      // its own escapes are safe for a terminal, and are read again as what they stand for
      output.result(shown, () => yamlOf(shown));
    });
}
