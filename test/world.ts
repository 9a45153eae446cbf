/**
 * What the hosts of a lab show, read as a whole: domains with both definitions, pools, files. Taken before and after a
 * move, two of them tell what it has changed (invariants.ts). It asks libvirt and the file systems, never Ferry.
 */
import { createHash } from 'node:crypto';
import { lstatSync, openSync, closeSync, readSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { execCommand, run, type LabRef } from '@ferry/lab';

export interface Domain {
  readonly uuid: string;
  readonly name: string;
  /** As virsh says it: running, paused, shut off. */
  readonly state: string;
  readonly persistent: boolean;
  readonly autostart: boolean;
  readonly saved: boolean;
  readonly live?: string;
  readonly inactive: string;
  /** The definition of the guest whose memory is saved. */
  readonly memory?: string;
}
/** A file on a host; `print` differs if the content does. */
export interface HostFile {
  readonly path: string;
  readonly print: string;
}
export interface HostWorld {
  readonly host: string;
  readonly domains: ReadonlyMap<string, Domain>;
  /** Names, and whether they are started. */
  readonly pools: ReadonlyMap<string, boolean>;
  /** UUIDs, and what libvirt shows of their values. */
  readonly secrets: ReadonlyMap<string, string>;
  /** By path; those of the folder that all hosts share are with each. */
  readonly files: ReadonlyMap<string, string>;
}
export type World = ReadonlyMap<string, HostWorld>;

const libvirt = '/var/lib/libvirt';
/** Of the lab, of libvirt itself, or of processes that run. */
const notLooked = [
  `${libvirt}/boot`,
  `${libvirt}/lun`,
  `${libvirt}/dnsmasq`,
  `${libvirt}/network`,
  `${libvirt}/sanlock`,
  `${libvirt}/lockd`,
  `${libvirt}/lockspace`,
];
const ofQemu = [`${libvirt}/qemu/nvram`, `${libvirt}/qemu/save`];
const lookMs = 20_000;

/**
 * `contents`: also what is in the files (for guests that write, their disks change by themselves). Rejects when a
 * host's libvirt does not answer.
 */
export async function lookAtWorld(
  lab: LabRef,
  hosts: readonly string[],
  { contents = false }: { readonly contents?: boolean } = {},
): Promise<World> {
  const looked = await Promise.all(hosts.map((host) => lookAtHost(lab, host, contents)));
  return new Map(looked.map((each) => [each.host, each]));
}

async function lookAtHost(lab: LabRef, host: string, contents: boolean): Promise<HostWorld> {
  const virsh = (command: string): Promise<string> =>
    run(execCommand(lab, host, ['virsh', '-q', '-c', 'qemu:///system', command]), { timeoutMs: lookMs });
  const listed = await virsh(
    'list --all --uuid; echo @@; pool-list --all --name; echo @@; pool-list --name; echo @@; secret-list',
  );
  const [uuids = [], allPools = [], started = [], allSecrets = []] = listed.split('@@').map((part) =>
    part
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== ''),
  );
  const domains = new Map<string, Domain>();
  const files = filesOf(rootOf(lab, host), contents);
  for (const uuid of uuids) {
    const domain = await lookAtDomain(virsh, uuid, files).catch((error: unknown) => {
      // gone since it was listed
      if (/failed to get domain|Domain not found/.test(String(error))) return undefined;
      throw error;
    });
    if (domain !== undefined) domains.set(uuid, domain);
  }
  const pools = new Map(allPools.map((name) => [name, started.includes(name)]));
  const secrets = new Map<string, string>();
  for (const line of allSecrets) {
    const [uuid = ''] = line.split(/\s/);
    secrets.set(
      uuid,
      await virsh(`secret-get-value ${uuid}`).then(
        (value) => value.trim(),
        () => '',
      ),
    );
  }
  return { host, domains, pools, secrets, files };
}

async function lookAtDomain(
  virsh: (command: string) => Promise<string>,
  uuid: string,
  files: ReadonlyMap<string, string>,
): Promise<Domain> {
  const text = await virsh(
    `dominfo ${uuid}; echo '@@inactive'; dumpxml --inactive --security-info ${uuid}; echo '@@live'; dumpxml --security-info ${uuid}`,
  );
  const [info = '', inactive = '', live = ''] = text.split(/^@@(?:inactive|live)\n?/m);
  const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(info)?.[1]?.trim() ?? '';
  const state = field('State');
  const name = field('Name');
  // libvirt takes a file that was brought at the next start, though it does not tell of it before
  const saved =
    state === 'shut off' && (field('Managed save') === 'yes' || files.has(`${libvirt}/qemu/save/${name}.save`));
  const memory = saved
    ? await virsh(`save-image-dumpxml --security-info ${libvirt}/qemu/save/${name}.save`).catch(() => undefined)
    : undefined;
  return {
    uuid,
    name,
    state,
    persistent: field('Persistent') === 'yes',
    autostart: field('Autostart') === 'enable',
    saved,
    inactive,
    ...(memory === undefined ? {} : { memory }),
    ...(state === 'shut off' ? {} : { live }),
  };
}

/** The host's file system as this process reaches it. */
export const rootOf = (lab: LabRef, host: string): string => `/proc/${execCommand(lab, host, ['true'])[2] ?? ''}/root`;

const prints = new Map<string, string>();

function filesOf(root: string, contents: boolean): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  const walk = (folder: string): void => {
    for (const entry of entriesOf(join(root, folder))) {
      const path = `${folder}/${entry.name}`;
      if (notLooked.includes(path)) continue;
      if (entry.isDirectory()) {
        if (path !== `${libvirt}/qemu` && !(folder === `${libvirt}/qemu` && !ofQemu.includes(path))) walk(path);
        else if (path === `${libvirt}/qemu`) for (const each of ofQemu) walk(each);
      } else if (entry.isSymbolicLink()) files.set(path, `-> ${readlinkSync(join(root, path))}`);
      else if (entry.isFile()) {
        const print = contents ? printOf(join(root, path)) : '';
        if (print !== undefined) files.set(path, print);
      }
    }
  };
  walk(libvirt);
  return files;
}

function entriesOf(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    // there is none, or it disappeared while it was read
    return [];
  }
}

/** What the file holds; files that did not change since are not read again. */
function printOf(path: string): string | undefined {
  try {
    const { dev, ino, size, ctimeMs, mtimeMs } = lstatSync(path);
    const version = `${dev}/${ino}/${size}/${ctimeMs}/${mtimeMs}`;
    const known = prints.get(version);
    if (known !== undefined) return known;
    const hash = createHash('sha256');
    const buffer = Buffer.alloc(1024 * 1024);
    const file = openSync(path, 'r');
    try {
      for (let read = readSync(file, buffer); read > 0; read = readSync(file, buffer))
        hash.update(buffer.subarray(0, read));
    } finally {
      closeSync(file);
    }
    const print = hash.digest('hex').slice(0, 16);
    prints.set(version, print);
    return print;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
