/** `ferry drain ...`, `ferry host drain` and `ferry host restore`: hosts are emptied, and their VMs brought back. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { DrainJson } from '@ferry/api';
import type { DrainOnFile } from '@ferry/api/offline';
import { everyItem } from '@ferry/api/every-item';
import { exitCodes, type ExitCode } from '@ferry/api/errors';
import { contextOf, type Context } from '../context.ts';
import { followObject, stateText } from '../follow-object.ts';
import { listCommand, printList, type ListOptions } from '../list-command.ts';
import { duration } from '../options.ts';
import type { ListLook } from '../output/columns.ts';
import { formatBytes, formatDuration, formatTime } from '../output/format.ts';
import { fields, table } from '../output/table.ts';
import { anyItem, type WatchedList } from '../watch-list.ts';

/** Has its turn still to come, or is under way. */
const open = new Set(['waiting', 'moving', 'stopping']);
const countOf = ({ members }: DrainJson): string =>
  `${members.filter(({ state }) => !open.has(state)).length} of ${members.length}`;
const hasEnded = ({ phase }: DrainJson): boolean => phase === 'done' || phase === 'incomplete' || phase === 'cancelled';

const exitOf = ({ phase }: DrainJson): ExitCode => {
  switch (phase) {
    case 'done':
      return exitCodes.done;
    case 'cancelled':
      return exitCodes.cancelled;
    case 'incomplete':
      return exitCodes.failed;
    case 'scheduled':
    case 'running':
    case 'cancelling':
      return exitCodes.detached;
  }
};

/** How long it takes and when it has left; what is not known is said. */
function timesOf(
  expected: DrainJson['members'][number]['expected'],
): readonly [takes: string | undefined, ends: string | undefined] {
  if (expected === undefined) return [undefined, undefined];
  const { beginsAt, endsAt } = expected;
  return beginsAt === undefined || endsAt === undefined
    ? ['unknown', 'unknown']
    : [formatDuration(Date.parse(endsAt) - Date.parse(beginsAt)), formatTime(endsAt)];
}

const paceText = ({ pace = [] }: DrainJson): string | undefined =>
  pace.length === 0 ? undefined : pace.map(({ host, atOnce, why }) => `${host}: ${atOnce} (${why})`).join('; ');

const expectedText = ({ expected }: DrainJson): string | undefined =>
  expected === undefined
    ? undefined
    : `${expected.text}${expected.endsAt === undefined ? '' : ` (${formatTime(expected.endsAt)})`}`;

const planText = (drain: DrainJson): string =>
  [
    membersText(drain),
    fields([
      ['begins', drain.beginsAt === undefined ? undefined : formatTime(drain.beginsAt)],
      ['attention', drain.attention],
      ['at once', paceText(drain)],
      ['ends', expectedText(drain)],
    ]),
  ].join('\n\n');

const membersText = ({ members }: DrainJson): string =>
  table(
    ['vm', 'memory', 'from', 'to', 'way', 'state', 'takes', 'ends', 'migration', 'note'],
    members.map((each) => [
      each.vm.name,
      formatBytes(each.memoryBytes),
      each.from,
      each.to,
      each.way,
      each.state,
      ...timesOf(each.expected),
      each.migration,
      each.note,
    ]),
  );

const plannedText = (members: DrainOnFile['members']): string =>
  table(
    ['vm', 'memory', 'from', 'to', 'way', 'note'],
    members.map(({ vm, memoryBytes, from, to, way, note }) => [vm.name, formatBytes(memoryBytes), from, to, way, note]),
  );

const drainText = (drain: DrainJson): string =>
  [
    fields([
      [drain.kind, `${drain.id} (${drain.name})`],
      ['hosts', drain.hosts.join(', ')],
      ['of', drain.of],
      ['phase', drain.phase],
      ['VMs', `${countOf(drain)} settled`],
      ['attention', drain.attention],
      [drain.phase === 'scheduled' ? 'asked for' : 'started', formatTime(drain.startedAt)],
      ['begins', drain.phase === 'scheduled' && drain.beginsAt !== undefined ? formatTime(drain.beginsAt) : undefined],
      ['at once', paceText(drain)],
      ['ends', expectedText(drain)],
      ['deadline', drain.deadlineAt === undefined ? undefined : formatTime(drain.deadlineAt)],
      ['ended', drain.endedAt === undefined ? undefined : formatTime(drain.endedAt)],
    ]),
    membersText(drain),
  ].join('\n\n');

const drainLook: ListLook<DrainJson> = {
  columns: [
    { name: 'id', of: ({ id }) => id },
    { name: 'name', of: ({ name }) => name },
    { name: 'kind', of: ({ kind }) => kind },
    { name: 'hosts', of: ({ hosts }) => hosts.join(',') },
    { name: 'phase', of: ({ phase }) => phase },
    { name: 'VMs', of: countOf },
    { name: 'started', of: ({ startedAt }) => formatTime(startedAt), raw: ({ startedAt }) => startedAt },
    { name: 'attention', of: ({ attention }) => attention, wide: true },
  ],
  name: ({ id }) => id,
};
const drainList: WatchedList<DrainJson> = {
  look: drainLook,
  keyOf: ({ id }) => id,
  read: (client, signal) => everyItem((page) => client.call('drainList', { query: page, signal })),
  concerns: ({ type }) => (type === 'drain' ? anyItem : undefined),
};

const follow = (context: Context, start: DrainJson): Promise<void> =>
  followObject(context, start, {
    kind: 'drain',
    eventsNow: async (client) => (await client.call('drainList', {})).events,
    read: (client, id) => client.call('drainShow', { params: { drain: id } }),
    ofEvent: (event) => (event.type === 'drain' ? event.drain : undefined),
    parts: ({ members }) =>
      members.map((each) => ({
        key: each.vm.uuid,
        title: `${each.vm.name} ${each.from} -> ${each.to ?? '?'}`,
        says: stateText(each),
      })),
    rests: hasEnded,
    text: drainText,
    exitOf,
  });

interface DrainOptions {
  readonly plan?: true;
  readonly from?: string;
  readonly detach?: true;
  readonly force?: true;
  readonly neverDegrade?: true;
  readonly at?: string;
  readonly deadline?: string;
}

const zoned = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/;

/** A time with its zone as in 2026-11-29T22:00Z, or from now as in 2h. */
const timeOf = (text: string): string => {
  if (/^\d+[smh]?$/.test(text)) return new Date(Date.now() + duration(text)).toISOString();
  const at = zoned.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at))
    throw new InvalidArgumentError('It takes a time as in 2h from now, or one with its zone as in 2026-11-29T22:00Z.');
  return new Date(at).toISOString();
};

/** Those of `ferry host`. */
export function hostDrainCommands(host: Command): void {
  host
    .command('drain <host...>')
    .description('move every VM off these hosts, which take none meanwhile; then they are in maintenance')
    .option('--plan', 'show how each VM would leave and where to; change nothing')
    .option(
      '--from <file>',
      'with --plan: on a file of "ferry fleet export", with neither control plane nor host in reach',
    )
    .addOption(new Option('--wait', 'follow it to its end (default)').conflicts('detach'))
    .addOption(new Option('--detach', 'return once it is stored').conflicts('plan'))
    .option('--at <time>', 'begin at this time, as in 2h or 2026-11-29T22:00Z; returns once it is stored', timeOf)
    .option('--deadline <time>', 'begin nothing after this time, as in 2h or 2026-11-29T22:00Z', timeOf)
    .option('--never-degrade', 'only to hosts where every guest keeps the memory it was given; what does not fit waits')
    .option('--force', 'also if no host of the cluster is left: VMs that need one stay where they are')
    .action(async (hosts: readonly string[], options: DrainOptions, command: Command) => {
      const context = contextOf(command);
      const { plan, from, detach, force, neverDegrade, at, deadline } = options;
      if (from !== undefined) {
        if (plan !== true) command.error('--from needs --plan: only a plan can be made on a file.');
        if (at !== undefined || deadline !== undefined)
          command.error('With --from a plan takes --force and --never-degrade only.');
        const { drainOnFile, readFleet } = await import('../fleet-file.ts');
        const planned = drainOnFile(readFleet(from), hosts, Date.now(), {
          force: force === true,
          neverDegrade: neverDegrade === true,
        });
        return context.output.result(planned, (safe) => plannedText(safe.members));
      }
      const body = {
        hosts: [...hosts],
        ...(force === true ? { force } : {}),
        ...(neverDegrade === true ? { neverDegrade } : {}),
        ...(at === undefined ? {} : { at }),
        ...(deadline === undefined ? {} : { deadline }),
      };
      const drain = await context.client().call(plan === true ? 'drainPlan' : 'drainCreate', { body });
      if (plan === true) return context.output.result(drain, (safe) => planText(safe));
      if (detach === true || at !== undefined) return context.output.result(drain, (safe) => drainText(safe));
      await follow(context, drain);
    });
  host
    .command('restore <host>')
    .description('bring back the VMs that left by its last drain and are still where they were put; uncordon it')
    .addOption(new Option('--wait', 'follow it to its end (default)').conflicts('detach'))
    .option('--detach', 'return once it is stored')
    .action(async (ref: string, { detach }: DrainOptions, command: Command) => {
      const context = contextOf(command);
      const restore = await context.client().call('hostRestore', { params: { host: ref } });
      if (detach === true) return context.output.result(restore, (safe) => drainText(safe));
      await follow(context, restore);
    });
}

export function drainCommands(program: Command): void {
  const drain = program.command('drain').description('drains of hosts, and the restores that take them back');
  listCommand(drain.command('list').description('list drains and restores, newest first'), 'drains', []).action(
    (options: ListOptions, command: Command) => printList(command, options, drainList),
  );
  drain
    .command('show <drain>')
    .description('show one drain or restore, with the outcome of each VM')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      output.result(await client().call('drainShow', { params: { drain: ref } }), (safe) => drainText(safe));
    });
  drain
    .command('watch <drain>')
    .description('follow one to its end; -o json prints one line per change')
    .action(async (ref: string, _: object, command: Command) => {
      const context = contextOf(command);
      await follow(context, await context.client().call('drainShow', { params: { drain: ref } }));
    });
  drain
    .command('cancel <drain>')
    .description('begin nothing more, and put the hosts back to their state before; running migrations go on')
    .option('--abort', 'abort the running migrations too')
    .action(async (ref: string, { abort }: { readonly abort?: true }, command: Command) => {
      const { client, output } = contextOf(command);
      const body = abort === true ? { abort } : {};
      const cancelled = await client().call('drainCancel', { params: { drain: ref }, body });
      output.result(cancelled, (safe) => drainText(safe));
    });
  drain
    .command('retry <drain>')
    .description('try the VMs again that did not leave')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const retried = await client().call('drainRetry', { params: { drain: ref } });
      output.result(retried, (safe) => drainText(safe));
    });
}
