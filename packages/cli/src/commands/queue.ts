/** `ferry queue`: migrations that wait, and what for. */
import type { Command } from 'commander';
import type { QueuedMigrationJson } from '@ferry/api';
import { everyItem } from '@ferry/api/every-item';
import { listCommand, printList, type ListOptions } from '../list-command.ts';
import { formatDuration, formatTime } from '../output/format.ts';
import type { ListLook } from '../output/columns.ts';
import { anyItem, type WatchedList } from '../watch-list.ts';

const queueLook: ListLook<QueuedMigrationJson> = {
  columns: [
    { name: 'id', of: ({ id }) => id },
    { name: 'name', of: ({ name }) => name },
    { name: 'vm', of: ({ vm }) => vm.name },
    { name: 'from', of: ({ from }) => from },
    { name: 'to', of: ({ to }) => to },
    { name: 'priority', of: ({ priority }) => priority },
    { name: 'waits', of: ({ waitedMs }) => formatDuration(waitedMs), raw: ({ waitedMs }) => waitedMs },
    { name: 'for', of: ({ waitsFor }) => waitsFor.map(({ message }) => message).join(' ') },
    { name: 'origin', of: ({ origin }) => origin, wide: true },
    { name: 'batch', of: ({ batch }) => batch, wide: true },
    { name: 'since', of: ({ since }) => formatTime(since), raw: ({ since }) => since, wide: true },
  ],
  name: ({ id }) => id,
};

const queueList: WatchedList<QueuedMigrationJson> = {
  look: queueLook,
  keyOf: ({ id }) => id,
  read: (client, signal) => everyItem((page) => client.call('queueList', { query: page, signal })),
  concerns: ({ type }) => (['migration', 'cluster', 'fleet'].includes(type) ? anyItem : undefined),
};

export function queueCommands(program: Command): void {
  listCommand(
    program.command('queue').description('list the migrations that wait, the next one first, and what each waits for'),
    'migrations',
    [],
  ).action((options: ListOptions, command: Command) => printList(command, options, queueList));
}
