/** `ferry host ...`: the hosts of the fleet. */
import type { Command } from 'commander';
import type { HostJson } from '@ferry/api';
import { everyItem } from '@ferry/api/every-item';
import { contextOf } from '../context.ts';
import { hostDrainCommands } from './drain.ts';
import { hostDoctorCommand } from './host-doctor.ts';
import { formatBytes, formatTime } from '../output/format.ts';
import { listCommand, printList, queryOf, type ListOptions } from '../list-command.ts';
import { labelChange } from '../options.ts';
import type { ListLook } from '../output/columns.ts';
import { fields } from '../output/table.ts';
import { anyItem, type WatchedList } from '../watch-list.ts';

const hostText = (host: HostJson): string =>
  fields([
    ['name', host.name],
    ['id', host.id],
    ['uri', host.uri],
    ['cluster', host.cluster],
    ['migration address', host.migrationAddress],
    ['state', host.state],
    [
      'service',
      host.service === 'schedulable' ? host.service : `${host.service} since ${formatTime(host.serviceSince ?? '')}`,
    ],
    ['drain', host.drain],
    ['attention', host.attention],
    ['why', host.stateDetail],
    ['remedy', host.stateRemedy],
    [
      'cpu',
      host.cpu === undefined
        ? undefined
        : `${host.cpu.threads} x ${host.cpu.vendor} ${host.cpu.model} (${host.cpu.arch})`,
    ],
    ['memory', host.memory === undefined ? undefined : formatBytes(host.memory.totalBytes)],
    ['free', host.memory?.freeBytes === undefined ? undefined : formatBytes(host.memory.freeBytes)],
    ['libvirt', host.libvirtVersion],
    ['qemu', host.qemuVersion],
    ['vms', host.vms],
    ['labels', host.labels?.join(', ')],
    ['added', formatTime(host.addedAt)],
  ]);

interface HostSettings {
  readonly cluster?: string;
  readonly migrationAddress?: string;
}
/** Commander's options carry the global ones too. */
const settingsOf = ({ cluster, migrationAddress }: HostSettings): HostSettings => ({
  ...(cluster === undefined ? {} : { cluster }),
  ...(migrationAddress === undefined ? {} : { migrationAddress }),
});

const hostLook: ListLook<HostJson> = {
  columns: [
    { name: 'name', of: ({ name }) => name },
    { name: 'state', of: ({ state }) => state },
    { name: 'service', of: ({ service }) => service, wide: true },
    { name: 'vms', of: ({ vms }) => vms },
    {
      name: 'free memory',
      of: ({ memory }) => (memory?.freeBytes === undefined ? undefined : formatBytes(memory.freeBytes)),
      raw: ({ memory }) => memory?.freeBytes,
    },
    { name: 'libvirt', of: ({ libvirtVersion }) => libvirtVersion },
    { name: 'qemu', of: ({ qemuVersion }) => qemuVersion },
    { name: 'cluster', of: ({ cluster }) => cluster, wide: true },
    { name: 'labels', of: ({ labels }) => labels?.join(','), wide: true },
    { name: 'cpu', of: ({ cpu }) => cpu?.model, wide: true },
    { name: 'threads', of: ({ cpu }) => cpu?.threads, wide: true },
    { name: 'migration address', of: ({ migrationAddress }) => migrationAddress, wide: true },
    { name: 'uri', of: ({ uri }) => uri },
  ],
  name: ({ name }) => name,
};

const hostList = (options: ListOptions): WatchedList<HostJson> => ({
  look: hostLook,
  keyOf: ({ name }) => name,
  read: (client, signal) =>
    everyItem((page) => client.call('hostList', { query: { ...queryOf(options), ...page }, signal })),
  concerns: ({ type }) => (['host', 'host-removed', 'cluster-removed'].includes(type) ? anyItem : undefined),
});

export function hostCommands(program: Command): void {
  const host = program.command('host').description('hosts in the fleet');
  host
    .command('add <uri>')
    .description('add a host by its libvirt URI, e.g. qemu+ssh://root@host1/system')
    .option('--name <name>', "name in the fleet (default: the host's own)")
    .option('--cluster <cluster>', 'its cluster (default: default)')
    .option('--migration-address <ip>', 'address for migration data')
    .action(async (uri: string, { name, ...settings }: HostSettings & { readonly name?: string }, command: Command) => {
      const { client, output } = contextOf(command);
      const added = await client().call('hostAdd', {
        body: { uri, ...(name === undefined ? {} : { name }), ...settingsOf(settings) },
      });
      output.result(
        added,
        (safe) =>
          `added ${safe.name} (${safe.uri}), ` +
          (safe.state === 'connected'
            ? `libvirt ${safe.libvirtVersion ?? '?'}, ${safe.vms} VM(s)`
            : `but it is not connected${safe.stateDetail === undefined ? '' : `: ${safe.stateDetail}`}`),
      );
    });
  listCommand(host.command('list').description('list the hosts'), 'hosts', [
    'cluster',
    'state',
    'label',
    'name',
  ]).action((options: ListOptions, command: Command) => printList(command, options, hostList(options)));
  host
    .command('show <host>')
    .description('show one host')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const shown = await client().call('hostShow', { params: { host: ref } });
      output.result(shown, (safe) => hostText(safe));
    });
  host
    .command('set <host>')
    .description('change the cluster or the migration address of a host')
    .option('--cluster <cluster>', 'its cluster')
    .option('--migration-address <ip>', 'address for migration data; "" for none')
    .action(async (ref: string, settings: HostSettings, command: Command) => {
      const { client, output } = contextOf(command);
      const changed = await client().call('hostChange', { params: { host: ref }, body: settingsOf(settings) });
      output.result(changed, (safe) => hostText(safe));
    });
  for (const [word, operation, does] of [
    ['cordon', 'hostCordon', 'place no more VMs on these hosts; those that are there stay'],
    ['uncordon', 'hostUncordon', 'place VMs on these hosts again'],
  ] as const)
    host
      .command(`${word} <host...>`)
      .description(does)
      .action(async (refs: readonly string[], _: object, command: Command) => {
        const { client, output } = contextOf(command);
        // every name is known before anything is changed
        const once = new Set(refs);
        for (const ref of once) await client().call('hostShow', { params: { host: ref } });
        const changed = [];
        for (const ref of once) changed.push(await client().call(operation, { params: { host: ref } }));
        output.result(changed, (safe) =>
          safe
            .map(({ name, service }) => `${name} is ${service === 'maintenance' ? 'in maintenance' : service}`)
            .join('\n'),
        );
      });
  hostDoctorCommand(host);
  hostDrainCommands(host);
  host
    .command('label <host> <labels...>')
    .description('add labels to a host (zone=a) or remove them (zone=a-)')
    .action(async (ref: string, labels: readonly string[], _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const labelled = await client().call('hostLabel', { params: { host: ref }, body: labelChange(labels) });
      output.result(labelled, (safe) => `${safe.name}: ${safe.labels?.join(', ') ?? 'no labels'}`);
    });
  host
    .command('remove <host>')
    .description('remove a host from the fleet; its VMs are not touched')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      await client().call('hostRemove', { params: { host: ref } });
      output.result({ removed: ref }, ({ removed }) => `removed ${removed}`);
    });
}
