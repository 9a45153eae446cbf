// script/bench traces DIR [NAME...]: real migrations by virsh, each recorded by libvirt's figures (job-trace.ts). The
// files in packages/simulation/src/traces, which the tests of what a policy decides read, were made by it. It
// measures nothing and compares nothing.
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { changeRate, temporaryLab, vmCreate, vmDelete, type DiskKind } from '@ferry/lab';
import { BANDWIDTH, LINK_MBIT } from './converge-grid.ts';
import { traceJob, traceText } from './job-trace.ts';
import { optionsOf, refuse } from './options.ts';
import { migrateLive } from './virsh.ts';

interface Story {
  readonly what: string;
  readonly workload: string;
  readonly disk?: { readonly kind: DiskKind; readonly mib: number };
  readonly flags?: readonly string[];
  /** Given up then, s. */
  readonly abortAfter?: number;
  /** The link's rate in Mbit/s, from this second on. */
  readonly link?: readonly { readonly afterSeconds: number; readonly mbit: number }[];
}

/** Short ones: 128 MiB go over in 4 s. */
const stories: Readonly<Record<string, Story>> = {
  converging: { what: 'dirties at a quarter of the link', workload: 'sector:V=128,W=64,D=8' },
  'slowly-converging': {
    what: 'dirties at 0.8 of the link, passes become shorter slowly',
    workload: 'sector:V=128,W=112,D=25.6',
    abortAfter: 36,
  },
  'not-converging': {
    what: 'dirties at twice the link, all over its memory',
    workload: 'sector:V=128,W=112,D=64',
    abortAfter: 25,
  },
  'hot-set': {
    what: 'a hot set that takes half a second on the link, a cold one at a tenth of the link',
    workload: 'sector:V=128,W=16,D=64,C=96,E=3.2',
    abortAfter: 20,
  },
  throttled: {
    what: 'dirties at 1.5 times the link; auto-converge',
    workload: 'sector:V=128,W=64,D=48',
    flags: ['--auto-converge'],
    abortAfter: 36,
  },
  'post-copy': {
    what: 'dirties at twice the link; post-copy after 9 s',
    workload: 'sector:V=128,W=112,D=64',
    flags: ['--postcopy', '--timeout', '9', '--timeout-postcopy'],
  },
  'slow-link': {
    what: 'dirties at a quarter of the link, which falls to a tenth for 10 s',
    workload: 'sector:V=128,W=64,D=8',
    link: [
      { afterSeconds: 3, mbit: LINK_MBIT / 10 },
      { afterSeconds: 13, mbit: LINK_MBIT },
    ],
  },
  'disk-never-ready': {
    what: 'a Linux guest writes to its disk, which is copied, about 0.2 MiB/s; the link carries 0.12',
    workload: 'disk',
    disk: { kind: 'local', mib: 4 },
    flags: ['--copy-storage-all'],
    abortAfter: 36,
    link: [
      { afterSeconds: 0, mbit: 1 },
      { afterSeconds: 36, mbit: LINK_MBIT },
    ],
  },
  'disk-copy': {
    what: 'a Linux guest that writes to its disk, which is copied',
    workload: 'disk',
    disk: { kind: 'local', mib: 256 },
    flags: ['--copy-storage-all'],
  },
};

const {
  positionals: [directory, ...wanted],
} = optionsOf({ allowPositionals: true });
const unknown = wanted.filter((name) => !(name in stories));
if (directory === undefined || unknown.length > 0)
  refuse(`use: script/bench traces DIR [NAME...]; NAME is one of ${Object.keys(stories).join(', ')}.`);
const folder = directory;
mkdirSync(folder, { recursive: true });
const execute = promisify(execFile);
await using temporary = await temporaryLab({ hosts: 2, linkMbit: LINK_MBIT });
const { lab } = temporary;
const [source, target] = temporary.status.hosts;
if (source === undefined || target === undefined) throw new Error('the lab has no two hosts');
const [from, to] = [source.uri, target.uri];

async function record(name: string, { what, workload, disk, flags = [], abortAfter, link = [] }: Story): Promise<void> {
  await vmCreate(lab, {
    name,
    host: source?.name ?? '',
    workload,
    ...(disk === undefined ? {} : { disk: disk.kind, diskMib: disk.mib }),
  });
  const over = new AbortController();
  const trace = traceJob(from, name, over.signal);
  const later = (seconds: number, act: () => Promise<unknown>): NodeJS.Timeout =>
    setTimeout(
      () => void act().catch((error: unknown) => process.stderr.write(`${name}: ${String(error)}\n`)),
      seconds * 1000,
    );
  const timers = [
    ...(abortAfter === undefined ? [] : [later(abortAfter, () => execute('virsh', ['-c', from, 'domjobabort', name]))]),
    ...link.map(({ afterSeconds, mbit }) => later(afterSeconds, () => changeRate(lab, 'host1', mbit))),
  ];
  try {
    const command = ['-c', from, ...migrateLive, '--bandwidth', String(BANDWIDTH), ...flags, name, to];
    const outcome = await execute('virsh', command, { timeout: 120_000 }).then(
      () => 'succeeded',
      () => 'failed',
    );
    over.abort();
    const samples = await trace;
    writeFileSync(
      join(folder, `${name}.jsonl`),
      traceText(
        {
          about: what,
          workload,
          flags: flags.join(' '),
          bandwidthMiBPerSecond: BANDWIDTH,
          downtimeMs: 300,
          ...(abortAfter === undefined || outcome === 'succeeded' ? {} : { abortedAfterMs: abortAfter * 1000 }),
          outcome,
        },
        samples,
      ),
    );
    process.stderr.write(`${name}: ${outcome}, ${samples.length} samples\n`);
  } finally {
    over.abort();
    timers.forEach(clearTimeout);
    await vmDelete(lab, name);
  }
}

for (const [name, story] of Object.entries(stories))
  if (wanted.length === 0 || wanted.includes(name)) await record(name, story);
