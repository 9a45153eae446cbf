/** `ferry cluster ...`: hosts that share where and how migration data travels. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { ClusterChange, ClusterJson, CpuBaselineJson } from '@ferry/api';
import { everyItem } from '@ferry/api/every-item';
import { contextOf } from '../context.ts';
import { listCommand, printList, type ListOptions } from '../list-command.ts';
import { changedPairs, limit, mapOf, mapOptions, type MapOptions } from '../options.ts';
import type { ListLook } from '../output/columns.ts';
import { fields, table } from '../output/table.ts';
import { anyItem, type WatchedList } from '../watch-list.ts';

/** "" takes the setting away. */
const ports = (text: string): { readonly first: number; readonly last: number } | '' => {
  if (text === '') return '';
  const [, first, last] = /^(\d{4,5})-(\d{4,5})$/.exec(text) ?? [];
  if (first === undefined || last === undefined) throw new InvalidArgumentError('It takes a range as in 50000-50063.');
  return { first: Number(first), last: Number(last) };
};
const changedMap = ({ map }: ReturnType<typeof mapOf>): Pick<ClusterChange, 'map'> =>
  map === undefined
    ? {}
    : { map: { ...map, ...(map.graphicsListen === undefined ? {} : { graphicsListen: map.graphicsListen || null }) } };
const portText = (range: ClusterJson['migrationPorts']): string | undefined =>
  range === undefined ? undefined : `${range.first}-${range.last}`;
const tlsText = (tls: boolean | undefined): string | undefined => (tls === undefined ? undefined : tls ? 'on' : 'off');

const atMost = (most: number | undefined): string | undefined => (most === undefined ? undefined : `at most ${most}`);

const clusterText = (cluster: ClusterJson): string =>
  fields([
    ['name', cluster.name],
    ['hosts', cluster.hosts.join(', ')],
    ['migration network', cluster.migrationNetwork],
    ['migration ports', portText(cluster.migrationPorts)],
    ['tls', tlsText(cluster.tls)],
    ['policy', cluster.policy],
    ['outgoing per host', atMost(cluster.maxOutgoingPerHost)],
    ['incoming per host', atMost(cluster.maxIncomingPerHost)],
    ['per migration network', atMost(cluster.maxPerMigrationNetwork)],
    ['blackouts', cluster.blackouts?.join('; ')],
    ...(['networks', 'pools', 'paths'] as const).map((what): [string, string | undefined] => [
      `maps ${what}`,
      cluster.map?.[what] === undefined
        ? undefined
        : Object.entries(cluster.map[what])
            .map(([from, to]) => `${from} = ${to}`)
            .join(', '),
    ]),
    ['consoles listen on', cluster.map?.graphicsListen],
  ]);

const baselineText = ({ cpu, computedOn, hosts, leftOut, unfit }: CpuBaselineJson): string =>
  [
    fields([
      ['hosts', hosts.join(', ')],
      ['computed on', computedOn],
      ...leftOut.map(({ host, why }): [string, string] => ['left out', `${host}: ${why}`]),
    ]),
    '',
    cpu.trim(),
    '',
    unfit.length === 0
      ? 'Every VM that runs there can go to each of these hosts.'
      : table(
          ['vm', 'host', 'why', 'what'],
          unfit.map((each) => [each.vm, each.host, each.why, each.message]),
        ),
  ].join('\n');

interface SetOptions extends MapOptions {
  readonly migrationNetwork?: string;
  readonly migrationPorts?: { readonly first: number; readonly last: number } | '';
  readonly tls?: 'on' | 'off' | '';
  readonly policy?: string;
  readonly maxOutgoingPerHost?: number | '';
  readonly maxIncomingPerHost?: number | '';
  readonly maxPerMigrationNetwork?: number | '';
  readonly blackout?: readonly string[];
}

/** Together they replace those before; "" alone takes them away. */
const periods = (text: string, before: readonly string[] = []): readonly string[] =>
  text === '' ? before : [...before, text];

const clusterLook: ListLook<ClusterJson> = {
  columns: [
    { name: 'name', of: ({ name }) => name },
    { name: 'hosts', of: ({ hosts }) => hosts.join(', '), raw: ({ hosts }) => hosts.join(' ') },
    { name: 'migration network', of: ({ migrationNetwork }) => migrationNetwork },
    { name: 'ports', of: ({ migrationPorts }) => portText(migrationPorts) },
    { name: 'tls', of: ({ tls }) => tlsText(tls) },
    { name: 'policy', of: ({ policy }) => policy, wide: true },
    { name: 'outgoing', of: ({ maxOutgoingPerHost }) => maxOutgoingPerHost, wide: true },
    { name: 'incoming', of: ({ maxIncomingPerHost }) => maxIncomingPerHost, wide: true },
    { name: 'per network', of: ({ maxPerMigrationNetwork }) => maxPerMigrationNetwork, wide: true },
  ],
  name: ({ name }) => name,
};

const clusterList: WatchedList<ClusterJson> = {
  look: clusterLook,
  keyOf: ({ name }) => name,
  read: (client, signal) => everyItem((page) => client.call('clusterList', { query: page, signal })),
  // those without settings are what hosts name
  concerns: ({ type }) => (['cluster', 'cluster-removed', 'host', 'host-removed'].includes(type) ? anyItem : undefined),
};

export function clusterCommands(program: Command): void {
  const cluster = program.command('cluster').description('clusters: hosts that share settings');
  listCommand(cluster.command('list').description('list the clusters'), 'clusters', []).action(
    (options: ListOptions, command: Command) => printList(command, options, clusterList),
  );
  mapOptions(cluster.command('set <cluster>'), changedPairs)
    .description('create a cluster or change the named settings; "" removes a setting, SOURCE= an entry of a map')
    .option('--migration-network <cidr>', 'network for migration data')
    .option(
      '--migration-ports <first-last>',
      "ports on the target for migration data, in place of libvirt's own",
      ports,
    )
    .addOption(
      new Option('--tls <on|off>', 'whether migration data is encrypted by default').choices(['on', 'off', '']),
    )
    .option('--policy <policy>', 'policy for VMs that leave its hosts ("ferry policy list")')
    .option('--max-outgoing-per-host <n>', 'migrations that leave a host at once (default: 8)', limit)
    .option('--max-incoming-per-host <n>', 'migrations that come to a host at once (default: 8)', limit)
    .option(
      '--max-per-migration-network <n>',
      'migrations to the cluster over its migration network at once (default: no limit)',
      limit,
    )
    .option(
      '--blackout <period>',
      'no drain moves a VM off its hosts within it, UTC, as in "Mon-Fri 08:00-18:00"; repeatable, replaces all',
      periods,
    )
    .action(
      async (
        name: string,
        { migrationNetwork, migrationPorts, tls, policy, ...more }: SetOptions,
        command: Command,
      ) => {
        const { maxOutgoingPerHost, maxIncomingPerHost, maxPerMigrationNetwork, blackout, ...maps } = more;
        const { client, output } = contextOf(command);
        const body: ClusterChange = {
          ...(migrationNetwork === undefined ? {} : { migrationNetwork: migrationNetwork || null }),
          ...(migrationPorts === undefined ? {} : { migrationPorts: migrationPorts || null }),
          ...(tls === undefined ? {} : { tls: tls === '' ? null : tls === 'on' }),
          ...(policy === undefined ? {} : { policy: policy || null }),
          ...(maxOutgoingPerHost === undefined ? {} : { maxOutgoingPerHost: maxOutgoingPerHost || null }),
          ...(maxIncomingPerHost === undefined ? {} : { maxIncomingPerHost: maxIncomingPerHost || null }),
          ...(maxPerMigrationNetwork === undefined ? {} : { maxPerMigrationNetwork: maxPerMigrationNetwork || null }),
          ...(blackout === undefined ? {} : { blackouts: blackout.length === 0 ? null : [...blackout] }),
          ...changedMap(mapOf(maps)),
        };
        if (Object.keys(body).length === 0) command.error('Name at least one setting; see "ferry cluster set --help".');
        const changed = await client().call('clusterChange', { params: { cluster: name }, body });
        output.result(changed, (safe) => clusterText(safe));
      },
    );
  cluster
    .command('cpu-baseline <cluster>')
    .description('show a CPU that all hosts of a cluster have, and the VMs that need another')
    .action(async (name: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const found = await client().call('clusterCpuBaseline', { params: { cluster: name } });
      output.result(found, (safe) => baselineText(safe));
    });
  cluster
    .command('remove <cluster>')
    .description('remove a cluster without hosts')
    .action(async (name: string, _: object, command: Command) => {
      const { client, output } = contextOf(command);
      await client().call('clusterRemove', { params: { cluster: name } });
      output.result({ removed: name }, ({ removed }) => `removed ${removed}`);
    });
}
