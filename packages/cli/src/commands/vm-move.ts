/**
 * `ferry vm migrate` and `ferry vm plan`. What shows the answer is loaded while the server makes it: until the request
 * is sent nothing happens to the VM.
 */
import { userInfo } from 'node:os';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { MigrationCreate } from '@ferry/api';
import { ApiError } from '@ferry/api/client';
import type { MoveWish } from '@ferry/api/offline';
import { asWide, contextOf } from '../context.ts';
import { readInput } from '../input-file.ts';
import { duration, mapOf, mapOptions, wholeNumber, type MapOptions } from '../options.ts';

interface MigrateOptions
  extends
    MapOptions,
    Pick<
      MigrationCreate,
      | 'to'
      | 'toUri'
      | 'preferHost'
      | 'toCluster'
      | 'kind'
      | 'policy'
      | 'quicklyFinish'
      | 'maxDowntimeMs'
      | 'tunnelled'
      | 'compression'
      | 'zeroCopy'
      | 'temporary'
      | 'keepSource'
      | 'deleteSourceDisks'
      | 'useExistingVolumes'
      | 'assumeShared'
      | 'skipCpuCheck'
      | 'skipKernelCheck'
      | 'createMissing'
      | 'autoStart'
    > {
  readonly direct?: true;
  readonly peerToPeer?: true;
  readonly enableTls?: true;
  readonly disableTls?: true;
  readonly parallel?: number;
  readonly postcopy?: true;
  readonly deadline?: number;
  readonly keepDestGuestOnFailed?: true;
  readonly maxBandwidthMb?: number;
  readonly xml?: string;
  readonly copyMedia?: true;
  readonly ejectMedia?: true;
  readonly rescueMode?: true;
  readonly hostIsDead?: string;
  readonly dryRun?: true;
  readonly detach?: true;
}

/** Fields that go as they are. */
const plainFields = [
  'to',
  'toUri',
  'preferHost',
  'toCluster',
  'kind',
  'policy',
  'quicklyFinish',
  'maxDowntimeMs',
  'tunnelled',
  'compression',
  'zeroCopy',
  'temporary',
  'keepSource',
  'deleteSourceDisks',
  'useExistingVolumes',
  'assumeShared',
  'skipCpuCheck',
  'skipKernelCheck',
  'createMissing',
  'autoStart',
] as const;

const fileFields = ['to', 'preferHost', 'toCluster', 'kind', 'policy'] as const;

/** The file has no answers of hosts for what the other options ask about. */
function wishOnFile(options: MigrateOptions): MoveWish {
  const given = Object.keys(options).filter((name) => !['output', 'server', 'dataDir'].includes(name));
  const unknown = given.filter((name) => !fileFields.some((each) => each === name));
  if (unknown.length > 0)
    throw new InvalidArgumentError(
      `With --from a plan takes --to, --prefer-host, --to-cluster, --kind and --policy only, and not ${unknown
        .map((name) => `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`)
        .join(', ')}.`,
    );
  return Object.fromEntries(fileFields.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])));
}

function requestOf(vm: string, options: MigrateOptions): MigrationCreate {
  const plain = Object.fromEntries(
    plainFields.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  );
  const {
    direct,
    peerToPeer,
    enableTls,
    disableTls,
    parallel,
    postcopy,
    deadline,
    keepDestGuestOnFailed,
    maxBandwidthMb,
    xml,
    copyMedia,
    ejectMedia,
    hostIsDead,
  } = options;
  return {
    vm,
    ...plain,
    ...mapOf(options),
    ...(direct === true ? { mode: 'direct' as const } : peerToPeer === true ? { mode: 'peer-to-peer' as const } : {}),
    ...(enableTls === true ? { tls: true } : disableTls === true ? { tls: false } : {}),
    ...(parallel === undefined ? {} : { parallelConnections: parallel }),
    ...(postcopy === true ? { postCopy: true } : {}),
    ...(deadline === undefined ? {} : { deadlineMs: deadline }),
    ...(keepDestGuestOnFailed === true ? { keepTargetOnFailure: true } : {}),
    ...(maxBandwidthMb === undefined ? {} : { maxBandwidthMiBPerSecond: maxBandwidthMb }),
    ...(xml === undefined ? {} : { xml }),
    ...(copyMedia === true ? { media: 'copy' as const } : ejectMedia === true ? { media: 'eject' as const } : {}),
    ...(hostIsDead === undefined ? {} : { rescue: { statement: hostIsDead, by: userInfo().username } }),
  };
}

const checkRescueWords = ({ rescueMode, hostIsDead }: MigrateOptions, command: Command): void => {
  if ((rescueMode === true) !== (hostIsDead !== undefined))
    command.error(
      '--rescue-mode needs --host-is-dead: state how you know that the host is dead, so that the VM never runs twice.',
    );
};

/** Of a move, and of its plan. */
const moveOptions = (command: Command): Command =>
  mapOptions(command)
    .addOption(new Option('--to <host>', 'to this host only').conflicts('preferHost'))
    .option('--prefer-host <host>', 'try this host first, then other suitable hosts')
    .addOption(
      new Option('--kind <kind>', 'the kind of move (default: what fits the state of the VM)').choices([
        'live',
        'suspended',
        'cold',
        'configuration',
      ]),
    )
    .addOption(
      new Option('--to-uri <uri>', 'to a host by its libvirt URI; it need not be in the fleet').conflicts([
        'to',
        'preferHost',
        'toCluster',
      ]),
    )
    .option('--to-cluster <cluster>', 'to a host of this cluster')
    .option('--max-bandwidth-mb <MiB/s>', 'bandwidth limit', wholeNumber('MiB/s'))
    .option(
      '--max-downtime-ms <ms>',
      "pause for the switchover that QEMU aims at (default: the policy's)",
      wholeNumber('ms'),
    )
    .option('--policy <policy>', 'policy to use (default: what its labels or its cluster select; "ferry policy list")')
    .option('--deadline <time>', 'time by which the migration must end: seconds, or as in 10m', duration)
    .option(
      '--quickly-finish',
      'accept the pause that is needed once passes gain nothing, up to 10 s or --max-downtime-ms',
    )
    .option('--keep-dest-guest-on-failed', 'keep what a failed target leaves, for "ferry migration inspect"')
    .addOption(
      new Option('--direct', "let Ferry drive; the hosts need not reach each other's daemons").conflicts('peerToPeer'),
    )
    .option('--peer-to-peer', "let the source's daemon drive")
    .addOption(new Option('--enable-tls', 'encrypt memory and disks and verify the peer').conflicts('disableTls'))
    .option('--disable-tls', 'do not encrypt, whatever the cluster says')
    .option('--tunnelled', 'send data through the connection of the two daemons')
    .option('--parallel <n>', 'number of connections for memory', wholeNumber('connections'))
    .option('--postcopy', 'allow "ferry migration postcopy" while it runs')
    .addOption(new Option('--compression <method>').choices(['xbzrle', 'zlib', 'zstd']))
    .option('--zero-copy', 'send memory without copying it first')
    .addOption(
      new Option('--temporary', 'return the VM to its source when it shuts down on the target').conflicts('keepSource'),
    )
    .option('--keep-source', 'keep a parked definition on the source, autostart off')
    .option('--delete-source-disks', 'delete copied disks on the source once the target is verified')
    .option('--use-existing-volumes', 'copy into volumes that you prepared on the target, of the same format and size')
    .option('--assume-shared', 'treat storage as shared if Ferry cannot tell')
    .option('--skip-cpu-check', 'only show what the policy refuses because of the CPU of the target')
    .option('--skip-kernel-check', 'only show what the policy refuses because of the kernel of the target')
    .option('--auto-start', 'start a VM that was shut off after the move')
    .option('--rescue-mode', 'start the VM of a dead host elsewhere, from the stored definition')
    .option(
      '--host-is-dead <statement>',
      'with --rescue-mode: how you know that the host is dead; kept with your name and the time',
    )
    .option('--xml <file>', "definition for the target (default: the VM's own)", (file) => readInput(file))
    .addOption(new Option('--copy-media', 'copy images in drives that only the source has').conflicts('ejectMedia'))
    .option('--eject-media', 'empty drives with an image that only the source has')
    .option('--create-missing', 'create networks, filters and secrets that the target lacks, as on the source');

async function planned(ref: string, options: MigrateOptions, command: Command): Promise<void> {
  checkRescueWords(options, command);
  const { client, output } = contextOf(command);
  const showing = import('./vm-plan.ts');
  try {
    const plan = await client().call('migrationPlan', { body: requestOf(ref, options) });
    const { planText } = await showing;
    output.result(plan, (safe) => planText(safe, output.wide));
  } catch (error) {
    const { hostsText } = await showing;
    if (error instanceof ApiError && error.hosts.length > 0 && !output.structured)
      output.result(error.hosts, (safe) => hostsText(safe, undefined, output.wide));
    throw error;
  }
}

async function plannedOnFile(file: string, ref: string, options: MigrateOptions, command: Command): Promise<void> {
  const { output } = contextOf(command);
  const { moveOnFile, readFleet } = await import('../fleet-file.ts');
  const plan = moveOnFile(readFleet(file), ref, wishOnFile(options));
  const { filePlanText } = await import('./vm-plan.ts');
  output.result(plan, (safe) => filePlanText(safe, output.wide));
}

async function migrated(ref: string, options: MigrateOptions, command: Command): Promise<void> {
  if (options.dryRun === true) return planned(ref, options, command);
  checkRescueWords(options, command);
  const context = contextOf(command);
  const starting = context.client().call('migrationCreate', { body: requestOf(ref, options) });
  if (options.detach === true) return context.output.result(await starting, (safe) => safe.id);
  const [migration, { followMigration }] = await Promise.all([starting, import('../follow.ts')]);
  process.exitCode = await followMigration(context, migration);
}

export function moveCommands(vm: Command): void {
  moveOptions(asWide(vm.command('plan <vm>')))
    .description('show which hosts could take a VM, where it would go, how and for how long; change nothing')
    .option('--from <file>', 'plan on a file of "ferry fleet export", with neither control plane nor host in reach')
    .action((ref: string, { from, ...options }: MigrateOptions & { readonly from?: string }, command: Command) =>
      from === undefined ? planned(ref, options, command) : plannedOnFile(from, ref, options, command),
    );
  moveOptions(asWide(vm.command('migrate <vm>')))
    .description('move a VM to another host; Ctrl-C detaches and the migration goes on')
    .option('--dry-run', 'the same as "ferry vm plan"')
    .option('--detach', 'print the id of the migration and return')
    .action(migrated);
}
