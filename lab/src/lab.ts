// What a lab is on disk: its identity, the paths inside its state directory, and the small documents kept there. Each
// document has one writer at a time and is replaced as a whole. What can be asked of the kernel or of libvirt (is it
// running, where is a guest) is not kept.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { LabError, usageError } from './errors.ts';
import type { Release } from './release.ts';
import { identify, isAlive } from './processes.ts';
import type { ProcessIdentity } from './processes.ts';

export type LabRef = { readonly name: string; readonly directory: string };

export type Accelerator = 'kvm' | 'tcg';

export type LabDocument = {
  readonly version: 1;
  /** False until `up` has finished: what is found before is half a lab. */
  readonly ready: boolean;
  /** The third octet of 10.213.N.0/24. */
  readonly subnetNumber: number;
  readonly hostCount: number;
  readonly keeper: ProcessIdentity | undefined;
  readonly imageDirectory: string | undefined;
  readonly accelerator: Accelerator | undefined;
  /** The guests' machine type: one that the QEMUs of all hosts know. */
  readonly machineType: string;
};

export type HostDocument = {
  readonly name: string;
  readonly index: number;
  readonly address: string;
  readonly address6: string;
  readonly uuid: string;
  readonly release: Release;
  /** The host's root file system, where that is not the machine's own. */
  readonly root: string | undefined;
  readonly linkUp: boolean;
  readonly rateMbit: number | undefined;
};

export type DiskKind = 'none' | 'local' | 'shared' | 'block' | 'nbd';

export type VmDocument = {
  readonly name: string;
  readonly uuid: string;
  readonly address: string;
  readonly mac: string;
  readonly disk: DiskKind;
  readonly memoryMib: number;
  readonly workload: string;
  readonly createdOn: string;
};

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

export function checkName(what: string, name: string): string {
  if (NAME.test(name)) return name;
  throw usageError(
    `"${name}" is no ${what} name: use 1 to 32 small letters, digits and dashes, without a dash at either end.`,
  );
}

/**
 * The lab that the caller names, else FERRY_LAB, else "default". Its files are in FERRY_LAB_DIR, else in
 * /var/tmp/ferry-lab.
 */
export function labRef(name?: string): LabRef {
  const chosen = checkName('lab', name ?? process.env['FERRY_LAB'] ?? 'default');
  const base = process.env['FERRY_LAB_DIR'] ?? '/var/tmp/ferry-lab';
  // it becomes part of mount options and kernel tables, where commas, colons and blanks separate
  if (!/^\/[\w./-]+$/.test(base))
    throw usageError(
      `FERRY_LAB_DIR is "${base}"; it has to be an absolute path of letters, digits, dots, dashes and underscores.`,
    );
  return { name: chosen, directory: join(base, chosen) };
}

/** Every lab that has something on disk, whole or not. */
export function allLabs(): readonly LabRef[] {
  const base = dirname(labRef('any').directory);
  if (!existsSync(base)) return [];
  return readdirSync(base)
    .filter((name) => NAME.test(name))
    .map((name) => labRef(name));
}

export function labPaths(lab: LabRef) {
  const inside = (...parts: string[]): string => join(lab.directory, ...parts);
  return {
    document: inside('lab.json'),
    keeperPid: inside('keeper.pid'),
    keeperLog: inside('keeper.log'),
    serial: inside('serial'),
    shared: inside('shared'),
    sharedMount: inside('shared-mount'),
    luns: inside('luns'),
    exports: inside('exports'),
    hosts: inside('hosts'),
    vms: inside('vms'),
    addresses: inside('addresses'),
    credentials: inside('credentials'),
    serialLog: (vm: string) => inside('serial', `${vm}.log`),
    lun: (vm: string) => inside('luns', vm),
    export: (vm: string) => inside('exports', `${vm}.raw`),
    exportPid: (vm: string) => inside('exports', `${vm}.pid`),
    vmXml: (vm: string) => inside('vms', `${vm}.xml`),
    vm: (vm: string) => inside('vms', `${vm}.json`),
    address: (octet: number) => inside('addresses', String(octet)),
  };
}

export function hostPaths(lab: LabRef, host: string) {
  const directory = join(lab.directory, 'hosts', host);
  return {
    directory,
    document: join(directory, 'host.json'),
    initPid: join(directory, 'init.pid'),
    init: join(directory, 'init.json'),
    log: join(directory, 'console.log'),
    libvirtdLog: join(directory, 'overlay', 'var', 'log', 'libvirt', 'libvirtd.log'),
    etc: join(directory, 'overlay', 'etc'),
    root: join(directory, 'overlay', 'root'),
    libvirt: join(directory, 'libvirt'),
    image: (vm: string) => join(directory, 'libvirt', 'images', `${vm}.qcow2`),
  };
}

/** A short stable number of the lab, for MAC addresses and for where the search for a free subnet begins. */
export function labHash(lab: LabRef): Buffer {
  return createHash('sha256').update(lab.directory).digest();
}

export function subnetOf(subnetNumber: number) {
  const prefix = `10.213.${subnetNumber}`;
  return {
    cidr: `${prefix}.0/24`,
    gateway: `${prefix}.1`,
    gateway6: `fd10:213:${subnetNumber}::1`,
    storage: `${prefix}.2`,
    address: (octet: number) => `${prefix}.${octet}`,
    address6: (octet: number) => `fd10:213:${subnetNumber}::${octet}`,
    interfaceName: `ferrylab${subnetNumber}`,
  };
}

/** Hosts get .3 to .63, guests .64 to .254. */
export const FIRST_HOST_OCTET = 3;
export const MAX_HOSTS = 60;
export const FIRST_GUEST_OCTET = 64;
export const LAST_GUEST_OCTET = 254;

export function readLab(lab: LabRef): LabDocument | undefined {
  return readDocument(labPaths(lab).document) as LabDocument | undefined;
}

/** The parsed document, written by `writeDocument` of this same version; undefined when there is none. */
export function readDocument(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new LabError(`${path} is damaged; "script/lab down" removes this lab.`, { cause: error });
  }
}

/** Replaces the document as a whole: a reader sees the old or the new one, also after a crash. */
export function writeDocument(path: string, document: unknown): void {
  const next = `${path}.${process.pid}.new`;
  writeFileSync(next, `${JSON.stringify(document, undefined, 2)}\n`);
  renameSync(next, path);
}

export function makeDirectories(...directories: readonly string[]): void {
  for (const directory of directories) mkdirSync(directory, { recursive: true });
}

export type RunningLab = { readonly lab: LabRef; readonly document: LabDocument; readonly keeper: ProcessIdentity };

export function runningKeeper(lab: LabRef): ProcessIdentity | undefined {
  const keeper = readLab(lab)?.keeper;
  return keeper !== undefined && isAlive(keeper) ? keeper : undefined;
}

/** The lab, when it is up as a whole; otherwise an error that says how to get one. */
export function requireLab(lab: LabRef): RunningLab {
  const document = readLab(lab);
  const keeper = runningKeeper(lab);
  if (document === undefined) throw new LabError(`The lab "${lab.name}" is not up; start it with "script/lab up".`);
  if (!document.ready || keeper === undefined)
    throw new LabError(
      `The lab "${lab.name}" is incomplete (its start was interrupted, or it ended); run "script/lab up" to create it again.`,
    );
  return { lab, document, keeper };
}

export function listHosts(lab: LabRef): readonly HostDocument[] {
  const directory = labPaths(lab).hosts;
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .flatMap((name) => (readDocument(hostPaths(lab, name).document) as HostDocument | undefined) ?? [])
    .sort((left, right) => left.index - right.index);
}

export function requireHost(lab: LabRef, name: string): HostDocument {
  const hosts = listHosts(lab);
  const host = hosts.find((each) => each.name === name);
  if (host === undefined)
    throw new LabError(
      `The lab "${lab.name}" has no host "${name}"; it has ${hosts.map((each) => each.name).join(', ') || 'none'}.`,
    );
  return host;
}

/** The host's PID 1 as the machine knows it, when the host has power. */
export function hostInit(lab: LabRef, host: string): ProcessIdentity | undefined {
  const init = readDocument(hostPaths(lab, host).init) as ProcessIdentity | undefined;
  return init !== undefined && isAlive(init) ? init : undefined;
}

export function requireInit(lab: LabRef, host: string): ProcessIdentity {
  const init = hostInit(lab, host);
  if (init === undefined)
    throw new LabError(`The host "${host}" has no power; "script/lab power-on ${host}" starts it.`);
  return init;
}

/** The process that a PID file names, if it is there and alive. */
export function processOfPidFile(path: string): ProcessIdentity | undefined {
  const pid = existsSync(path) ? Number(readFileSync(path, 'utf8').trim()) : Number.NaN;
  return Number.isSafeInteger(pid) && pid > 1 ? identify(pid) : undefined;
}
