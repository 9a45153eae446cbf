/** `ferry migration ...`: migrations that run and that have ended. */
import { Option, type Command } from 'commander';
import { everyItem } from '@ferry/api/every-item';
import type { MigrationJson } from '@ferry/api';
import { contextOf } from '../context.ts';
import { listCommand, printList, queryOf, type ListOptions } from '../list-command.ts';
import { duration, wholeNumber } from '../options.ts';
import { followMigration, migrationText } from '../follow.ts';
import { formatBytes, formatDuration, formatTime } from '../output/format.ts';
import type { ListLook } from '../output/columns.ts';
import { table } from '../output/table.ts';
import { anyItem, type WatchedList } from '../watch-list.ts';

interface MigrationListOptions extends ListOptions {
  readonly active?: true;
  readonly finished?: true;
  readonly vm?: string;
  readonly limit: number;
}

interface SetOptions {
  readonly maxBandwidthMb?: number;
  readonly maxDowntimeMs?: number;
  readonly deadline?: number;
  readonly quicklyFinish?: true;
}

const startedAt = ({ phases: [first] }: MigrationJson): string | undefined => first?.at;
const migrationLook: ListLook<MigrationJson> = {
  columns: [
    { name: 'id', of: ({ id }) => id },
    { name: 'name', of: ({ name }) => name },
    { name: 'vm', of: ({ vm }) => vm.name },
    { name: 'kind', of: ({ kind }) => kind },
    { name: 'from', of: ({ from }) => from },
    { name: 'to', of: ({ to }) => to },
    { name: 'phase', of: ({ phase }) => phase },
    {
      name: 'progress',
      of: ({ progress }) => (progress === undefined ? undefined : `${progress.percent} %`),
      raw: ({ progress }) => progress?.percent,
    },
    {
      name: 'total',
      of: ({ totalMs }) => (totalMs === undefined ? undefined : formatDuration(totalMs)),
      raw: ({ totalMs }) => totalMs,
    },
    {
      name: 'downtime',
      of: ({ downtimeMs }) => (downtimeMs === undefined ? undefined : formatDuration(downtimeMs)),
      raw: ({ downtimeMs }) => downtimeMs,
    },
    {
      name: 'started',
      of: (each) => {
        const at = startedAt(each);
        return at === undefined ? undefined : formatTime(at);
      },
      raw: startedAt,
    },
    { name: 'origin', of: ({ origin }) => origin, wide: true },
    { name: 'batch', of: ({ batchId }) => batchId, wide: true },
    { name: 'policy', of: ({ policy }) => policy?.name, wide: true },
    { name: 'error', of: ({ error }) => error?.code, wide: true },
  ],
  name: ({ id }) => id,
};

const migrationList = (options: MigrationListOptions): WatchedList<MigrationJson> => {
  const { active, finished, vm, limit } = options;
  const state = active === true ? ('active' as const) : finished === true ? ('finished' as const) : undefined;
  const query = { ...queryOf(options), ...(state === undefined ? {} : { state }), ...(vm === undefined ? {} : { vm }) };
  return {
    look: migrationLook,
    keyOf: ({ id }) => id,
    keeps: state !== 'active',
    read: (client, signal) =>
      everyItem((page) => client.call('migrationList', { query: { ...query, ...page }, signal }), limit),
    concerns: ({ type }) => (['migration', 'migration-progress'].includes(type) ? anyItem : undefined),
  };
};

export function migrationCommands(program: Command): void {
  const migration = program.command('migration').description('running and finished migrations');
  listCommand(
    migration
      .command('list')
      .description('list migrations, newest first')
      .addOption(new Option('--active', 'only running migrations').conflicts('finished'))
      .option('--finished', 'only finished migrations')
      .option('--vm <vm>', 'only migrations of this VM')
      .option('--limit <n>', 'at most this number of migrations', wholeNumber('migrations'), 100),
    'migrations of VMs',
    ['name', 'label'],
  )
    .option('--host <host>', 'only migrations from or to this host')
    .action((options: MigrationListOptions, command: Command) => printList(command, options, migrationList(options)));
  migration
    .command('show <migration>')
    .description('show one migration')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const shown = await client().call('migrationShow', { params: { migration: ref } });
      output.result(shown, (safe) =>
        [
          migrationText(safe),
          table(
            ['phase', 'at'],
            safe.phases.map((each) => [each.phase, formatTime(each.at)]),
          ),
          ...(safe.attempts === undefined
            ? []
            : [
                table(
                  ['attempt to', 'at', 'ended'],
                  safe.attempts.map((each) => [each.to, formatTime(each.at), each.message]),
                ),
              ]),
          ...(safe.hooks === undefined
            ? []
            : [
                table(
                  ['hook', 'stage', 'at', 'took', 'answered', 'said'],
                  safe.hooks.map((each) => [
                    each.hook,
                    each.stage,
                    formatTime(each.at),
                    formatDuration(each.tookMs),
                    each.result,
                    each.message,
                  ]),
                ),
              ]),
          ...(safe.decisions === undefined || safe.decisions.length === 0
            ? []
            : [
                table(
                  ['decided at', 'what and why'],
                  safe.decisions.map((each) => [formatTime(each.at), each.text]),
                ),
              ]),
        ].join('\n\n'),
      );
    });
  migration
    .command('watch <migration>')
    .description('follow a migration to its end; -o json prints one line per change')
    .action(async (ref: string, _: object, command: Command) => {
      const context = contextOf(command);
      const shown = await context.client().call('migrationShow', { params: { migration: ref } });
      process.exitCode = await followMigration(context, shown, { everyState: true });
    });
  migration
    .command('set <migration>')
    .description('change the limits of a migration; takes effect at once while it runs')
    .option('--max-bandwidth-mb <MiB/s>', 'bandwidth limit', wholeNumber('MiB/s'))
    .option('--max-downtime-ms <ms>', 'pause for the switchover that QEMU aims at', wholeNumber('ms'))
    .option('--deadline <time>', 'time by which the migration must end: seconds from now, or as in 10m', duration)
    .option(
      '--quickly-finish',
      'accept the pause that is needed once passes gain nothing, up to 10 s or --max-downtime-ms',
    )
    .action(
      async (ref: string, { maxBandwidthMb, maxDowntimeMs, deadline, quicklyFinish }: SetOptions, command: Command) => {
        const { client, output } = contextOf(command);
        const body = {
          ...(maxBandwidthMb === undefined ? {} : { maxBandwidthMiBPerSecond: maxBandwidthMb }),
          ...(maxDowntimeMs === undefined ? {} : { maxDowntimeMs }),
          ...(deadline === undefined ? {} : { deadlineMs: deadline }),
          ...(quicklyFinish === undefined ? {} : { quicklyFinish }),
        };
        if (Object.keys(body).length === 0)
          command.error('Set at least one of --max-bandwidth-mb, --max-downtime-ms, --deadline and --quickly-finish.');
        const changed = await client().call('migrationTune', { params: { migration: ref }, body });
        output.result(changed, (safe) => migrationText(safe));
      },
    );
  migration
    .command('postcopy <migration>')
    .description(
      'switch a running migration to post-copy: the guest runs on the target, its pages follow; cannot be undone',
    )
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const switched = await client().call('migrationPostCopy', { params: { migration: ref } });
      output.result(
        switched,
        (safe) =>
          `${safe.vm.name} runs on ${safe.to ?? 'the target'}; see how its pages follow with "ferry migration watch ${safe.id}"`,
      );
    });
  migration
    .command('pause <migration>')
    .description('pause the guest of a running migration until it has arrived')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const paused = await client().call('migrationPause', { params: { migration: ref } });
      output.result(paused, (safe) => `${safe.vm.name} is paused until it runs on ${safe.to ?? 'the target'}`);
    });
  migration
    .command('samples <migration>')
    .description('show the figures of a transfer, oldest first')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const { items } = await client().call('migrationSamples', { params: { migration: ref } });
      output.result(items, (safe) =>
        table(
          ['at', 'pass', 'left', 'sent', 'guest writes', 'link'],
          safe.map((each) => [
            formatTime(each.at),
            each.iteration,
            formatBytes(each.remainingBytes),
            formatBytes(each.processedBytes),
            `${formatBytes(each.dirtyBytesPerSecond)}/s`,
            `${formatBytes(each.throughputBytesPerSecond)}/s`,
          ]),
        ),
      );
    });
  migration
    .command('inspect <migration>')
    .description('show what was kept of a failed target: log, definition, volumes')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const kept = await client().call('migrationInspect', { params: { migration: ref } });
      output.result(kept, (safe) =>
        [
          `on ${safe.host}, ${formatTime(safe.at)}`,
          ...safe.notes,
          ...safe.volumes.map((path) => `volume ${path}`),
          '',
          safe.log ?? '',
          '',
          safe.definition ?? '',
        ].join('\n'),
      );
    });
  migration
    .command('cleanup <vm>')
    .description('show what interrupted migrations left of a VM; --yes cleans it up')
    .option('--yes', 'do it')
    .action(async (ref: string, { yes }: { readonly yes?: true }, command: Command) => {
      const { client, output } = contextOf(command);
      const { vm, items } = await client().call(yes === true ? 'vmCleanup' : 'vmRemains', { params: { vm: ref } });
      output.result({ vm, items }, (safe) =>
        safe.items.length === 0
          ? `nothing is left of ${safe.vm}`
          : table(
              ['host', 'what', yes === true ? 'done' : 'with --yes'],
              safe.items.map((each) => [each.host, each.what, each.remedy]),
            ),
      );
    });
  migration
    .command('abort <migration>')
    .description('abort a migration; the VM stays where it is')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const asked = await client().call('migrationAbort', { params: { migration: ref } });
      output.result(
        asked,
        (safe) => `abort of ${safe.id} requested; see how it ends with "ferry migration watch ${safe.id}"`,
      );
    });
}
