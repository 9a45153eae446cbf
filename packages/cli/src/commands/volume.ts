/** `ferry volume ...`: what moves left behind on the hosts' storage. */
import { Option, type Command } from 'commander';
import type { LeftoverJson } from '@ferry/api';
import { ApiError } from '@ferry/api/client';
import { everyItem } from '@ferry/api/every-item';
import { contextOf } from '../context.ts';
import { formatBytes, formatTime } from '../output/format.ts';
import { reportFailure } from '../output/output.ts';
import { table } from '../output/table.ts';

const whyLeft = ({ role, what }: LeftoverJson): string =>
  role === 'target'
    ? 'its copy was not finished'
    : `the ${what === undefined ? 'disk' : what === 'media' ? 'image' : 'state'} was copied away`;

const leftoverTable = (items: readonly LeftoverJson[]): string =>
  table(
    ['host', 'path', 'vm', 'holds', 'left', 'migration', 'why'],
    items.map((each) => [
      each.host,
      each.path,
      each.vm.name,
      formatBytes(each.allocatedBytes ?? each.sizeBytes),
      formatTime(each.at),
      each.migration,
      whyLeft(each),
    ]),
  );

export function volumeCommands(program: Command): void {
  program
    .command('volume')
    .description('storage volumes')
    .command('leftovers')
    .description('list the volumes that moves left behind; --yes deletes them')
    .option('--host <host>', 'only VMs on this host')
    .option('--path <path>', 'only this one')
    .option('--yes', 'delete the listed volumes, unless somebody has used them since')
    // as it was called at first
    .addOption(new Option('--purge').hideHelp())
    .action(
      async (
        {
          host,
          path,
          yes,
          purge = yes,
        }: { readonly host?: string; readonly path?: string; readonly yes?: true; readonly purge?: true },
        command: Command,
      ) => {
        const { client, output } = contextOf(command);
        const all = (await everyItem((page) => client().call('leftoverList', { query: page }))).items;
        const items = all.filter(
          (each) => (host === undefined || each.host === host) && (path === undefined || each.path === path),
        );
        if (purge !== true)
          return output.result(items, (safe) => (safe.length === 0 ? 'nothing is left over' : leftoverTable(safe)));
        const deleted: LeftoverJson[] = [];
        for (const each of items) {
          try {
            deleted.push(await client().call('leftoverPurge', { body: { host: each.host, path: each.path } }));
          } catch (error) {
            // one that has to stay does not keep the others
            if (!(error instanceof ApiError) || error.code === 'server-unreachable') throw error;
            const exit = reportFailure(error, false);
            process.exitCode ??= exit;
          }
        }
        const none = items.length === 0 ? 'nothing is left over' : 'nothing was deleted';
        output.result(deleted, (safe) => (safe.length === 0 ? none : `${leftoverTable(safe)}\ndeleted`));
      },
    );
}
