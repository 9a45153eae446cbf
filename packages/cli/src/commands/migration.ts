/** `ferry migration ...`: migrations that run and that have ended. */
import { Option, type Command } from 'commander';
import { contextOf } from '../context.ts';
import { wholeNumber } from '../options.ts';
import { followMigration, migrationText } from '../follow.ts';
import { formatDuration, formatTime } from '../output/format.ts';
import { table } from '../output/table.ts';

interface ListOptions {
  readonly active?: true;
  readonly finished?: true;
  readonly vm?: string;
}

export function migrationCommands(program: Command): void {
  const migration = program.command('migration').description('migrations that run and that have ended');
  migration
    .command('list')
    .description('list migrations, newest first')
    .addOption(new Option('--active', 'only those that run').conflicts('finished'))
    .option('--finished', 'only those that have ended')
    .option('--vm <vm>', 'only those of this VM')
    .action(async ({ active, finished, vm }: ListOptions, command: Command) => {
      const { client, output } = contextOf(command);
      const state = active === true ? 'active' : finished === true ? 'finished' : undefined;
      const { items } = await client().call('migrationList', { query: { ...(state === undefined ? {} : { state }), ...(vm === undefined ? {} : { vm }) } });
      output.result(items, () =>
        table(
          ['id', 'vm', 'kind', 'from', 'to', 'phase', 'progress', 'total', 'downtime', 'started'],
          items.map((each) => [
            each.id, each.vm.name, each.kind, each.from, each.to, each.phase,
            each.progress === undefined ? undefined : `${each.progress.percent} %`,
            each.totalMs === undefined ? undefined : formatDuration(each.totalMs),
            each.downtimeMs === undefined ? undefined : formatDuration(each.downtimeMs),
            each.phases[0] === undefined ? undefined : formatTime(each.phases[0].at),
          ]),
        ),
      );
    });
  migration
    .command('show <migration>')
    .description('show one migration')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const shown = await client().call('migrationShow', { params: { migration: ref } });
      output.result(shown, () => `${migrationText(shown)}\n\n${table(['phase', 'at'], shown.phases.map((each) => [each.phase, formatTime(each.at)]))}`);
    });
  migration
    .command('watch <migration>')
    .description('follow a migration to its end; with -o json one line per change')
    .action(async (ref: string, _: object, command: Command) => {
      const context = contextOf(command);
      const shown = await context.client().call('migrationShow', { params: { migration: ref } });
      process.exitCode = await followMigration(context, shown, { everyState: true });
    });
  migration
    .command('set <migration>')
    .description('change the limits of a migration, at once when it runs')
    .option('--max-bandwidth-mb <MiB/s>', 'bandwidth limit for memory', wholeNumber('MiB/s'))
    .option('--max-downtime-ms <ms>', 'longest pause for the switchover that QEMU aims at', wholeNumber('ms'))
    .action(async (ref: string, { maxBandwidthMb, maxDowntimeMs }: { readonly maxBandwidthMb?: number; readonly maxDowntimeMs?: number }, command: Command) => {
      const { client, output } = contextOf(command);
      const body = { ...(maxBandwidthMb === undefined ? {} : { maxBandwidthMiBPerSecond: maxBandwidthMb }), ...(maxDowntimeMs === undefined ? {} : { maxDowntimeMs }) };
      if (Object.keys(body).length === 0) command.error('Give what is to be changed: --max-bandwidth-mb or --max-downtime-ms.');
      const changed = await client().call('migrationTune', { params: { migration: ref }, body });
      output.result(changed, () => migrationText(changed));
    });
  migration
    .command('postcopy <migration>')
    .description('switch a running migration to post-copy: the guest runs on the target, its pages follow; there is no way back')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const switched = await client().call('migrationPostCopy', { params: { migration: ref } });
      output.result(switched, () => `${switched.vm.name} runs on ${switched.to ?? 'the target'}; see how its pages follow with "ferry migration watch ${switched.id}"`);
    });
  migration
    .command('abort <migration>')
    .description('abort a migration; the VM stays where it is')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const asked = await client().call('migrationAbort', { params: { migration: ref } });
      output.result(asked, () => `abort of ${asked.id} requested; see how it ends with "ferry migration watch ${asked.id}"`);
    });
}
