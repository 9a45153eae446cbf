// Lab guests: create, list, delete, read their serial log. They are ordinary libvirt domains, defined and then started;
// where one runs is asked of libvirt each time, since anyone may have moved it. Migrations are not the lab's business.

import { randomUUID } from 'node:crypto';
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ensureAgentInitrd } from './agent-initrd.ts';
import { bootSector, parseSectorLoad } from './boot-sector.ts';
import type { SectorLoad } from './boot-sector.ts';
import { createDisk, diskKinds, removeDisk } from './disk.ts';
import { domainXml } from './domain-xml.ts';
import type { DomainBoot } from './domain-xml.ts';
import { LabError, usageError } from './errors.ts';
import { poweredHosts, virsh } from './host.ts';
import {
  FIRST_GUEST_OCTET,
  LAST_GUEST_OCTET,
  checkName,
  labHash,
  labPaths,
  readDocument,
  requireHost,
  requireInit,
  requireLab,
  subnetOf,
  writeDocument,
} from './lab.ts';
import type { DiskKind, LabRef, VmDocument } from './lab.ts';
import { guestMac } from './network.ts';
import { readSector } from './sector-log.ts';
import { waitFor } from './wait.ts';

export type VmCreateOptions = {
  readonly name: string;
  readonly host: string;
  /**
   * 128 when absent, what it fills and some more for a sector guest; below 96 the Linux guest's kernel does not
   * start.
   */
  readonly memoryMib?: number;
  readonly disk?: DiskKind;
  /** 64 when absent. */
  readonly diskMib?: number;
  /** `idle`, `disk`, `dirty:MIBPS`, or `sector:V=256,W=64,D=20` (boot-sector.ts): no Linux, exact figures. */
  readonly workload?: string;
  /** With QEMU's guest agent in it, which takes some more memory and time to boot. */
  readonly agent?: boolean;
  /**
   * `defined`: do not start it. `started`: do not wait for it. `answering` (default): until its counter counts, or
   * its memory is filled.
   */
  readonly until?: 'defined' | 'started' | 'answering';
  readonly signal?: AbortSignal | undefined;
};

export type VmInfo = { readonly name: string; readonly uuid: string; readonly host: string; readonly address: string };

export type VmStatus = VmInfo & {
  readonly state: string;
  readonly disk: DiskKind;
  readonly memoryMib: number;
  readonly workload: string;
};

const MIN_MEMORY_MIB = 96;
/** Memory that a sector guest needs in addition to what it fills: the first MiB, and what the BIOS keeps at the end. */
const SECTOR_EXTRA_MIB = 8;
/** A BIOS boots no disk without a cylinder (504 KiB). */
const SECTOR_IMAGE_BYTES = 2 ** 20;
const BOOT_LIMIT_MS = 120_000;

/** Creates, starts and awaits a guest; on failure nothing of it is left. */
export async function vmCreate(lab: LabRef, options: VmCreateOptions): Promise<VmInfo> {
  const { signal } = options;
  const running = requireLab(lab);
  const request = checkRequest(options);
  const host = requireHost(lab, options.host);
  requireInit(lab, host.name);
  const paths = labPaths(lab);
  const { name } = options;
  // created exclusively: of two at the same time, one fails
  if (!claim(paths.vm(name)))
    throw new LabError(
      `The lab "${lab.name}" has a VM "${name}" already; choose another name, or "script/lab vm delete ${name}".`,
    );
  let vm: VmDocument | undefined;
  try {
    const octet = claimAddress(lab, name);
    vm = {
      name,
      uuid: randomUUID(),
      address: subnetOf(running.document.subnetNumber).address(octet),
      mac: guestMac(lab, octet),
      disk: request.disk,
      memoryMib: request.memoryMib,
      workload: request.workload,
      createdOn: host.name,
    };
    writeDocument(paths.vm(name), vm);
    const disk = await createDisk(running, vm, host, request.diskMib, signal);
    const agent = options.agent === true;
    const initrd = agent
      ? await ensureAgentInitrd(running.document.imageDirectory ?? '', { signal, onStep: () => {} })
      : 'initrd';
    const xml = domainXml({
      name,
      uuid: vm.uuid,
      memoryMib: vm.memoryMib,
      accelerator: running.document.accelerator ?? 'tcg',
      machineType: running.document.machineType,
      mac: vm.mac,
      boot: bootOf(lab, vm, request.sector, initrd),
      disk,
      agent,
    });
    rmSync(paths.serialLog(name), { force: true });
    // the hosts see the lab's folder where it is
    writeFileSync(paths.vmXml(name), xml);
    await virsh(lab, host.name, ['define', paths.vmXml(name)], { signal });
    rmSync(paths.vmXml(name));
    if (options.until !== 'defined') await virsh(lab, host.name, ['start', name], { signal, timeoutMs: 120_000 });
    if (options.until === undefined || options.until === 'answering') await untilAnswering(lab, vm, signal);
    return { name, uuid: vm.uuid, host: host.name, address: vm.address };
  } catch (error) {
    await remove(lab, name, vm);
    throw error;
  }
}

function checkRequest(options: VmCreateOptions) {
  checkName('VM', options.name);
  const workload = options.workload ?? 'idle';
  const sector = workload.startsWith('sector:') ? parseSectorLoad(workload.slice('sector:'.length)) : undefined;
  const leastMib = sector === undefined ? MIN_MEMORY_MIB : sector.filledMib + SECTOR_EXTRA_MIB;
  const memoryMib = options.memoryMib ?? Math.max(sector === undefined ? 128 : 0, leastMib);
  const diskMib = options.diskMib ?? 64;
  const disk = options.disk ?? (options.workload === 'disk' ? 'shared' : 'none');
  if (!Number.isSafeInteger(memoryMib) || memoryMib < leastMib || memoryMib > 65_536)
    throw usageError(`This guest needs ${leastMib} to 65536 MiB of memory, not ${memoryMib}.`);
  if (!Number.isSafeInteger(diskMib) || diskMib < 1 || diskMib > 65_536)
    throw usageError(`A disk has 1 to 65536 MiB, not ${diskMib}.`);
  if (!diskKinds().includes(disk))
    throw usageError(`There is no kind of disk "${disk}"; choose one of ${diskKinds().join(', ')}.`);
  if (sector === undefined && !/^(?:idle|disk|dirty:[1-9]\d{0,4})$/.test(workload))
    throw usageError(
      `There is no workload "${workload}"; choose idle, disk, dirty:MIBPS as in dirty:20, or sector:V=256,W=64,D=20.`,
    );
  if (sector !== undefined && disk !== 'none') throw usageError('A sector guest has no disk; omit --disk.');
  if (sector !== undefined && options.agent === true) throw usageError('A sector guest has no agent; omit --agent.');
  if (workload === 'disk' && disk === 'none')
    throw usageError('The workload "disk" needs a disk; use --disk local, shared, block or nbd.');
  return { memoryMib, diskMib, disk, workload, sector };
}

/** Writes the sector's image where all hosts see it. */
function bootOf(lab: LabRef, vm: VmDocument, sector: SectorLoad | undefined, initrd: string): DomainBoot {
  if (sector === undefined)
    return {
      type: 'kernel',
      initrd,
      options: { name: vm.name, host: vm.createdOn, address: `${vm.address}/24`, workload: vm.workload },
    };
  const image = sectorImage(lab, vm.name);
  writeFileSync(image, bootSector(sector));
  truncateSync(image, SECTOR_IMAGE_BYTES);
  return { type: 'sector', path: `/var/lib/libvirt/shared/${vm.name}.sector` };
}

function sectorImage(lab: LabRef, name: string): string {
  return join(labPaths(lab).shared, `${name}.sector`);
}

function claim(path: string, content = '{}'): boolean {
  try {
    const file = openSync(path, 'wx');
    writeFileSync(file, content);
    closeSync(file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** The same name gets the same address in the same lab, as long as no other guest has it. */
function claimAddress(lab: LabRef, name: string): number {
  const count = LAST_GUEST_OCTET - FIRST_GUEST_OCTET + 1;
  const first = labHash({ ...lab, directory: `${lab.directory}/${name}` }).readUInt16BE() % count;
  for (let i = 0; i < count; i++) {
    const octet = FIRST_GUEST_OCTET + ((first + i) % count);
    if (claim(labPaths(lab).address(octet), name)) return octet;
  }
  throw new LabError(`The lab "${lab.name}" has no free address left for a guest; delete one of its ${count} guests.`);
}

async function untilAnswering(lab: LabRef, vm: VmDocument, signal: AbortSignal | undefined): Promise<void> {
  let nextLook = 0;
  await waitFor(
    `The first sign of life of "${vm.name}"`,
    async () => {
      const log = vmLog(lab, vm.name);
      if (vm.workload.startsWith('sector:') ? readSector(log).ready : /^tick 1 /m.test(log)) return true;
      if (performance.now() < nextLook) return undefined;
      nextLook = performance.now() + 3000;
      const found = (await vmList(lab)).find((each) => each.name === vm.name);
      if (found !== undefined && found.state !== 'running')
        throw new LabError(
          `The VM "${vm.name}" is ${found.state} instead of running; its serial log ends with: ` +
            vmLog(lab, vm.name).trim().split('\n').slice(-2).join(' '),
        );
      return undefined;
    },
    { timeoutMs: BOOT_LIMIT_MS, intervalMs: 40, signal },
  );
}

export function listVmDocuments(lab: LabRef): readonly VmDocument[] {
  requireLab(lab);
  return readdirSync(labPaths(lab).vms)
    .filter((file) => file.endsWith('.json'))
    .flatMap((file) => {
      const document = readDocument(labPaths(lab).vm(file.slice(0, -'.json'.length))) as
        | Partial<VmDocument>
        | undefined;
      // a name that is claimed, but whose VM is not made yet
      return document?.uuid === undefined ? [] : [document as VmDocument];
    })
    .sort((left, right) => left.name.localeCompare(right.name));
}

export function requireVm(lab: LabRef, name: string): VmDocument {
  const vm = listVmDocuments(lab).find((each) => each.name === name);
  if (vm === undefined)
    throw new LabError(`The lab "${lab.name}" has no VM "${name}"; "script/lab vm list" lists them.`);
  return vm;
}

/**
 * Every instance of every guest on the hosts that have power. A guest defined on two hosts is listed twice, one on no
 * such host as `-`.
 */
export async function vmList(lab: LabRef, signal?: AbortSignal): Promise<readonly VmStatus[]> {
  const documents = listVmDocuments(lab);
  const perHost = await Promise.all(
    poweredHosts(lab).map(async (host) => {
      const text = await virsh(lab, host.name, ['list', '--all'], { signal, timeoutMs: 30_000 });
      return text.split('\n').flatMap((line) => {
        const match = /^\s*(?:\d+|-)\s+(\S+)\s+(\S.*?)\s*$/.exec(line);
        const [, name, state] = match ?? [];
        return name === undefined || state === undefined ? [] : [{ name, state, host: host.name }];
      });
    }),
  );
  const instances = perHost.flat();
  return documents.flatMap(({ name, uuid, address, disk, memoryMib, workload }) => {
    const own = instances.filter((each) => each.name === name);
    const places = own.length === 0 ? [{ host: '-', state: 'no host' }] : own;
    return places.map(({ host, state }) => ({ name, uuid, host, address, state, disk, memoryMib, workload }));
  });
}

/**
 * Powers the guest off wherever it runs and removes it with its disk. A host without power is asked nothing, so it
 * must have it.
 */
export async function vmDelete(lab: LabRef, name: string): Promise<void> {
  const vm = requireVm(lab, name);
  await remove(lab, name, vm);
}

async function remove(lab: LabRef, name: string, vm: VmDocument | undefined): Promise<void> {
  const paths = labPaths(lab);
  if (vm !== undefined) {
    // not abortable: it is what cleans up after an abort
    for (const { host, state } of (await vmList(lab)).filter((each) => each.name === name && each.host !== '-')) {
      if (state !== 'shut off') await virsh(lab, host, ['destroy', name]).catch(() => undefined);
      await virsh(lab, host, ['undefine', name, '--managed-save', '--snapshots-metadata', '--nvram']).catch(
        () => undefined,
      );
    }
    await removeDisk(requireLab(lab), vm);
    rmSync(paths.address(Number(vm.address.split('.')[3])), { force: true });
  }
  for (const file of [paths.serialLog(name), paths.vmXml(name), sectorImage(lab, name), paths.vm(name)])
    rmSync(file, { force: true });
}

/** The file that all hosts append to what the guest writes to its serial line; made when it starts. */
export function vmLogFile(lab: LabRef, name: string): string {
  return labPaths(lab).serialLog(name);
}

/**
 * All that the guest has written to its serial line since it was created, across its hosts. Empty before its first
 * line.
 */
export function vmLog(lab: LabRef, name: string): string {
  const file = vmLogFile(lab, name);
  // a boot loader's control characters are of no use to a reader
  return existsSync(file) ? readFileSync(file, 'latin1').replaceAll('\r', '') : '';
}
