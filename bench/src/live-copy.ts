// script/bench live-copy: a running guest that writes, moved with its disk of 10 GiB (5 % data in scattered extents)
// over a link of 1 Gbit/s. Ferry creates the volume itself; for virsh a thin volume is created by hand first. Both use
// the same flags.
import { join } from 'node:path';
import { rmSync } from 'node:fs';
import { temporaryLab, virsh, vmCreate, waitFor } from '@ferry/lab';
import { controlPlane } from '../../test/control-plane.ts';
import { optionsOf, usual } from './options.ts';
import { estimate, exitOf, makeResult, median, pairedRatios, printResult, spread } from './report.ts';
import { allocatedBytes, CAPACITY_BYTES, IMAGES, onHost, writeScatteredImage } from './scattered-disk.ts';
import { migrateLive } from './virsh.ts';

const { values: flags } = optionsOf({ options: usual });
const ROUNDS = flags.quick ? 3 : 10;
const LINK_MBIT = 1000;
const VM = 'live';
const IMAGE = `${IMAGES}/${VM}.qcow2`;

interface Run {
  readonly totalMs: number;
  readonly allocated: number;
}

await using temporary = await temporaryLab({ hosts: 2, linkMbit: LINK_MBIT });
const { lab } = temporary;
await using plane = await controlPlane();
for (const { uri, name } of temporary.status.hosts) await plane.json('host', 'add', uri, '--name', name);
const uriOf = (name: string): string => temporary.status.hosts.find((host) => host.name === name)?.uri ?? '';
await vmCreate(lab, { name: VM, host: 'host1', disk: 'local', workload: 'disk', until: 'defined' });
const seed = join(lab.directory, 'scattered.raw');
const dataBytes = await writeScatteredImage(seed);
await onHost(lab, 'host1', `qemu-img convert -f raw -O qcow2 ${seed} ${IMAGE}`);
rmSync(seed);
await virsh(lab, 'host1', ['start', VM]);
const place = () => plane.json<{ host: string; state: string }>('vm', 'show', VM);

const contenders = {
  virsh: async (from: string, to: string) => {
    await virsh(lab, to, [
      'vol-create-as',
      'default',
      `${VM}.qcow2`,
      String(CAPACITY_BYTES),
      '--allocation',
      '0',
      '--format',
      'qcow2',
    ]);
    await virsh(
      lab,
      from,
      [
        ...migrateLive,
        '--copy-storage-all',
        '--copy-storage-synchronous-writes',
        '--migrate-disks',
        'vda',
        VM,
        uriOf(to),
      ],
      { timeoutMs: 300_000 },
    );
  },
  ferry: async (_from: string, to: string) => {
    await plane.json('vm', 'migrate', VM, '--to', to);
  },
} as const;
type Contender = keyof typeof contenders;
const names = Object.keys(contenders) as Contender[];
const runs: Record<Contender, Run[]> = { virsh: [], ferry: [] };

let at = 'host1';
for (let round = 0; round < ROUNDS; round += 1) {
  for (let index = 0; index < names.length; index += 1) {
    const name = names[(round + index) % names.length] ?? 'ferry';
    const [from, to] = [at, at === 'host1' ? 'host2' : 'host1'];
    await onHost(lab, to, `rm -f ${IMAGE}; virsh -q pool-refresh default; sync`);
    await waitFor(
      'Ferry to see the guest',
      async () => {
        const { host, state } = await place();
        return (host === from && state === 'running') || undefined;
      },
      { timeoutMs: 20_000 },
    );
    const start = performance.now();
    await contenders[name](from, to);
    const totalMs = performance.now() - start;
    at = to;
    runs[name].push({ totalMs, allocated: await allocatedBytes(lab, to, IMAGE) });
    process.stderr.write(
      `round ${round + 1}/${ROUNDS} ${name}: ${Math.round(totalMs)} ms, allocated ` +
        `${Math.round((runs[name].at(-1)?.allocated ?? 0) / 2 ** 20)} MiB\n`,
    );
  }
}

const of = (name: Contender, key: keyof Run): readonly number[] => runs[name].map((run) => run[key]);
const ratio = estimate(pairedRatios(of('ferry', 'totalMs'), of('virsh', 'totalMs')));
const result = makeResult(
  'live-copy',
  {
    pairs: ROUNDS,
    linkMbit: LINK_MBIT,
    dataBytes,
    runs: Object.fromEntries(
      names.map((name) => [
        name,
        { totalMs: spread(of(name, 'totalMs')), allocatedBytes: median(of(name, 'allocated')) },
      ]),
    ),
    ratio,
  },
  { time: { what: 'time of Ferry / of virsh with volumes made by hand, paired', value: ratio.median, atMost: 1.05 } },
);
printResult(result, { json: flags.json });
process.exitCode = exitOf(result);
