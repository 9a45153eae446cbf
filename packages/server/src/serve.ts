/** `ferry serve` put together: libvirt, SQLite, engine, HTTP. The only file that knows the drivers. */
import { libvirtHypervisor, openSqliteStores } from '@ferry/adapters';
import { startEngine } from '@ferry/engine';
import { systemClock } from './clock.ts';
import { runControlPlane } from './control-plane.ts';
import type { RunningServer, ServeOptions } from './control-plane.ts';

/** Rejects with FerryError `listen-*` or `store-*`. */
export const serve = async (options: ServeOptions): Promise<RunningServer> =>
  runControlPlane(
    {
      openStores: async (dataDir) => {
        const stores = openSqliteStores(dataDir, systemClock);
        return {
          close: () => stores.close(),
          startEngine: () => startEngine({ hypervisor: libvirtHypervisor(), stores, clock: systemClock, log: options.log }),
        };
      },
    },
    options,
  );
