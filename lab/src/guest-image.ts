// The guests' kernel and initial file system, built once and kept in the checkout's .cache/lab. The kernel is Debian's
// cloud kernel, unpacked from its package and never installed; the initial file system holds the virtio modules and one
// static program of ours. It also finds out whether a guest really boots under KVM here. No disk images: those belong
// to a VM.

import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { basename, join } from 'node:path';
import { run, tryRun } from './child.ts';
import { cpioArchive } from './cpio.ts';
import type { CpioEntry } from './cpio.ts';
import { LabError } from './errors.ts';
import { makeDirectories, readDocument, writeDocument } from './lab.ts';
import type { Accelerator } from './lab.ts';

export const CACHE = join(import.meta.dirname, '..', '..', '.cache', 'lab');
const PROGRAM = join(import.meta.dirname, '..', 'guest', 'ferry-guest.c');
const TLB_FIX = join(import.meta.dirname, '..', 'host', 'tlb-fix.c');
const KERNEL_PACKAGE = 'linux-image-cloud-amd64';
const MODULES = ['virtio_pci', 'virtio_net', 'virtio_blk', 'virtio_balloon', 'evdev', 'button', 'pvpanic_mmio'];
const KVM_BOOT_LIMIT_MS = 15_000;

/**
 * `directory` holds `vmlinuz` and `initrd`, and what the hosts' QEMUs need to emulate them in a migration
 * (host/tlb-fix.c).
 */
export type GuestImage = { readonly directory: string; readonly accelerator: Accelerator };

export type ImageOptions = { readonly signal?: AbortSignal | undefined; readonly onStep: (step: string) => void };

export async function ensureGuestImage(options: ImageOptions): Promise<GuestImage> {
  if (process.arch !== 'x64')
    throw new LabError(`The lab's guests are for x86_64 machines; this one is ${process.arch}.`);
  makeDirectories(CACHE);
  const kernel = await ensureKernel(options);
  const version = kernelVersion(kernel);
  const key = createHash('sha256')
    .update(readFileSync(PROGRAM))
    .update(readFileSync(TLB_FIX))
    .update(version)
    .update(MODULES.join())
    .digest('hex')
    .slice(0, 12);
  const directory = join(CACHE, `guest-${key}`);
  if (!existsSync(directory))
    await inNewFolder(directory, options, (folder) => buildImage(folder, kernel, version, options));
  return { directory, accelerator: await findAccelerator(directory, key, options) };
}

/**
 * Fills a temporary folder and gives it its name when it is complete; when another process was faster, its folder
 * stays.
 */
export async function inNewFolder(
  directory: string,
  { signal }: ImageOptions,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  const temporary = `${directory}.${randomUUID()}.new`;
  makeDirectories(temporary);
  try {
    await fill(temporary);
    signal?.throwIfAborted();
    if (!existsSync(directory)) renameSync(temporary, directory);
  } catch (error) {
    if (!existsSync(directory)) throw error;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/**
 * The unpacked kernel package; one that is in the cache is used as it is, so that a lab also starts without a
 * network.
 */
export async function ensureKernel(options: ImageOptions): Promise<string> {
  const directory = join(CACHE, 'kernel');
  if (existsSync(directory)) return directory;
  const { signal, onStep } = options;
  onStep('fetching the guest kernel');
  await inNewFolder(directory, options, async (folder) => {
    await unpackPackage(folder, KERNEL_PACKAGE, signal, async () => {
      const depends = await tryRun(['apt-cache', 'depends', KERNEL_PACKAGE], { signal });
      return /Depends: (linux-image-[\w.+-]+)/.exec(depends.stdout)?.[1];
    });
    await run(['depmod', '-b', modulesBase(folder), kernelVersion(folder)], { signal });
  });
  return directory;
}

/**
 * Fetches a Debian package and unpacks it into the folder. `find`: the name to ask for, where that is only known from
 * the package lists.
 */
export async function unpackPackage(
  folder: string,
  name: string,
  signal: AbortSignal | undefined,
  find = async (): Promise<string | undefined> => name,
): Promise<void> {
  const download = async (): Promise<boolean> => {
    const real = await find();
    if (real === undefined) return false;
    const command = [
      'env',
      '--chdir',
      folder,
      'apt-get',
      '-q',
      '-o',
      'APT::Sandbox::User=root',
      'download',
      real,
    ] as const;
    return (await tryRun(command, { signal, timeoutMs: 600_000 })).code === 0;
  };
  if (!(await download())) {
    await run(['apt-get', '-q', 'update'], { signal, timeoutMs: 600_000 });
    if (!(await download()))
      throw new LabError(`apt could not download ${name} for guests; check the machine's package sources.`);
  }
  const archive = readdirSync(folder).find((each) => each.endsWith('.deb'));
  if (archive === undefined) throw new LabError(`apt downloaded no package ${name}.`);
  await run(['dpkg', '--extract', join(folder, archive), folder], { signal, timeoutMs: 120_000 });
  rmSync(join(folder, archive));
}

/** Where lib/modules is: newer packages have it below usr. */
function modulesBase(kernel: string): string {
  return existsSync(join(kernel, 'lib', 'modules')) ? kernel : join(kernel, 'usr');
}

function kernelVersion(kernel: string): string {
  const version = readdirSync(join(modulesBase(kernel), 'lib', 'modules'))[0];
  if (version === undefined) throw new LabError(`${kernel} holds no kernel; remove it and run "script/lab up" again.`);
  return version;
}

async function buildImage(
  folder: string,
  kernel: string,
  version: string,
  { signal, onStep }: ImageOptions,
): Promise<void> {
  onStep('building the guest image');
  const program = join(folder, 'ferry-guest');
  await run(['gcc', '-std=gnu17', '-O2', '-Wall', '-static', '-s', '-o', program, PROGRAM], { signal });
  await run(
    ['gcc', '-std=gnu17', '-O2', '-Wall', '-shared', '-fPIC', '-s', '-o', join(folder, 'tlb-fix.so'), TLB_FIX],
    { signal },
  );
  const moduleEntries = await modulesIn(folder, kernel, [], signal);
  // not compressed: an emulated guest unpacks slower than QEMU copies
  writeFileSync(
    join(folder, 'initrd'),
    cpioArchive([
      { path: 'dev' },
      { path: 'proc' },
      { path: 'sys' },
      { path: 'modules' },
      { path: 'init', content: readFileSync(program), executable: true },
      ...moduleEntries,
    ]),
  );
  rmSync(program);
  const boot = join(kernel, 'boot');
  writeFileSync(join(folder, 'vmlinuz'), readFileSync(join(boot, `vmlinuz-${version}`)));
}

/** The modules of every guest and `more`, with what they need, in the order in which the guest has to load them. */
export async function modulesIn(
  folder: string,
  kernel: string,
  more: readonly string[],
  signal: AbortSignal | undefined,
): Promise<readonly CpioEntry[]> {
  const modules = new Set<string>();
  for (const module of [...MODULES, ...more]) {
    const shown = await run(
      ['modprobe', '-d', modulesBase(kernel), '-S', kernelVersion(kernel), '--show-depends', module],
      { signal },
    );
    for (const [, path] of shown.matchAll(/^insmod (\S+)/gm)) if (path !== undefined) modules.add(path);
  }
  return await Promise.all(
    [...modules].map(async (path, index) => ({
      path: `modules/${String(index).padStart(2, '0')}-${basename(path).replace(/\.xz$/, '')}`,
      content: await moduleContent(path, folder, signal),
    })),
  );
}

async function moduleContent(path: string, folder: string, signal: AbortSignal | undefined): Promise<Buffer> {
  if (!path.endsWith('.xz')) return readFileSync(path);
  const copy = join(folder, basename(path));
  writeFileSync(copy, readFileSync(path));
  await run(['xz', '--decompress', copy], { signal });
  const plain = copy.slice(0, -'.xz'.length);
  const content = readFileSync(plain);
  rmSync(plain);
  return content;
}

type KvmProof = { readonly machine: string; readonly boots: boolean };

/** KVM where a guest has really reached its first line under it on this machine since it started, TCG elsewhere. */
async function findAccelerator(image: string, key: string, { signal, onStep }: ImageOptions): Promise<Accelerator> {
  if (!existsSync('/dev/kvm')) return 'tcg';
  const qemu = await run(['qemu-system-x86_64', '--version'], { signal });
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  const machine = createHash('sha256')
    .update([key, qemu, bootId, release(), cpus()[0]?.model].join('\n'))
    .digest('hex');
  const proofFile = join(CACHE, 'kvm.json');
  const known = readDocument(proofFile) as KvmProof | undefined;
  if (known?.machine === machine) return known.boots ? 'kvm' : 'tcg';
  onStep('trying whether guests boot with KVM');
  const boots = await bootsWithKvm(image, signal);
  writeDocument(proofFile, { machine, boots } satisfies KvmProof);
  return boots ? 'kvm' : 'tcg';
}

async function bootsWithKvm(image: string, signal: AbortSignal | undefined): Promise<boolean> {
  const log = join(CACHE, `kvm-boot.${process.pid}.log`);
  const command = [
    // the guest counts without end: it is killed when it has printed enough, after the timeout, or with this process
    'setpriv',
    '--pdeathsig',
    'KILL',
    '--',
    'qemu-system-x86_64',
    '-accel',
    'kvm',
    '-cpu',
    'host',
    '-m',
    '128',
    '-nodefaults',
    '-no-reboot',
    '-display',
    'none',
    '-serial',
    `file:${log}`,
    '-kernel',
    join(image, 'vmlinuz'),
    '-initrd',
    join(image, 'initrd'),
    '-append',
    'console=ttyS0 panic=-1',
  ] as const;
  const stop = new AbortController();
  const watch = setInterval(() => {
    if (booted(log)) stop.abort();
  }, 50);
  try {
    await tryRun(command, {
      signal: AbortSignal.any([stop.signal, ...(signal === undefined ? [] : [signal])]),
      timeoutMs: KVM_BOOT_LIMIT_MS,
    });
  } catch {
    signal?.throwIfAborted();
  } finally {
    clearInterval(watch);
  }
  const result = booted(log);
  rmSync(log, { force: true });
  return result;
}

function booted(log: string): boolean {
  return existsSync(log) && /^tick 2 /m.test(readFileSync(log, 'latin1'));
}
