/** The connection to a fake host: the machine, its definitions and its storage. */
import { FerryError, noFacts, vmUuid, type VmFacts } from '@ferry/core';
import type { HostLink } from '../ports/ports.ts';
import {
  domainOn,
  mustAnswer,
  mustSpeak,
  tell,
  type FakeDomain,
  type FakeHost,
  type FakeSurroundings,
} from './host.ts';
import { fakeDomains } from './domains.ts';

export const factsOf = ({ disk, autostart, persistent }: FakeDomain): VmFacts => ({
  ...noFacts,
  autostart,
  persistent,
  disks:
    disk === undefined
      ? []
      : [
          {
            target: 'vda',
            device: 'disk',
            type: disk.startsWith('/dev/') ? 'block' : 'file',
            source: disk,
            format: 'raw',
            readOnly: false,
            capacityBytes: 1_000,
            allocationBytes: 500,
            backing: [],
          },
        ],
});

export function fakeLink(host: FakeHost, surroundings: FakeSurroundings): HostLink {
  const { clock, nameOf, note } = surroundings;
  const closed = Promise.withResolvers<Error | undefined>();
  const find = (uuid: string): FakeDomain => domainOn(host, uuid);
  const { drop } = host;
  host.drop = () => {
    drop();
    closed.resolve(new Error('connection lost'));
  };
  return {
    async takesAnother(signal) {
      await mustSpeak(host, clock, signal);
      while (host.full) await clock.sleep(100, signal);
    },
    closed: closed.promise,
    close: async () => closed.resolve(undefined),
    ...fakeDomains(host, surroundings),
    inventory: {
      async facts() {
        mustAnswer(host);
        return {
          hostname: nameOf(host),
          machineUuid: host.machineUuid,
          libvirtVersion: '9.0.0',
          qemuVersion: '7.2.0',
          cpu: { arch: 'x86_64', model: '', vendor: '', threads: 2 },
          memoryBytes: 4e9,
          freeMemoryBytes: host.freeMemoryBytes,
        };
      },
      async freeMemory(signal) {
        await mustSpeak(host, clock, signal);
        return host.freeMemoryBytes;
      },
      async machineUuid() {
        mustAnswer(host);
        return host.machineUuid;
      },
    },
    resources: {
      look: async () => ({ networks: new Map(), filters: new Set(), secrets: new Map() }),
      read: async () => ({ xml: '' }),
      create: async () => {},
      remove: async () => {},
    },
    definitions: {
      describe: async (uuid) => factsOf(find(uuid)),
      async filesInUse() {
        mustAnswer(host);
        const files = [...host.domains.values()].flatMap(({ uuid, name, disk }) =>
          disk === undefined ? [] : [{ path: disk, as: 'disk' as const, vm: { uuid: vmUuid(uuid), name } }],
        );
        return { files, untold: [] };
      },
      read: async (uuid) => JSON.stringify(find(uuid)),
      readMigratable: async (uuid) => JSON.stringify({ ...find(uuid), portable: true }),
      async write(xml) {
        mustAnswer(host);
        if (host.older && !('portable' in (JSON.parse(xml) as object))) throw new Error('unknown watchdog model');
        note(host, 'define');
        const domain = JSON.parse(xml) as FakeDomain;
        host.domains.set(domain.uuid, {
          ...domain,
          state: 'shut-off',
          reason: 'other',
          persistent: true,
          autostart: false,
        });
        tell(host, domain.uuid);
      },
      async undefine(uuid) {
        find(uuid);
        note(host, 'remove definition');
        host.domains.delete(uuid);
        tell(host, uuid);
      },
      async setAutostart(uuid, autostart) {
        find(uuid).autostart = autostart;
      },
    },
    savedMemory: {
      read: async () => '',
      write: async () => {},
      drop: async () => {},
    },
    snapshots: {
      read: async () => [],
      strip: async () => {},
      restore: async () => {},
    },
    volumes: {
      async pools() {
        mustAnswer(host);
        return [{ name: 'default', path: '/pool', active: true, availableBytes: 1e6 }];
      },
      at: async (path) => host.volumes.get(path),
      imageAt: async () => undefined,
      imagesBelow: async () => [],
      async create({ pool, name, capacityBytes, format }) {
        mustAnswer(host);
        note(host, 'create volume');
        const path = `/pool/${name}`;
        if (host.volumes.has(path)) throw new FerryError('volume-exists', `${path} is there.`);
        host.volumes.set(path, { pool, name, path, format, capacityBytes, allocationBytes: 0, modified: 'made' });
      },
    },
    paths: {
      // a file in /shared is the same for all hosts, unless a host has its own there
      async fileAt(path) {
        mustAnswer(host);
        const own = host.ownFiles.get(path);
        if (own === 'none') return undefined;
        return (
          own ??
          (path.startsWith('/shared/') || host.volumes.has(path) ? { sizeBytes: 1_000, changedNs: 1n } : undefined)
        );
      },
      identityOf: async (path) => (path === '/dev/vg/lv' ? `lv-${host.san}` : undefined),
      // the device of a SAN
      deviceAt: async () => 'unseen',
      // every host has a /pool of its own, and one /shared for all
      async marker(action, folder) {
        mustAnswer(host);
        return { folder: true, found: action !== 'find' || folder === '/shared' || host.volumes.has(folder) };
      },
    },
    files: {
      async look(path) {
        mustAnswer(host);
        const volume = host.volumes.get(path);
        return volume === undefined
          ? undefined
          : {
              path,
              sizeBytes: volume.capacityBytes,
              owner: 0,
              group: 0,
              mode: '0600',
              allocationBytes: volume.allocationBytes,
              ...(volume.modified === undefined ? {} : { modified: volume.modified }),
            };
      },
      async *read() {
        // what is in a file does not matter here
      },
      async create({ path, sizeBytes }) {
        mustAnswer(host);
        if (host.volumes.has(path)) throw new FerryError('volume-exists', `${path} is there already.`);
        note(host, `create ${path}`);
        host.volumes.set(path, {
          pool: '',
          name: path.slice(path.lastIndexOf('/') + 1),
          path,
          format: 'raw',
          capacityBytes: sizeBytes,
          allocationBytes: 0,
          modified: 'made',
        });
      },
      fill: async (path) => note(host, `fill ${path}`),
      async remove(path) {
        mustAnswer(host);
        if (host.sticky) throw new Error('the volume is in use');
        note(host, 'delete volume');
        host.volumes.delete(path);
      },
    },
  };
}
