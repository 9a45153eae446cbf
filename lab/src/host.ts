// One lab host: its files, its power and its commands. A host is a network, mount, UTS and PID namespace around a
// libvirtd, held by its PID 1 (host/init.sh); without power nothing of it exists but its folder. Networking is in
// network.ts, guests are in vm.ts.

import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, startDetached } from './child.ts';
import { LabError } from './errors.ts';
import {
  FIRST_HOST_OCTET,
  hostInit,
  hostPaths,
  labPaths,
  listHosts,
  makeDirectories,
  processOfPidFile,
  requireHost,
  requireInit,
  requireLab,
  subnetOf,
  writeDocument,
} from './lab.ts';
import type { HostDocument, LabRef, RunningLab } from './lab.ts';
import { plugIn, setLink, setRate, unplug } from './network.ts';
import { MARKER, killAndWait } from './processes.ts';
import type { ProcessIdentity } from './processes.ts';
import { losesPages } from './release.ts';
import { waitFor } from './wait.ts';

const HOST_SCRIPT = join(import.meta.dirname, '..', 'host', 'init.sh');
export type HostSystem = Pick<HostDocument, 'release' | 'root'>;

const OVERLAYS = ['etc', 'root', 'var/lib', 'var/log', 'var/cache'];

export function libvirtUri(host: HostDocument): string {
  return `qemu+tcp://${host.address}/system`;
}

export function planHosts(
  subnetNumber: number,
  systems: readonly HostSystem[],
  rateMbit: number | undefined,
): readonly HostDocument[] {
  return systems.map((system, i) => ({
    name: `host${i + 1}`,
    index: i + 1,
    address: subnetOf(subnetNumber).address(FIRST_HOST_OCTET + i),
    address6: subnetOf(subnetNumber).address6(FIRST_HOST_OCTET + i),
    uuid: randomUUID(),
    ...system,
    linkUp: true,
    rateMbit,
  }));
}

/** Writes a host's folder: its own /etc over its system's, the folders for its libvirt. The host must have no power. */
export function createHostFiles(lab: LabRef, host: HostDocument, hosts: readonly HostDocument[]): void {
  const paths = hostPaths(lab, host.name);
  const libvirtEtc = join(paths.etc, 'libvirt');
  makeDirectories(paths.libvirt, join(libvirtEtc, 'storage', 'autostart'));
  for (const overlay of OVERLAYS)
    makeDirectories(join(paths.directory, 'overlay', overlay), join(paths.directory, 'work', overlay));
  makeDirectories(join(paths.directory, 'work', 'system'), join(paths.directory, 'system'));
  writeFileSync(join(paths.etc, 'hostname'), `${host.name}\n`);
  writeFileSync(
    join(paths.etc, 'hosts'),
    ['127.0.0.1 localhost', ...hosts.map((each) => `${each.address} ${each.name}`), ''].join('\n'),
  );
  // libvirt looks its default user up before it reads that another one is meant, and only Debian's system package
  // makes that user
  const systemEtc = join(host.root ?? '/', 'etc');
  addAccount(
    join(paths.etc, 'passwd'),
    join(systemEtc, 'passwd'),
    'libvirt-qemu',
    'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin',
  );
  for (const group of ['libvirt-qemu:x:64055:', 'kvm:x:64056:', 'libvirt:x:64057:'])
    addAccount(join(paths.etc, 'group'), join(systemEtc, 'group'), group.split(':')[0] ?? '', group);
  writeFileSync(
    join(libvirtEtc, 'libvirtd.conf'),
    [
      `host_uuid = "${host.uuid}"`,
      'listen_tls = 1',
      'listen_tcp = 1',
      // the lab's network reaches this machine only, so that plain TCP may be open beside TLS
      'auth_tcp = "none"',
      'auth_unix_rw = "none"',
      'unix_sock_group = "root"',
      '',
    ].join('\n'),
  );
  writeFileSync(
    join(libvirtEtc, 'qemu.conf'),
    [
      'security_driver = "none"',
      'user = "root"',
      'group = "root"',
      'namespaces = []',
      'cgroup_controllers = []',
      'remember_owner = 0',
      'swtpm_user = "root"',
      'swtpm_group = "root"',
      // QEMU itself appends to the serial logs, which all hosts share: a log daemon per host would mix up the order
      // around a migration
      'stdio_handler = "file"',
      '',
    ].join('\n'),
  );
  writeFileSync(
    join(libvirtEtc, 'storage', 'default.xml'),
    `<pool type='dir'>\n  <name>default</name>\n  <uuid>${randomUUID()}</uuid>\n  <source/>\n  ` +
      '<target>\n    <path>/var/lib/libvirt/images</path>\n  </target>\n</pool>\n',
  );
  symlinkSync('/etc/libvirt/storage/default.xml', join(libvirtEtc, 'storage', 'autostart', 'default.xml'));
  writeDocument(paths.document, host);
}

function addAccount(file: string, systemFile: string, name: string, line: string): void {
  const known = readFileSync(existsSync(file) ? file : systemFile, 'utf8');
  if (!known.split('\n').some((each) => each.startsWith(`${name}:`)))
    writeFileSync(file, `${known.trimEnd()}\n${line}\n`);
}

/** Starts the host's PID 1, plugs the cable in and waits until its libvirt answers. */
export async function startHost(
  running: Pick<RunningLab, 'lab' | 'keeper'> & { readonly imageDirectory: string },
  host: HostDocument,
  signal?: AbortSignal,
): Promise<void> {
  const { lab, keeper, imageDirectory } = running;
  const paths = hostPaths(lab, host.name);
  for (const stale of [paths.initPid, paths.init, paths.log, paths.libvirtdLog]) rmSync(stale, { force: true });
  const launcher = await startDetached(
    [
      'nsenter',
      '-t',
      String(keeper.pid),
      '-m',
      '-p',
      '--',
      'unshare',
      '--mount',
      '--uts',
      '--net',
      '--pid',
      '--fork',
      '--kill-child',
      '--',
      'bash',
      HOST_SCRIPT,
      paths.directory,
      host.name,
      `${host.address}/24`,
      `${host.address6}/64`,
      lab.directory,
      imageDirectory,
      losesPages(host.release) ? 'tlb-fix.so' : '',
      host.root ?? '',
    ],
    paths.log,
    { [MARKER]: lab.directory },
  );
  let launcherEnded = false;
  void launcher.ended.then(() => (launcherEnded = true));
  const assertStarting = (): void => {
    if (launcherEnded) throw new LabError(`The host "${host.name}" did not start: ${lastLines(paths.log)}`);
    // libvirtd writes its own log once it is a daemon, and ends without telling anyone else
    const refusal = existsSync(paths.libvirtdLog)
      ? /: (Initialization of .* failed.*)/.exec(readFileSync(paths.libvirtdLog, 'utf8'))?.[1]
      : undefined;
    if (refusal !== undefined) throw new LabError(`libvirt did not start on the host "${host.name}": ${refusal}`);
  };
  const init = await waitFor(
    `The start of the host "${host.name}"`,
    () => {
      assertStarting();
      return processOfPidFile(paths.initPid);
    },
    { timeoutMs: 20_000, intervalMs: 5, signal },
  );
  writeDocument(paths.init, init);
  await plugIn(lab, keeper, host, init, signal);
  await waitFor(
    `The first answer of libvirt on "${host.name}"`,
    async () => {
      assertStarting();
      if (!existsSync(`/proc/${init.pid}/root/run/libvirt/libvirt-sock`)) return undefined;
      return await run(onHost(init, ['virsh', '-q', '-c', 'qemu:///system', 'uri']), {
        timeoutMs: 20_000,
        signal,
      }).catch((error: unknown) => {
        // only until the daemon listens; another failure shows when the time is over
        if (error instanceof LabError) return undefined;
        throw error;
      });
    },
    { timeoutMs: 60_000, intervalMs: 30, signal },
  );
}

function lastLines(file: string): string {
  const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  return lines.slice(-3).join(' ') || 'it ended without a word.';
}

/** A command line that runs on the host whose PID 1 is given. */
export function onHost(init: ProcessIdentity, command: readonly string[]): [string, ...string[]] {
  return ['nsenter', '-t', String(init.pid), '-m', '-u', '-n', '-p', '--', ...command];
}

/**
 * A power cut: the cable first, so that peers see silence and not the end of connections, then PID 1 and with it
 * libvirtd and all guests. Nothing happens to a host that has no power.
 */
export async function powerOff(lab: LabRef, name: string, signal?: AbortSignal): Promise<void> {
  const { keeper } = requireLab(lab);
  const host = requireHost(lab, name);
  const init = hostInit(lab, name);
  if (init !== undefined) {
    await setLink(keeper, host, false, signal);
    await killAndWait([init], signal);
  }
  await unplug(keeper, host, signal);
  rmSync(hostPaths(lab, name).init, { force: true });
}

/** Gives the host power and waits until its libvirt answers. Its definitions are there, its guests are shut off. */
export async function powerOn(lab: LabRef, name: string, signal?: AbortSignal): Promise<void> {
  const { keeper, document } = requireLab(lab);
  const host = requireHost(lab, name);
  if (hostInit(lab, name) !== undefined) return;
  if (document.imageDirectory === undefined)
    throw new LabError(`The lab "${lab.name}" has no guest image; run "script/lab up" to create it again.`);
  await unplug(keeper, host, signal);
  try {
    await startHost({ lab, keeper, imageDirectory: document.imageDirectory }, host, signal);
  } catch (error) {
    // half a host would count as one that has power
    await powerOff(lab, name);
    throw error;
  }
}

/** Unplugs or plugs in the host's cable. For a host without power it applies at the next start. */
export async function changeLink(lab: LabRef, name: string, up: boolean, signal?: AbortSignal): Promise<void> {
  const { keeper } = requireLab(lab);
  const host = { ...requireHost(lab, name), linkUp: up };
  writeDocument(hostPaths(lab, name).document, host);
  if (hostInit(lab, name) !== undefined) await setLink(keeper, host, up, signal);
}

/** Limits the host's link to a rate in Mbit/s in each direction; undefined takes the limit away. */
export async function changeRate(
  lab: LabRef,
  name: string,
  rateMbit: number | undefined,
  signal?: AbortSignal,
): Promise<void> {
  const { keeper } = requireLab(lab);
  const host = { ...requireHost(lab, name), rateMbit };
  writeDocument(hostPaths(lab, name).document, host);
  const init = hostInit(lab, name);
  if (init !== undefined) await setRate(keeper, host, init, signal);
}

/** The argument array that runs a command on the host, for a caller that wants to own the process. */
export function execCommand(lab: LabRef, name: string, command: readonly string[]): [string, ...string[]] {
  requireLab(lab);
  requireHost(lab, name);
  return onHost(requireInit(lab, name), command);
}

/** Runs virsh on the host itself, so that it works whatever the state of the host's link is. */
export async function virsh(
  lab: LabRef,
  host: string,
  args: readonly string[],
  options: { readonly input?: string; readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number } = {},
): Promise<string> {
  return await run(onHost(requireInit(lab, host), ['virsh', '-q', '-c', 'qemu:///system', ...args]), options);
}

export function poweredHosts(lab: LabRef): readonly HostDocument[] {
  return listHosts(lab).filter((host) => hostInit(lab, host.name) !== undefined);
}

export function sharedFolders(lab: LabRef): readonly string[] {
  const paths = labPaths(lab);
  return [
    paths.serial,
    paths.shared,
    paths.sharedMount,
    paths.luns,
    paths.exports,
    paths.hosts,
    paths.vms,
    paths.addresses,
  ];
}
