// The disks of lab guests, one recipe per kind of storage: `local` is on one host, all hosts see the others. It creates
// and removes storage and describes it to libvirt. disk-check.ts reads what guests wrote.

import { closeSync, existsSync, openSync, readFileSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, tryRun } from './child.ts';
import type { DomainDisk } from './domain-xml.ts';
import { onHost, poweredHosts } from './host.ts';
import { hostInit, hostPaths, labPaths, listHosts, subnetOf } from './lab.ts';
import type { DiskKind, HostDocument, RunningLab, VmDocument } from './lab.ts';

const NBD_BASE_PORT = 10_800;

/** Creates the VM's disk and returns how its definition names it; undefined for `none`. */
export async function createDisk(
  running: RunningLab,
  vm: VmDocument,
  host: HostDocument,
  sizeMib: number,
  signal?: AbortSignal,
): Promise<DomainDisk | undefined> {
  const { lab, keeper, document } = running;
  const paths = labPaths(lab);
  const createImage = async (path: string): Promise<void> =>
    void (await run(['qemu-img', 'create', '-q', '-f', 'qcow2', path, `${sizeMib}M`], { signal }));
  switch (vm.disk) {
    case 'none':
      return undefined;
    case 'local':
      await createImage(hostPaths(lab, host.name).image(vm.name));
      return { type: 'file', path: `/var/lib/libvirt/images/${vm.name}.qcow2` };
    case 'shared':
      await createImage(join(paths.shared, `${vm.name}.qcow2`));
      return { type: 'file', path: `/var/lib/libvirt/shared/${vm.name}.qcow2` };
    case 'block': {
      sparseFile(paths.export(vm.name), sizeMib);
      const device = await attachLoop(paths.export(vm.name), signal);
      const numbers = (await run(['stat', '--format', '%Hr %Lr', device], { signal })).trim();
      // hosts that get power later make their node from this
      writeFileSync(paths.lun(vm.name), `${numbers}\n`);
      const [major = '', minor = ''] = numbers.split(' ');
      for (const each of poweredHosts(lab)) {
        const init = hostInit(lab, each.name);
        if (init !== undefined) await run(onHost(init, ['mknod', lunNode(vm.name), 'b', major, minor]), { signal });
      }
      return { type: 'block', path: lunNode(vm.name) };
    }
    case 'nbd': {
      const image = paths.export(vm.name);
      sparseFile(image, sizeMib);
      const { storage } = subnetOf(document.subnetNumber);
      const port = NBD_BASE_PORT + Number(vm.address.split('.')[3]);
      await run(
        [
          'nsenter',
          '-t',
          String(keeper.pid),
          '-n',
          '-p',
          '-m',
          '--',
          'qemu-nbd',
          '--fork',
          '--persistent',
          '--shared=0',
          '--bind',
          storage,
          '--port',
          String(port),
          '--export-name',
          vm.name,
          '--format',
          'raw',
          '--cache',
          'none',
          '--pid-file',
          paths.exportPid(vm.name),
          image,
        ],
        { signal },
      );
      return { type: 'nbd', host: storage, port, exportName: vm.name };
    }
  }
}

/** Removes every trace of the VM's disk, on all hosts. The VM must not run. */
export async function removeDisk(running: RunningLab, vm: VmDocument, signal?: AbortSignal): Promise<void> {
  const { lab, keeper } = running;
  const paths = labPaths(lab);
  for (const host of listHosts(lab)) rmSync(hostPaths(lab, host.name).image(vm.name), { force: true });
  rmSync(join(paths.shared, `${vm.name}.qcow2`), { force: true });
  if (existsSync(paths.lun(vm.name))) {
    rmSync(paths.lun(vm.name));
    for (const host of poweredHosts(lab)) {
      const init = hostInit(lab, host.name);
      if (init !== undefined) await run(onHost(init, ['rm', '-f', lunNode(vm.name)]), { signal });
    }
    const devices = (
      await run(['losetup', '--noheadings', '--output', 'NAME', '--associated', paths.export(vm.name)], { signal })
    )
      .split('\n')
      .filter((line) => line !== '');
    for (const device of devices) await run(['losetup', '--detach', device.trim()], { signal });
  }
  if (existsSync(paths.exportPid(vm.name))) {
    // the PID is one of the lab's PID namespace, where no other program of the machine can have it
    await tryRun(
      ['nsenter', '-t', String(keeper.pid), '-p', '--', 'kill', readFileSync(paths.exportPid(vm.name), 'utf8').trim()],
      { signal },
    );
    rmSync(paths.exportPid(vm.name), { force: true });
  }
  rmSync(paths.export(vm.name), { force: true });
}

export type DiskCopy = { readonly where: string; readonly path: string; readonly format: 'qcow2' | 'raw' };

/** Every image that holds data of this VM, seen from outside: one per host for `local`, one for the others. */
export function diskCopies(running: RunningLab, vm: VmDocument): readonly DiskCopy[] {
  const paths = labPaths(running.lab);
  switch (vm.disk) {
    case 'none':
      return [];
    case 'local':
      return listHosts(running.lab).flatMap((host) => {
        const path = hostPaths(running.lab, host.name).image(vm.name);
        return existsSync(path) ? [{ where: host.name, path, format: imageFormat(path) }] : [];
      });
    case 'shared':
      return [{ where: 'shared', path: join(paths.shared, `${vm.name}.qcow2`), format: 'qcow2' }];
    case 'block':
    case 'nbd':
      return [{ where: vm.disk, path: paths.export(vm.name), format: 'raw' }];
  }
}

/** A migration that copies a disk may make the target in another format than it was asked for; the first bytes tell. */
function imageFormat(path: string): 'qcow2' | 'raw' {
  const magic = Buffer.alloc(4);
  const file = openSync(path, 'r');
  try {
    readSync(file, magic, 0, 4, 0);
  } finally {
    closeSync(file);
  }
  return magic.equals(Buffer.from('QFI\xfb', 'latin1')) ? 'qcow2' : 'raw';
}

function lunNode(vm: string): string {
  return `/var/lib/libvirt/lun/${vm}`;
}

function sparseFile(path: string, sizeMib: number): void {
  writeFileSync(path, '');
  truncateSync(path, sizeMib * 1024 * 1024);
}

async function attachLoop(file: string, signal: AbortSignal | undefined): Promise<string> {
  const direct = await tryRun(['losetup', '--find', '--show', '--direct-io=on', file], { signal });
  // not every file system can do direct I/O below a loop device; the guest's data is the same, only cached
  const device = direct.code === 0 ? direct.stdout : await run(['losetup', '--find', '--show', file], { signal });
  return device.trim();
}

export function diskKinds(): readonly DiskKind[] {
  return ['none', 'local', 'shared', 'block', 'nbd'];
}
