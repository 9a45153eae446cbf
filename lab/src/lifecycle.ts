// Bringing a whole lab up and taking it down. Everything a lab runs is below one process, the keeper; so `down` is: end
// the keeper, give back the loop devices, remove the folder. It needs no record of what `up` managed to do and works on
// any half of a lab.

import { existsSync, readFileSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run, startDetached, tryRun } from './child.ts';
import { LabError, usageError } from './errors.ts';
import { credentialsOf, makeCredentials } from './credentials.ts';
import type { Credentials } from './credentials.ts';
import { ensureGuestImage } from './guest-image.ts';
import { createHostFiles, libvirtUri, planHosts, powerOn, sharedFolders, startHost, virsh } from './host.ts';
import type { HostSystem } from './host.ts';
import {
  MAX_HOSTS,
  hostInit,
  labPaths,
  listHosts,
  makeDirectories,
  processOfPidFile,
  readLab,
  runningKeeper,
  subnetOf,
  writeDocument,
} from './lab.ts';
import type { Accelerator, HostDocument, LabDocument, LabRef } from './lab.ts';
import { withLabLock } from './lock.ts';
import { connectSwitch, removeUplinks } from './network.ts';
import { machineRelease, oldestOf } from './release.ts';
import type { Release } from './release.ts';
import { ensureRoot } from './release-root.ts';
import { MARKER, killAndWait, markedProcesses } from './processes.ts';
import { waitFor } from './wait.ts';

const KEEPER_SCRIPT = join(import.meta.dirname, '..', 'host', 'keeper.sh');

export type UpOptions = {
  /** How many hosts, host1 to hostN; 3 when absent. */
  readonly hosts?: number;
  /** The Debian release of each host that runs another than the machine, by the host's name. */
  readonly releases?: Readonly<Record<string, Release>>;
  /** The rate of each host's link in Mbit/s; unlimited when absent. */
  readonly linkMbit?: number;
  readonly signal?: AbortSignal | undefined;
  /** Called with one line per step. */
  readonly onStep?: (step: string) => void;
};

export type HostStatus = {
  readonly name: string;
  readonly address: string;
  readonly address6: string;
  readonly uri: string;
  readonly release: Release;
  readonly state: 'up' | 'off';
  readonly link: 'up' | 'down';
  /** Absent when the link is not limited. */
  readonly rateMbit?: number;
};

export type LabStatus = {
  readonly lab: string;
  /** `partial`: its start was interrupted or its processes were killed; `up` or `down` puts it right. */
  readonly state: 'up' | 'down' | 'partial';
  readonly directory: string;
  readonly subnet?: string;
  readonly accelerator?: Accelerator;
  /** What a client of the hosts proves itself with. */
  readonly credentials?: Credentials;
  readonly hosts: readonly HostStatus[];
};

/**
 * Brings the lab up, or leaves it as it is when it is up with as many hosts. Half a lab is removed first. When it fails
 * or is aborted, nothing is left behind.
 */
export async function labUp(lab: LabRef, options: UpOptions = {}): Promise<LabStatus> {
  return await withLabLock(
    lab,
    async () => {
      const document = readLab(lab);
      if (document?.ready === true && runningKeeper(lab) !== undefined) {
        if (options.hosts !== undefined && options.hosts !== document.hostCount)
          throw new LabError(
            `The lab "${lab.name}" is up with ${document.hostCount} hosts; run "script/lab down" first, ` +
              'or choose another lab with --lab NAME.',
          );
        assertReleases(lab, options.releases ?? {});
        for (const host of listHosts(lab)) await powerOn(lab, host.name, options.signal);
        return labStatus(lab);
      }
      await removeLab(lab);
      try {
        await create(lab, options);
      } catch (error) {
        // without the caller's signal: it is what ended the start
        await removeLab(lab);
        throw error;
      }
      return labStatus(lab);
    },
    options.signal,
  );
}

/** A lab that is up keeps the releases of its hosts. */
function assertReleases(lab: LabRef, wanted: Readonly<Record<string, Release>>): void {
  for (const [name, release] of Object.entries(wanted)) {
    const has = listHosts(lab).find((host) => host.name === name)?.release;
    if (has !== release)
      throw new LabError(
        `The lab "${lab.name}" is up, and its ${name} ` +
          `${has === undefined ? 'does not exist' : `runs ${has}`}; run "script/lab down" first, or choose ` +
          'another lab with --lab NAME.',
      );
  }
}

/** What each host runs, with the roots that it takes. */
async function planSystems(
  count: number,
  releases: Readonly<Record<string, Release>>,
  options: UpOptions,
): Promise<readonly HostSystem[]> {
  const names = Array.from({ length: count }, (_, i) => `host${i + 1}`);
  const unknown = Object.keys(releases).find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw usageError(`--release names "${unknown}", but the lab's hosts are ${names.join(', ')}.`);
  const roots = new Map<Release, string | undefined>();
  for (const release of new Set(Object.values(releases)))
    roots.set(
      release,
      await ensureRoot(release, { signal: options.signal, onStep: options.onStep ?? (() => undefined) }),
    );
  return names.map((name) => {
    const release = releases[name] ?? machineRelease();
    return { release, root: roots.get(release) };
  });
}

/**
 * What the oldest QEMU of the lab makes of "q35": newer ones know the machine types of older ones, and not the other
 * way round.
 */
async function commonMachineType(
  lab: LabRef,
  hosts: readonly HostDocument[],
  signal: AbortSignal | undefined,
): Promise<string> {
  const oldest = oldestOf(hosts.map(({ release }) => release));
  const host = hosts.find(({ release }) => release === oldest);
  if (host === undefined || hosts.every(({ release }) => release === oldest)) return 'q35';
  const capabilities = await virsh(lab, host.name, ['domcapabilities', '--virttype', 'qemu', '--machine', 'q35'], {
    signal,
  });
  const type = /<machine>([^<]+)<\/machine>/.exec(capabilities)?.[1];
  if (type === undefined) throw new LabError(`The QEMU of ${host.name} does not report its machine type for q35.`);
  return type;
}

async function create(lab: LabRef, options: UpOptions): Promise<void> {
  const { signal, onStep = () => undefined } = options;
  const count = options.hosts ?? 3;
  if (!Number.isSafeInteger(count) || count < 1 || count > MAX_HOSTS)
    throw usageError(`A lab has 1 to ${MAX_HOSTS} hosts, not ${count}.`);
  const paths = labPaths(lab);
  makeDirectories(lab.directory, ...sharedFolders(lab));
  const document: LabDocument = {
    version: 1,
    ready: false,
    subnetNumber: 0,
    hostCount: count,
    keeper: undefined,
    imageDirectory: undefined,
    accelerator: undefined,
    machineType: 'q35',
  };
  writeDocument(paths.document, document);
  const systems = await planSystems(count, options.releases ?? {}, options);
  const image = await ensureGuestImage({ signal, onStep });

  const launcher = await startDetached(
    ['unshare', '--mount', '--net', '--pid', '--fork', '--kill-child', '--', 'bash', KEEPER_SCRIPT, lab.directory],
    paths.keeperLog,
    { [MARKER]: lab.directory },
  );
  let launcherEnded = false;
  void launcher.ended.then(() => (launcherEnded = true));
  const keeper = await waitFor(
    'The start of the lab',
    () => {
      if (launcherEnded)
        throw new LabError(`The lab "${lab.name}" did not start: ${readFileSync(paths.keeperLog, 'utf8').trim()}`);
      return processOfPidFile(paths.keeperPid);
    },
    { timeoutMs: 20_000, intervalMs: 5, signal },
  );
  const subnetNumber = await connectSwitch(lab, keeper, signal);
  const running: LabDocument = {
    ...document,
    keeper,
    subnetNumber,
    imageDirectory: image.directory,
    accelerator: image.accelerator,
  };
  writeDocument(paths.document, running);

  const hosts = planHosts(subnetNumber, systems, options.linkMbit);
  for (const host of hosts) createHostFiles(lab, host, hosts);
  await makeCredentials(lab, hosts);
  onStep(`starting ${count} host${count === 1 ? '' : 's'} on ${subnetOf(subnetNumber).cidr}`);
  const outcomes = await Promise.allSettled(
    hosts.map((host) => startHost({ lab, keeper, imageDirectory: image.directory }, host, signal)),
  );
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  writeDocument(paths.document, { ...running, machineType: await commonMachineType(lab, hosts, signal), ready: true });
}

/** Ends the lab and removes everything of it. Fine when there is none. */
export async function labDown(lab: LabRef, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
  await withLabLock(lab, () => removeLab(lab), options.signal);
}

async function removeLab(lab: LabRef): Promise<void> {
  // the keeper first: the kernel then ends all below it before it lets the keeper itself go
  const keeper = runningKeeper(lab);
  if (keeper !== undefined) await killAndWait([keeper]);
  // looked up again and again: a process may have been about to start another
  await waitFor(
    `The end of all processes of the lab "${lab.name}"`,
    async () => {
      const left = markedProcesses(lab.directory).filter((each) => each.pid !== process.pid);
      if (left.length === 0) return true;
      await killAndWait(left);
      return undefined;
    },
    { timeoutMs: 30_000 },
  );
  await removeUplinks(lab);
  await detachLoops(lab.directory);
  const mounted = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path.startsWith(`${lab.directory}/`));
  // removing files through a mount would remove someone else's
  if (mounted.length > 0)
    throw new LabError(
      `${mounted.join(', ')} is mounted inside the lab's folder, which no lab does; unmount it and run "script/lab down" again.`,
    );
  rmSync(lab.directory, { recursive: true, force: true });
  const base = dirname(lab.directory);
  try {
    if (existsSync(base) && readdirSync(base).length === 0) rmdirSync(base);
  } catch (error) {
    // another lab has just started, or has ended and removed it
    if (!(error instanceof Error && 'code' in error && (error.code === 'ENOTEMPTY' || error.code === 'ENOENT')))
      throw error;
  }
}

type LoopDevice = { readonly name: string; readonly 'back-file': string | null };

async function loopDevicesBelow(directory: string): Promise<readonly string[]> {
  const result = await tryRun(['losetup', '--list', '--json', '--output', 'NAME,BACK-FILE']);
  if (result.stdout.trim() === '') return [];
  const devices = (JSON.parse(result.stdout) as { readonly loopdevices: readonly LoopDevice[] }).loopdevices;
  return devices.filter((each) => each['back-file']?.startsWith(`${directory}/`) === true).map((each) => each.name);
}

async function detachLoops(directory: string): Promise<void> {
  await waitFor(
    "The release of the lab's loop devices",
    async () => {
      const devices = await loopDevicesBelow(directory);
      for (const device of devices) await run(['losetup', '--detach', device]);
      return devices.length === 0 ? true : undefined;
    },
    { timeoutMs: 10_000 },
  );
}

/** What the lab is now, read from the kernel; it does not ask libvirt. */
export function labStatus(lab: LabRef): LabStatus {
  const document = readLab(lab);
  if (document === undefined)
    return {
      lab: lab.name,
      state: existsSync(lab.directory) ? 'partial' : 'down',
      directory: lab.directory,
      hosts: [],
    };
  const whole = document.ready && runningKeeper(lab) !== undefined;
  const hosts = listHosts(lab).map((host): HostStatus => {
    const status = {
      name: host.name,
      address: host.address,
      address6: host.address6,
      uri: libvirtUri(host),
      release: host.release,
      state: hostInit(lab, host.name) === undefined ? ('off' as const) : ('up' as const),
      link: host.linkUp ? ('up' as const) : ('down' as const),
    };
    return host.rateMbit === undefined ? status : { ...status, rateMbit: host.rateMbit };
  });
  return {
    lab: lab.name,
    state: whole ? 'up' : 'partial',
    directory: lab.directory,
    ...(document.subnetNumber === 0 ? {} : { subnet: subnetOf(document.subnetNumber).cidr }),
    ...(document.accelerator === undefined ? {} : { accelerator: document.accelerator }),
    credentials: credentialsOf(lab),
    hosts,
  };
}
