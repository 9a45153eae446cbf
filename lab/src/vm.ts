// Lab guests: create, list, delete, read their serial log. They are ordinary libvirt domains, defined and then started; where one runs is
// asked of libvirt each time, since anyone may have moved it. Migrations are not the lab's business.

import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { ensureAgentInitrd } from './agent-initrd.ts';
import { createDisk, diskKinds, removeDisk } from './disk.ts';
import { domainXml } from './domain-xml.ts';
import { LabError, usageError } from './errors.ts';
import { poweredHosts, virsh } from './host.ts';
import { FIRST_GUEST_OCTET, LAST_GUEST_OCTET, checkName, labHash, labPaths, readDocument, requireHost, requireInit, requireLab, subnetOf, writeDocument } from './lab.ts';
import type { DiskKind, LabRef, VmDocument } from './lab.ts';
import { guestMac } from './network.ts';
import { waitFor } from './wait.ts';

export type VmCreateOptions = {
  readonly name: string;
  readonly host: string;
  /** 128 when absent; below 96 the guest's kernel does not start. */
  readonly memoryMib?: number;
  readonly disk?: DiskKind;
  /** 64 when absent. */
  readonly diskMib?: number;
  /** `idle`, `disk`, or `dirty:MIBPS`. */
  readonly workload?: string;
  /** With QEMU's guest agent in it, which takes some more memory and time to boot. */
  readonly agent?: boolean;
  /** `defined`: do not start it. `started`: do not wait for it. `answering` (default): until its counter counts. */
  readonly until?: 'defined' | 'started' | 'answering';
  readonly signal?: AbortSignal | undefined;
};

export type VmInfo = { readonly name: string; readonly uuid: string; readonly host: string; readonly address: string };

export type VmStatus = VmInfo & { readonly state: string; readonly disk: DiskKind; readonly memoryMib: number; readonly workload: string };

const MIN_MEMORY_MIB = 96;
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
  // made exclusively: of two at the same time, one is told
  if (!claim(paths.vm(name))) throw new LabError(`The lab "${lab.name}" has a VM "${name}" already; choose another name, or "script/lab vm delete ${name}".`);
  let vm: VmDocument | undefined;
  try {
    const octet = claimAddress(lab, name);
    vm = { name, uuid: randomUUID(), address: subnetOf(running.document.subnetNumber).address(octet), mac: guestMac(lab, octet), disk: request.disk, memoryMib: request.memoryMib, workload: request.workload, createdOn: host.name };
    writeDocument(paths.vm(name), vm);
    const disk = await createDisk(running, vm, host, request.diskMib, signal);
    const agent = options.agent === true;
    const initrd = agent ? await ensureAgentInitrd(running.document.imageDirectory ?? '', { signal, onStep: () => {} }) : 'initrd';
    const xml = domainXml({
      name,
      uuid: vm.uuid,
      memoryMib: vm.memoryMib,
      accelerator: running.document.accelerator ?? 'tcg',
      mac: vm.mac,
      kernelOptions: { name, host: host.name, address: `${vm.address}/24`, workload: vm.workload },
      disk,
      initrd,
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
  const memoryMib = options.memoryMib ?? 128;
  const diskMib = options.diskMib ?? 64;
  const disk = options.disk ?? (options.workload === 'disk' ? 'shared' : 'none');
  const workload = options.workload ?? 'idle';
  if (!Number.isSafeInteger(memoryMib) || memoryMib < MIN_MEMORY_MIB || memoryMib > 65_536) throw usageError(`A guest needs ${MIN_MEMORY_MIB} to 65536 MiB of memory, not ${memoryMib}.`);
  if (!Number.isSafeInteger(diskMib) || diskMib < 1 || diskMib > 65_536) throw usageError(`A disk has 1 to 65536 MiB, not ${diskMib}.`);
  if (!diskKinds().includes(disk)) throw usageError(`There is no kind of disk "${disk}"; choose one of ${diskKinds().join(', ')}.`);
  if (!/^(?:idle|disk|dirty:[1-9]\d{0,4})$/.test(workload)) throw usageError(`There is no workload "${workload}"; choose idle, disk, or dirty:MIBPS as in dirty:20.`);
  if (workload === 'disk' && disk === 'none') throw usageError('The workload "disk" needs a disk; give --disk local, shared, block or nbd.');
  return { memoryMib, diskMib, disk, workload };
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
    `The first counter line of "${vm.name}"`,
    async () => {
      if (/^tick 1 /m.test(vmLog(lab, vm.name))) return true;
      if (performance.now() < nextLook) return undefined;
      nextLook = performance.now() + 3000;
      const found = (await vmList(lab)).find((each) => each.name === vm.name);
      if (found !== undefined && found.state !== 'running') throw new LabError(`The VM "${vm.name}" is ${found.state} instead of running; its serial log ends with: ${vmLog(lab, vm.name).trim().split('\n').slice(-2).join(' ')}`);
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
      const document = readDocument(labPaths(lab).vm(file.slice(0, -'.json'.length))) as Partial<VmDocument> | undefined;
      // a name that is claimed, but whose VM is not made yet
      return document?.uuid === undefined ? [] : [document as VmDocument];
    })
    .sort((left, right) => left.name.localeCompare(right.name));
}

export function requireVm(lab: LabRef, name: string): VmDocument {
  const vm = listVmDocuments(lab).find((each) => each.name === name);
  if (vm === undefined) throw new LabError(`The lab "${lab.name}" has no VM "${name}"; "script/lab vm list" shows what it has.`);
  return vm;
}

/** Every instance of every guest on the hosts that have power. A guest defined on two hosts is listed twice, one on no such host as `-`. */
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

/** Powers the guest off wherever it runs and removes it with its disk. A host without power is asked nothing, so it must have it. */
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
      await virsh(lab, host, ['undefine', name, '--managed-save', '--snapshots-metadata', '--nvram']).catch(() => undefined);
    }
    await removeDisk(requireLab(lab), vm);
    rmSync(paths.address(Number(vm.address.split('.')[3])), { force: true });
  }
  for (const file of [paths.serialLog(name), paths.vmXml(name), paths.vm(name)]) rmSync(file, { force: true });
}

/** All that the guest has written to its serial line since it was created, across its hosts. Empty before its first line. */
export function vmLog(lab: LabRef, name: string): string {
  const file = labPaths(lab).serialLog(name);
  // a boot loader's control characters are of no use to a reader
  return existsSync(file) ? readFileSync(file, 'latin1').replaceAll('\r', '') : '';
}
