/** `ferry rollout ...`: hosts are emptied, worked on and brought back, one after the other. */
import { Option, type Command } from 'commander';
import type { RolloutCreate, RolloutJson } from '@ferry/api';
import { everyItem } from '@ferry/api/every-item';
import { exitCodes, type ExitCode } from '@ferry/api/errors';
import { contextOf, type Context } from '../context.ts';
import { followObject, stateText } from '../follow-object.ts';
import { listCommand, printList, type ListOptions } from '../list-command.ts';
import { duration } from '../options.ts';
import type { ListLook } from '../output/columns.ts';
import { formatDuration, formatTime } from '../output/format.ts';
import { fields, table } from '../output/table.ts';
import { anyItem, type WatchedList } from '../watch-list.ts';

const rests = ({ phase }: RolloutJson): boolean => phase !== 'running' && phase !== 'cancelling';
const exitOf = ({ phase }: RolloutJson): ExitCode => {
  switch (phase) {
    case 'done':
      return exitCodes.done;
    case 'cancelled':
      return exitCodes.cancelled;
    case 'stopped':
      return exitCodes.failed;
    case 'running':
    case 'cancelling':
      return exitCodes.detached;
  }
};
const over = new Set(['done', 'skipped', 'held']);
const countOf = ({ hosts }: RolloutJson): string =>
  `${hosts.filter(({ state }) => state === 'done' || state === 'skipped').length} of ${hosts.length}`;

const rolloutText = (rollout: RolloutJson): string => {
  const { plan } = rollout;
  return [
    fields([
      ['rollout', `${rollout.id} (${rollout.name})`],
      ['phase', rollout.phase],
      ['hosts', `${countOf(rollout)} done`],
      ['attention', rollout.attention],
      ['worked on by', plan.work?.program ?? plan.work?.url ?? 'an operator'],
      ['only if', plan.onlyIf?.program ?? plan.onlyIf?.url],
      ['mode', plan.upgrade === true ? 'upgrade: VMs come back once all hosts are done' : undefined],
      ['expected', expectedText(plan)],
      ['comes back within', formatDuration(plan.returnMs)],
      ['started', formatTime(rollout.startedAt)],
      ['ended', rollout.endedAt === undefined ? undefined : formatTime(rollout.endedAt)],
    ]),
    table(
      ['host', 'state', 'since', 'drain', 'restore', 'note'],
      rollout.hosts.map((each) => [each.host, each.state, formatTime(each.since), each.drain, each.restore, each.note]),
    ),
  ].join('\n\n');
};

const expectedText = ({ libvirtVersion, qemuVersion, reboots }: RolloutJson['plan']): string | undefined =>
  [
    ...(reboots === true ? ['a reboot'] : []),
    ...(libvirtVersion === undefined ? [] : [`libvirt ${libvirtVersion}`]),
    ...(qemuVersion === undefined ? [] : [`QEMU ${qemuVersion}`]),
  ].join(', ') || undefined;

const rolloutLook: ListLook<RolloutJson> = {
  columns: [
    { name: 'id', of: ({ id }) => id },
    { name: 'name', of: ({ name }) => name },
    { name: 'phase', of: ({ phase }) => phase },
    { name: 'hosts', of: countOf },
    {
      name: 'now',
      of: ({ hosts }) =>
        hosts
          .filter(({ state }) => state !== 'waiting' && state !== 'returned' && !over.has(state))
          .map(({ host, state }) => `${host}: ${state}`)
          .join(', '),
    },
    { name: 'started', of: ({ startedAt }) => formatTime(startedAt), raw: ({ startedAt }) => startedAt },
    { name: 'attention', of: ({ attention }) => attention, wide: true },
  ],
  name: ({ id }) => id,
};
const rolloutList: WatchedList<RolloutJson> = {
  look: rolloutLook,
  keyOf: ({ id }) => id,
  read: (client, signal) => everyItem((page) => client.call('rolloutList', { query: page, signal })),
  concerns: ({ type }) => (type === 'rollout' ? anyItem : undefined),
};

const follow = (context: Context, start: RolloutJson): Promise<void> =>
  followObject(context, start, {
    kind: 'rollout',
    eventsNow: async (client) => (await client.call('rolloutList', {})).events,
    read: (client, id) => client.call('rolloutShow', { params: { rollout: id } }),
    ofEvent: (event) => (event.type === 'rollout' ? event.rollout : undefined),
    parts: ({ hosts }) => hosts.map((each) => ({ key: each.host, title: each.host, says: stateText(each) })),
    rests,
    text: rolloutText,
    exitOf,
  });

interface RolloutOptions {
  readonly label?: string;
  readonly hook?: string;
  readonly hookSecret?: string;
  readonly hookTimeout?: number;
  readonly rebootOnlyIf?: string;
  readonly reboots?: true;
  readonly libvirt?: string;
  readonly qemu?: string;
  readonly returnWithin?: number;
  readonly upgrade?: true;
  readonly force?: true;
  readonly detach?: true;
}

/** A path, or a URL whose requests are signed with the key in this file. */
const targetOf = (text: string, secretFile: string | undefined): NonNullable<RolloutCreate['work']> =>
  text.includes('://') ? { url: text, ...(secretFile === undefined ? {} : { secretFile }) } : { program: text };

function bodyOf(hosts: readonly string[], options: RolloutOptions): RolloutCreate {
  const { label, hook, hookSecret, hookTimeout, rebootOnlyIf, reboots, libvirt, qemu, returnWithin } = options;
  return {
    hosts: [...hosts],
    ...(label === undefined ? {} : { selector: label }),
    ...(hook === undefined
      ? {}
      : {
          work: { ...targetOf(hook, hookSecret), ...(hookTimeout === undefined ? {} : { timeoutMs: hookTimeout }) },
        }),
    ...(rebootOnlyIf === undefined ? {} : { onlyIf: targetOf(rebootOnlyIf, hookSecret) }),
    ...(reboots === undefined ? {} : { reboots }),
    ...(libvirt === undefined ? {} : { libvirtVersion: libvirt }),
    ...(qemu === undefined ? {} : { qemuVersion: qemu }),
    ...(returnWithin === undefined ? {} : { returnMs: returnWithin }),
    ...(options.upgrade === undefined ? {} : { upgrade: options.upgrade }),
    ...(options.force === undefined ? {} : { force: options.force }),
  };
}

export function rolloutCommands(program: Command): void {
  const rollout = program
    .command('rollout')
    .description('rollouts: empty hosts one after the other, have them worked on, bring their VMs back');
  rollout
    .command('start [host...]', { isDefault: true })
    .description('begin one over these hosts, in this order; "start" may be left out')
    .option('-l, --label <selector>', 'hosts with these labels too, as in rack=7')
    .option(
      '--hook <program|url>',
      'works on each empty host; without it, "ferry rollout continue" says that it is done',
    )
    .option('--hook-secret <file>', 'key that signs requests to URLs')
    .option('--hook-timeout <time>', 'for the hook to end, as in 40m (default: 30m)', duration)
    .option('--reboot-only-if <program|url>', 'skip hosts of which this hook does not agree')
    .option('--reboots', 'a host has come back only after its connection was lost')
    .option('--libvirt <version>', 'version of libvirt that a host must have when it is back')
    .option('--qemu <version>', 'version of QEMU that a host must have when it is back')
    .option('--return-within <time>', 'for a host to come back, else the rollout stops (default: 30m)', duration)
    .option('--upgrade', 'no VM goes to a host that is still to be upgraded; VMs come back once all hosts are done')
    .option('--force', 'also if no host of the cluster is left: VMs that need one stay where they are')
    .addOption(new Option('--wait', 'follow it until it ends or stops (default)').conflicts('detach'))
    .option('--detach', 'return once it is stored')
    .action(async (hosts: readonly string[], options: RolloutOptions, command: Command) => {
      if (hosts.length === 0 && options.label === undefined)
        command.error('Name the hosts, or select them with --label.');
      if (options.hook === undefined && options.hookTimeout !== undefined)
        command.error('--hook-timeout needs --hook.');
      if (
        options.hookSecret !== undefined &&
        ![options.hook, options.rebootOnlyIf].some((each) => each?.includes('://'))
      )
        command.error('--hook-secret needs a URL in --hook or --reboot-only-if.');
      const context = contextOf(command);
      const begun = await context.client().call('rolloutCreate', { body: bodyOf(hosts, options) });
      if (options.detach === true) return context.output.result(begun, (safe) => rolloutText(safe));
      await follow(context, begun);
    });
  listCommand(rollout.command('list').description('list rollouts, newest first'), 'rollouts', []).action(
    (options: ListOptions, command: Command) => printList(command, options, rolloutList),
  );
  rollout
    .command('show <rollout>')
    .description('show one rollout, with the state of each host')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      output.result(await client().call('rolloutShow', { params: { rollout: ref } }), (safe) => rolloutText(safe));
    });
  rollout
    .command('watch <rollout>')
    .description('follow one until it ends or stops; -o json prints one line per change')
    .action(async (ref: string, _: object, command: Command) => {
      const context = contextOf(command);
      await follow(context, await context.client().call('rolloutShow', { params: { rollout: ref } }));
    });
  rollout
    .command('continue <rollout>')
    .description('go on: the host that it waits for is up again, or what stopped it has been seen to')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const goesOn = await client().call('rolloutContinue', { params: { rollout: ref } });
      output.result(goesOn, (safe) => rolloutText(safe));
    });
  rollout
    .command('cancel <rollout>')
    .description('begin nothing more; a drain that runs is cancelled, a restore goes on')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const cancelled = await client().call('rolloutCancel', { params: { rollout: ref } });
      output.result(cancelled, (safe) => rolloutText(safe));
    });
}
