// Hosts of other Debian releases: their root file systems. Each is created once from the machine's own package source.
// All labs and checkouts on the machine only read it: hosts write to overlays. The machine's own release needs none.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { run, tryRun } from './child.ts';
import { LabError } from './errors.ts';
import { inNewFolder } from './guest-image.ts';
import type { ImageOptions } from './guest-image.ts';
import { makeDirectories } from './lab.ts';
import { exclusively } from './lock.ts';
import { machineRelease } from './release.ts';
import type { Release } from './release.ts';

const ROOTS = '/var/cache/ferry-lab';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** What the machine has from script/bootstrap, as far as a host runs it itself. */
const PACKAGES = [
  'libvirt-daemon',
  'libvirt-daemon-driver-qemu',
  'libvirt-clients',
  'qemu-system-x86',
  'qemu-utils',
  'iproute2',
  'iputils-ping',
  'nftables',
  'procps',
  'ovmf',
  'swtpm',
  'swtpm-tools',
  'openssh-client',
  'openssh-server',
  'libsasl2-modules',
  'sasl2-bin',
];
/** Packages of their own from Debian 13 on. */
const DRIVERS = [
  'common',
  'driver-storage',
  'driver-network',
  'driver-nodedev',
  'driver-nwfilter',
  'driver-secret',
  'driver-interface',
].map((part) => `libvirt-daemon-${part}`);
const LEFT_OUT = ['man', 'doc', 'locale'].map((folder) => `/usr/share/${folder}/*`);

/** The root file system of the release, made when there is none yet; undefined for the machine's own release. */
export async function ensureRoot(release: Release, options: ImageOptions): Promise<string | undefined> {
  if (release === machineRelease()) return undefined;
  const packages = [...PACKAGES, ...(release === 'bookworm' ? [] : DRIVERS)];
  const key = createHash('sha256')
    .update([...packages, ...LEFT_OUT].join())
    .digest('hex')
    .slice(0, 12);
  const directory = join(ROOTS, `${release}-${key}`);
  if (existsSync(directory)) return directory;
  makeDirectories(ROOTS);
  const { signal, onStep } = options;
  await exclusively(
    `Another lab that makes the root of ${release}`,
    directory,
    { timeoutMs: 900_000, signal },
    async () => {
      if (existsSync(directory)) return;
      // of one that was killed
      for (const left of readdirSync(ROOTS).filter((name) => name.startsWith(`${basename(directory)}.`)))
        rmSync(join(ROOTS, left), { recursive: true, force: true });
      onStep(`making the root of ${release}, once for this machine`);
      await inNewFolder(directory, options, (folder) => makeRoot(release, packages, folder, signal));
    },
  );
  return directory;
}

async function makeRoot(
  release: Release,
  packages: readonly string[],
  folder: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const source = await debianSource(signal);
  const command = [
    // in namespaces of its own, so that whatever ends it leaves no mount and no process
    'unshare',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    '--',
    'mmdebstrap',
    '--quiet',
    '--mode=root',
    '--variant=essential',
    '--architectures=amd64',
    `--include=${packages.join()}`,
    '--dpkgopt=force-unsafe-io',
    ...(await aptSettings(signal)).map((line) => `--aptopt=${line}`),
    ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`),
    `--keyring=${KEYRING}`,
    release,
    folder,
    source,
  ] as const;
  const { code, stderr } = await tryRun(command, { signal, timeoutMs: 840_000 });
  if (code !== 0)
    throw new LabError(
      `The root of ${release} could not be made from the machine's package source ${source}: ` +
        stderr.trim().split('\n').slice(-4).join(' '),
    );
}

/** Where the machine has its Debian packages from. */
async function debianSource(signal: AbortSignal | undefined): Promise<string> {
  const lines = (
    await run(
      [
        'apt-get',
        'indextargets',
        '--format',
        '$(CREATED_BY) $(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)',
        'Identifier: Packages',
      ],
      { signal },
    )
  ).split('\n');
  const found = lines
    .map((line) => /^Packages Debian Debian main (\S+)$/.exec(line)?.[1])
    .find((uri) => uri !== undefined);
  if (found !== undefined) return found;
  throw new LabError(
    'apt knows no source of Debian\'s packages on this machine, or has not read it yet; run "apt-get update" and try again.',
  );
}

/** Proxies and the like: what reaches the machine's package source from here. */
async function aptSettings(signal: AbortSignal | undefined): Promise<readonly string[]> {
  const dump = await run(['apt-config', 'dump'], { signal });
  return dump
    .split('\n')
    .filter((line) => /^Acquire::(?:https?|Check-Valid-Until|Check-Date|Retries)\b.*"[^"]+";$/.test(line));
}
