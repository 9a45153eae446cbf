/** The list of the VMs: its columns, and which events it is about. */
import type { VmJson } from '@ferry/api';
import { everyItem } from '@ferry/api/every-item';
import { queryOf, type ListOptions } from '../list-command.ts';
import type { ListLook } from '../output/columns.ts';
import { formatBytes } from '../output/format.ts';
import { stateText } from '../output/vm-text.ts';
import { anyItem, type WatchedList } from '../watch-list.ts';

const vmLook: ListLook<VmJson> = {
  columns: [
    { name: 'name', of: ({ name }) => name },
    { name: 'state', of: stateText },
    { name: 'host', of: ({ host }) => host },
    { name: 'memory', of: ({ memoryBytes }) => formatBytes(memoryBytes), raw: ({ memoryBytes }) => memoryBytes },
    { name: 'vcpus', of: ({ vcpus }) => vcpus },
    { name: 'migration', of: ({ currentMigration }) => currentMigration },
    { name: 'labels', of: ({ labels }) => labels?.join(','), wide: true },
    { name: 'disks', of: ({ disks }) => disks.length, wide: true },
    { name: 'instances', of: ({ instances }) => instances.map(({ host }) => host).join(','), wide: true },
    { name: 'uuid', of: ({ uuid }) => uuid },
  ],
  name: ({ name }) => name,
};

const only = (uuid: string | undefined): { readonly uuid?: string } => (uuid === undefined ? {} : { uuid });

export const vmList = (options: ListOptions): WatchedList<VmJson> => ({
  look: vmLook,
  keyOf: ({ uuid }) => uuid,
  read: (client, signal, uuid) =>
    everyItem((page) => client.call('vmList', { query: { ...queryOf(options), ...only(uuid), ...page }, signal })),
  concerns: (event) => {
    switch (event.type) {
      case 'vm':
        return event.vm.uuid;
      case 'vm-removed':
        return event.uuid;
      case 'host':
        // a host may have come to the cluster
        return options.cluster === undefined ? undefined : anyItem;
      default:
        return undefined;
    }
  },
});
