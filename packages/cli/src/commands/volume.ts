/** `ferry volume ...`: what moves left behind on the hosts' storage. */
import { Option, type Command } from 'commander';
import type { LeftoverJson } from '@ferry/api';
import { contextOf } from '../context.ts';
import { formatBytes, formatTime } from '../output/format.ts';
import { table } from '../output/table.ts';

const leftoverTable = (items: readonly LeftoverJson[]): string =>
  table(
    ['host', 'path', 'vm', 'holds', 'left', 'migration', 'why'],
    items.map((each) => [each.host, each.path, each.vm.name, formatBytes(each.allocatedBytes ?? each.sizeBytes), formatTime(each.at), each.migration, each.role === 'source' ? 'the disk was copied away' : 'its copy was not finished']),
  );

export function volumeCommands(program: Command): void {
  program
    .command('volume')
    .description('storage volumes')
    .command('leftovers')
    .description('list the volumes that moves left behind; with --yes, delete them')
    .option('--host <host>', 'only those on this host')
    .option('--path <path>', 'only this one')
    .option('--yes', 'delete those listed, if nobody used them since')
    // as it was called at first
    .addOption(new Option('--purge').hideHelp())
    .action(async ({ host, path, yes, purge = yes }: { readonly host?: string; readonly path?: string; readonly yes?: true; readonly purge?: true }, command: Command) => {
      const { client, output } = contextOf(command);
      const all = (await client().call('leftoverList')).items;
      const items = all.filter((each) => (host === undefined || each.host === host) && (path === undefined || each.path === path));
      if (purge === true) for (const each of items) await client().call('leftoverPurge', { body: { host: each.host, path: each.path } });
      output.result(items, (safe) => (safe.length === 0 ? 'nothing is left over' : `${leftoverTable(safe)}${purge === true ? '\ndeleted' : ''}`));
    });
}
