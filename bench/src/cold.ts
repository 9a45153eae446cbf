// script/bench cold: moving the disk of a VM that is shut off: 10 GiB with 5 % data in scattered extents, over a link
// of 1 Gbit/s. Ferry against what one would run instead: virsh with a paused guest and a volume that libvirt makes,
// rsync -S, qemu-img convert over SSH. Bytes on the wire, bytes allocated on the target, time; qcow2, and raw in the
// long run.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryLab, virsh, vmCreate, waitFor } from '@ferry/lab';
import { controlPlane } from '../../test/control-plane.ts';
import { optionsOf, usual } from './options.ts';
import { estimate, exitOf, makeResult, median, pairedRatios, printResult, spread } from './report.ts';
import { allocatedBytes, IMAGES, onHost, receivedBytes, writeScatteredImage } from './scattered-disk.ts';

const { values: flags } = optionsOf({ options: usual });
const FORMATS = flags.quick ? (['qcow2'] as const) : (['qcow2', 'raw'] as const);
const ROUNDS = flags.quick ? 1 : 3;
const LINK_MBIT = 1000;
const VM = 'cold';
const IMAGE = `${IMAGES}/${VM}.qcow2`;
const SSH = 'ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR';

interface Run {
  readonly totalMs: number;
  /**
   * Until the copy is on the target's disk, too, and the source could go: rsync and qemu-img leave that to the page
   * cache.
   */
  readonly safeMs: number;
  readonly wireBytes: number;
  readonly allocated: number;
}

await using temporary = await temporaryLab({ hosts: 2, linkMbit: LINK_MBIT });
const { lab } = temporary;
await using plane = await controlPlane();
for (const { uri, name } of temporary.status.hosts) await plane.json('host', 'add', uri, '--name', name);
const uriOf = (name: string): string => temporary.status.hosts.find((host) => host.name === name)?.uri ?? '';
await vmCreate(lab, { name: VM, host: 'host1', disk: 'local', until: 'defined' });
const definition = await virsh(lab, 'host1', ['dumpxml', '--inactive', VM]);
const seed = join(lab.directory, 'scattered.raw');
const dataBytes = await writeScatteredImage(seed);

const contenders = {
  ferry: async () => {
    await plane.json('vm', 'migrate', VM, '--to', 'host2');
  },
  virsh: async () => {
    await virsh(lab, 'host1', ['start', '--paused', VM]);
    await virsh(
      lab,
      'host1',
      ['migrate', '--live', '--p2p', '--persistent', '--undefinesource', '--copy-storage-all', VM, uriOf('host2')],
      { timeoutMs: 600_000 },
    );
    await virsh(lab, 'host2', ['destroy', VM]);
  },
  rsync: async () => {
    await onHost(lab, 'host1', `rsync -S --whole-file -e '${SSH}' ${IMAGE} root@host2:${IMAGE}`, 600_000);
    await moveDefinition();
  },
  qemuImg: async (format: string) => {
    await onHost(
      lab,
      'host1',
      `qemu-img convert -f ${format} -O ${format} ${IMAGE} ` +
        `'json:{"driver":"ssh","host":"host2","user":"root","path":"${IMAGE}","host-key-check":{"mode":"none"}}'`,
      600_000,
    ).catch(async () => {
      // the ssh driver creates by URI only
      await onHost(
        lab,
        'host1',
        `qemu-img convert -f ${format} -O ${format} ${IMAGE} 'ssh://root@host2${IMAGE}?host_key_check=no'`,
        600_000,
      );
    });
    await moveDefinition();
  },
} as const;
type Contender = keyof typeof contenders;
const names = Object.keys(contenders) as Contender[];

/** What the tools that only copy leave to the operator. */
async function moveDefinition(): Promise<void> {
  await onHost(
    lab,
    'host1',
    `virsh -q dumpxml --inactive --security-info ${VM} > /root/${VM}.xml && ${SSH} root@host2 'cat > ` +
      `/root/${VM}.xml && virsh -q define /root/${VM}.xml' < /root/${VM}.xml && virsh -q undefine ${VM}`,
  );
}

/** The VM and its disk on host1, nothing of it on host2. */
async function reset(format: string): Promise<void> {
  await onHost(
    lab,
    'host2',
    `virsh -q undefine ${VM} >/dev/null 2>&1 || true; rm -f ${IMAGE}; virsh -q pool-refresh default`,
  );
  await onHost(
    lab,
    'host1',
    `test -s ${IMAGE}; cat > /root/${VM}.xml ` +
      `<<'END'\n${definition.replace("type='qcow2'", `type='${format}'`)}\nEND\nvirsh -q define ` +
      `/root/${VM}.xml; virsh -q pool-refresh default; sync`,
  );
  await waitFor(
    'Ferry to see it',
    async () => {
      const { host, state, instances } = await plane.json<{
        host: string;
        state: string;
        instances: readonly unknown[];
      }>('vm', 'show', VM);
      return (host === 'host1' && state === 'shut-off' && instances.length === 1) || undefined;
    },
    { timeoutMs: 15_000 },
  );
}

const runs: Record<string, Record<Contender, Run[]>> = {};
let sourceBytes = 0;
for (const format of FORMATS) {
  const mine: Record<Contender, Run[]> = { ferry: [], virsh: [], rsync: [], qemuImg: [] };
  runs[format] = mine;
  await onHost(lab, 'host1', `rm -f ${IMAGE}; qemu-img convert -f raw -O ${format} ${seed} ${IMAGE}`);
  sourceBytes = await allocatedBytes(lab, 'host1', IMAGE);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (let index = 0; index < names.length; index += 1) {
      const name = names[(round + index) % names.length] ?? 'ferry';
      await reset(format);
      const before = await receivedBytes(lab, 'host2');
      const start = performance.now();
      await contenders[name](format);
      const totalMs = performance.now() - start;
      await onHost(lab, 'host2', `sync ${IMAGE}`);
      const safeMs = performance.now() - start;
      const run = {
        totalMs,
        safeMs,
        wireBytes: (await receivedBytes(lab, 'host2')) - before,
        allocated: await allocatedBytes(lab, 'host2', IMAGE),
      };
      await onHost(lab, 'host1', `qemu-img compare -q -f ${format} -F raw ${IMAGE} ${seed}`);
      mine[name].push(run);
      process.stderr.write(
        `${format} round ${round + 1}/${ROUNDS} ${name}: ${Math.round(totalMs)} ms, on disk ` +
          `${Math.round(safeMs)} ms, wire ${mib(run.wireBytes)} MiB, allocated ${mib(run.allocated)} MiB\n`,
      );
    }
  }
}
rmSync(seed, { force: true });

function mib(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

const of = (format: string, name: Contender, key: keyof Run): readonly number[] =>
  (runs[format]?.[name] ?? []).map((each) => each[key]);
const others = names.filter((name) => name !== 'ferry');
const ratios = Object.fromEntries(
  FORMATS.map((format) => [
    format,
    Object.fromEntries(
      others.map((name) => [name, estimate(pairedRatios(of(format, 'ferry', 'totalMs'), of(format, name, 'totalMs')))]),
    ),
  ]),
);
const safeRatios = Object.fromEntries(
  FORMATS.map((format) => [
    format,
    Object.fromEntries(
      others.map((name) => [name, estimate(pairedRatios(of(format, 'ferry', 'safeMs'), of(format, name, 'safeMs')))]),
    ),
  ]),
);
const worst = (pick: (format: string) => number): number => Math.max(...FORMATS.map(pick));
const result = makeResult(
  'cold',
  {
    rounds: ROUNDS,
    linkMbit: LINK_MBIT,
    dataBytes,
    sourceBytes,
    runs: Object.fromEntries(
      FORMATS.map((format) => [
        format,
        Object.fromEntries(
          names.map((name) => [
            name,
            {
              totalMs: spread(of(format, name, 'totalMs')),
              safeMs: spread(of(format, name, 'safeMs')),
              wireBytes: median(of(format, name, 'wireBytes')),
              allocatedBytes: median(of(format, name, 'allocated')),
            },
          ]),
        ),
      ]),
    ),
    ratios,
    safeRatios,
  },
  {
    wire: {
      what: 'bytes on the wire / data',
      value: worst((format) => median(of(format, 'ferry', 'wireBytes'))) / dataBytes,
      atMost: 1.1,
    },
    allocated: {
      what: 'allocated on the target / on the source',
      value: worst((format) => median(of(format, 'ferry', 'allocated'))) / sourceBytes,
      atMost: 1.1,
    },
    fastest: {
      what: 'time of Ferry / of the fastest other',
      value: worst((format) => Math.max(...others.map((name) => ratios[format]?.[name]?.median ?? Number.NaN))),
      atMost: 1,
    },
  },
);
printResult(result, { json: flags.json });
process.exitCode = exitOf(result);
