// script/bench transports: one guest back and forth between two hosts that are reached by TCP, TLS and SSH, driven by
// the source's daemon and directly, with migration data encrypted and not: Ferry against virsh doing the same, in
// turns, bandwidth capped. Total time from the request to "done" (for Ferry: verified on both hosts). Also: how much
// longer the list of VMs takes with a dead host in the fleet.
import { execFile } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { credentialsOf, powerOff, temporaryLab, vmCreate, waitFor, type HostStatus } from '@ferry/lab';
import { controlPlane, type ControlPlane } from '../../test/control-plane.ts';
import { accessTo } from '../../test/fleet.ts';
import { call, isSettledOn, migrate, type PlacedVm } from './api.ts';
import { optionsOf, usual } from './options.ts';
import { estimate, exitOf, makeResult, median, pairedRatios, printResult, spread } from './report.ts';

const execute = promisify(execFile);
const { values: flags } = optionsOf({ options: usual });
const ROUNDS = flags.quick ? 3 : 8;
const BANDWIDTH = 32;
/** Some seconds of them: what Ferry does now and then is in it. */
const LISTINGS = 3000;
const VM = 'bench';

await using temporary = await temporaryLab({ hosts: 3 });
const { lab } = temporary;
const { pki, sshConfig } = credentialsOf(lab);
const hostNamed = (name: string): HostStatus =>
  temporary.status.hosts.find((host) => host.name === name) ?? raise(name);
await vmCreate(lab, { name: VM, host: 'host1' });
// what libvirt's own client needs to use the lab's keys
const ssh = join(lab.directory, 'ssh-of-lab');
writeFileSync(ssh, `#!/bin/sh\nexec ssh -F ${sshConfig} "$@"\n`);
chmodSync(ssh, 0o755);

function raise(what: string): never {
  throw new Error(`no ${what}`);
}

/** The URI of a host for Ferry, for virsh, and for the source's daemon. */
const transports = {
  tcp: { ferry: (at: string) => `qemu+tcp://${at}/system`, virsh: (at: string) => `qemu+tcp://${at}/system` },
  tls: {
    ferry: (at: string) => `qemu+tls://${at}/system`,
    virsh: (at: string) => `qemu+tls://${at}/system?pkipath=${pki}`,
  },
  ssh: {
    ferry: (at: string) => `qemu+ssh://root@${at}/system`,
    virsh: (at: string) => `qemu+ssh://root@${at}/system?command=${ssh}`,
  },
} as const;
type Transport = keyof typeof transports;

interface Way {
  readonly transport: Transport;
  readonly direct: boolean;
  readonly tls: boolean;
}
const ways: readonly Way[] = [
  { transport: 'tcp', direct: false, tls: false },
  { transport: 'tls', direct: false, tls: false },
  { transport: 'ssh', direct: false, tls: false },
  { transport: 'tcp', direct: true, tls: false },
  { transport: 'tls', direct: true, tls: false },
  { transport: 'ssh', direct: true, tls: false },
  { transport: 'tcp', direct: false, tls: true },
  { transport: 'tcp', direct: true, tls: true },
];
const nameOf = ({ transport, direct, tls }: Way): string =>
  `${transport} ${direct ? 'direct' : 'peer-to-peer'}${tls ? ', encrypted' : ''}`;

async function withVirsh({ transport, direct, tls }: Way, from: string, to: string): Promise<void> {
  const { virsh, ferry } = transports[transport];
  const target = direct ? virsh(hostNamed(to).address) : ferry(hostNamed(to).address);
  await execute(
    'virsh',
    [
      '-c',
      virsh(hostNamed(from).address),
      'migrate',
      '--live',
      ...(direct ? [] : ['--p2p']),
      ...(tls ? ['--tls'] : []),
      '--persistent',
      '--undefinesource',
      '--abort-on-error',
      '--bandwidth',
      String(BANDWIDTH),
      VM,
      target,
    ],
    { timeout: 120_000 },
  );
}
const withFerry = ({ direct, tls }: Way, plane: ControlPlane, to: string): Promise<unknown> =>
  migrate(plane, { vm: VM, to, mode: direct ? 'direct' : 'peer-to-peer', tls, maxBandwidthMiBPerSecond: BANDWIDTH });

/** virsh twice: against itself it shows what this machine takes for a difference. */
const orders = [
  ['ferry', 'virsh', 'virshAgain'],
  ['virshAgain', 'ferry', 'virsh'],
  ['virsh', 'virshAgain', 'ferry'],
] as const;
type Times = Readonly<Record<(typeof orders)[number][number], number[]>>;
const times: Record<string, Times> = {};
let at = 'host1';
for (const transport of Object.keys(transports) as Transport[]) {
  await using plane = await controlPlane(...accessTo(temporary));
  for (const name of ['host1', 'host2'])
    await plane.json('host', 'add', transports[transport].ferry(hostNamed(name).address), '--name', name);
  for (const way of ways.filter((each) => each.transport === transport)) {
    const own: Times = { ferry: [], virsh: [], virshAgain: [] };
    times[nameOf(way)] = own;
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const name of orders[round % orders.length] ?? []) {
        const [from, to] = [at, at === 'host1' ? 'host2' : 'host1'];
        await waitFor(
          'Ferry to see where the guest is',
          async () => isSettledOn(await call<PlacedVm>(plane, 'GET', `/vms/${VM}`), from) || undefined,
          { timeoutMs: 15_000 },
        );
        const start = performance.now();
        await (name === 'ferry' ? withFerry(way, plane, to) : withVirsh(way, from, to));
        own[name].push(performance.now() - start);
        at = to;
      }
    }
    process.stderr.write(
      `${nameOf(way)}: ferry ${Math.round(median(own.ferry))} ms, virsh ${Math.round(median(own.virsh))} ms\n`,
    );
  }
}

/**
 * Medians of listing the VMs, the dead host off and on in turns would take minutes: one fleet before and after
 * instead.
 */
const listing = await (async () => {
  await using plane = await controlPlane(...accessTo(temporary));
  for (const { name, address } of temporary.status.hosts)
    await plane.json('host', 'add', `qemu+tcp://${address}/system`, '--name', name);
  const measure = async (): Promise<number> => {
    const runs: number[] = [];
    for (let index = 0; index < LISTINGS; index += 1) {
      const start = performance.now();
      await call(plane, 'GET', '/vms');
      await call(plane, 'GET', '/hosts');
      runs.push(performance.now() - start);
    }
    return median(runs);
  };
  await measure();
  const alive = await measure();
  const again = await measure();
  await powerOff(lab, 'host3');
  await waitFor(
    'Ferry to see the host dead',
    async () => (await call<{ state: string }>(plane, 'GET', '/hosts/host3')).state === 'unreachable' || undefined,
    { timeoutMs: 60_000 },
  );
  return { alive, again, dead: await measure() };
})();

const ratios = Object.fromEntries(
  Object.entries(times).map(([name, { ferry, virsh }]) => [name, estimate(pairedRatios(ferry, virsh))]),
);
const controls = Object.fromEntries(
  Object.entries(times).map(([name, { virshAgain, virsh }]) => [name, estimate(pairedRatios(virshAgain, virsh))]),
);
const result = makeResult(
  'transports',
  {
    pairs: ROUNDS,
    bandwidthMiBPerSecond: BANDWIDTH,
    totalMs: Object.fromEntries(
      Object.entries(times).map(([name, { ferry, virsh }]) => [name, { ferry: spread(ferry), virsh: spread(virsh) }]),
    ),
    ratios,
    controls,
    listingMs: listing,
  },
  {
    ...Object.fromEntries(
      Object.entries(ratios).map(([name, { median: value }]) => [
        name,
        {
          what: `total time, ${name}, Ferry / virsh, paired`,
          value,
          atMost: 1.03,
          ...(controls[name] === undefined ? {} : { control: controls[name] }),
        },
      ]),
    ),
    listing: {
      what: 'listing hosts and VMs, one host dead / all alive',
      value: listing.dead / listing.alive,
      atMost: 1.1,
      control: estimate([listing.again / listing.alive]),
    },
  },
);
printResult(result, { json: flags.json });
process.exitCode = exitOf(result);
