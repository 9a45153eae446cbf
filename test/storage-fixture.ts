/** Helpers for the tests of storage and of kept definitions, in addition to the fleet's own. */
import assert from 'node:assert/strict';
import { virsh, vmCheck, vmCreate } from '@ferry/lab';
import type { Fleet } from './fleet.ts';

export const images = '/var/lib/libvirt/images';
/** Shell text that takes mounts away as soon as nobody reads there: libvirt may be looking at an image just now. */
export const unmount = (...paths: readonly string[]): string =>
  paths.map((path) => `until umount ${path}; do sleep 0.1; done`).join('; ');

export interface StorageQuestions {
  /** A guest on host1 that writes numbered records to its disk. */
  readonly create: (name: string, disk: 'local' | 'shared' | 'none', running?: boolean) => Promise<void>;
  /** Everything that a move could have left: domains of Ferry's own, volumes of this VM, markers. */
  readonly leftOn: (host: string, name: string) => Promise<readonly string[]>;
  readonly recordsUnbroken: (name: string) => Promise<void>;
}

export const storageOf = ({ lab, seen, sh }: Fleet): StorageQuestions => ({
  async create(name, disk, running = true) {
    await vmCreate(lab, {
      name,
      host: 'host1',
      disk,
      ...(disk === 'none' ? {} : { workload: 'disk' }),
      ...(running ? {} : { until: 'defined' }),
    });
    await seen(name, running ? 'running' : 'shut-off');
  },
  async leftOn(host, name) {
    const domains = (await virsh(lab, host, ['list', '--all', '--name']))
      .split('\n')
      .filter((each) => each.startsWith('ferry-'));
    const pools = (await virsh(lab, host, ['pool-list', '--all', '--name']))
      .split('\n')
      .filter((each) => each.includes('ferry-look'));
    const files = (await sh(host, `ls ${images} /var/lib/libvirt/shared`))
      .split('\n')
      .filter((each) => each.startsWith(`${name}.`) || each.startsWith('ferry-proof'));
    return [...domains, ...pools, ...files.map((each) => each.trim())];
  },
  async recordsUnbroken(name) {
    const verdict = await vmCheck(lab, name);
    assert.ok(
      verdict.records > 0 && verdict.contiguous && verdict.corrupt === 0 && !verdict.duplicateWriters,
      JSON.stringify(verdict),
    );
  },
});
