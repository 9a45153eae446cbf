/** `ferry host ...`: the hosts of the fleet. */
import type { Command } from 'commander';
import type { HostJson } from '@ferry/api';
import { everyItem } from '@ferry/api/every-item';
import { contextOf } from '../context.ts';
import { formatBytes, formatTime } from '../output/format.ts';
import { fields, table } from '../output/table.ts';

const hostText = (host: HostJson): string =>
  fields([
    ['name', host.name],
    ['id', host.id],
    ['uri', host.uri],
    ['cluster', host.cluster],
    ['migration address', host.migrationAddress],
    ['state', host.state],
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
  host
    .command('list')
    .description('list the hosts')
    .action(async (_: object, command: Command) => {
      const { client, output } = contextOf(command);
      const { items } = await everyItem(client(), 'hostList', {});
      output.result(items, (safe) =>
        table(
          ['name', 'state', 'vms', 'free memory', 'libvirt', 'qemu', 'uri'],
          safe.map((each) => [
            each.name,
            each.state,
            each.vms,
            each.memory?.freeBytes === undefined ? undefined : formatBytes(each.memory.freeBytes),
            each.libvirtVersion,
            each.qemuVersion,
            each.uri,
          ]),
        ),
      );
    });
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
  host
    .command('remove <host>')
    .description('remove a host from the fleet; its VMs are not touched')
    .action(async (ref: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      await client().call('hostRemove', { params: { host: ref } });
      output.result({ removed: ref }, ({ removed }) => `removed ${removed}`);
    });
}
