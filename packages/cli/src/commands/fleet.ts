/** `ferry fleet ...`: settings of the fleet as a whole, and the fleet as a file. */
import type { Command } from 'commander';
import type { FleetJson } from '@ferry/api';
import { contextOf, yamlOf } from '../context.ts';
import { limit } from '../options.ts';
import { fields } from '../output/table.ts';

const fleetText = ({ maxMigrations }: FleetJson): string =>
  fields([['migrations at once', maxMigrations ?? '500 (default)']]);

export function fleetCommands(program: Command): void {
  const fleet = program.command('fleet').description('settings of the fleet as a whole, and the fleet as a file');
  fleet
    .command('show')
    .description('show the settings of the fleet')
    .action(async (_: object, command: Command) => {
      const { client, output } = contextOf(command);
      output.result(await client().call('fleetShow', {}), (safe) => fleetText(safe));
    });
  fleet
    .command('export')
    .description('print what is recorded of the fleet, for "ferry vm plan --from"; YAML, or -o json for a large fleet')
    .action(async (_: object, command: Command) => {
      const { client, output } = contextOf(command);
      const file = await client().call('fleetExport');
      output.result(file, () => yamlOf(file));
    });
  fleet
    .command('set')
    .description('change the named settings; "" removes one')
    .option('--max-migrations <n>', 'migrations that run at once (default: 500)', limit)
    .action(async ({ maxMigrations }: { readonly maxMigrations?: number | '' }, command: Command) => {
      if (maxMigrations === undefined) command.error('Name at least one setting; see "ferry fleet set --help".');
      const { client, output } = contextOf(command);
      output.result(await client().call('fleetChange', { body: { maxMigrations: maxMigrations || null } }), (safe) =>
        fleetText(safe),
      );
    });
}
