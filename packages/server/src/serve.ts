/** `ferry serve` put together: libvirt, SQLite, engine, HTTP. The only file that knows the drivers. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { libvirtHypervisor, openSqliteStores } from '@ferry/adapters';
import { startEngine } from '@ferry/engine';
import { systemClock } from './clock.ts';
import { runControlPlane } from './control-plane.ts';
import type { RunningServer, ServeOptions } from './control-plane.ts';

export interface AccessOptions {
  /** Folder of this side's TLS files; absent: libvirt's usual places. */
  readonly pkiPath?: string;
  /** Names and passwords for hosts that want them, as in libvirt's auth.conf. */
  readonly authFile?: string;
  /** Read by ssh in place of the user's own configuration. */
  readonly sshConfig?: string;
}

/** Rejects with FerryError `listen-*` or `store-*`. */
export const serve = async (options: ServeOptions & AccessOptions): Promise<RunningServer> =>
  runControlPlane(
    {
      openStores: async (dataDir) => {
        const stores = openSqliteStores(dataDir, systemClock);
        // a unix socket's path must be short, which that of the data folder may not be
        const controlDirectory = await mkdtemp(join(tmpdir(), 'ferry-ssh-'));
        const hypervisor = libvirtHypervisor({ pkiPath: options.pkiPath, authFile: options.authFile, ssh: { configFile: options.sshConfig, controlDirectory } });
        return {
          close: async () => {
            await stores.close();
            await rm(controlDirectory, { recursive: true, force: true });
          },
          startEngine: () => startEngine({ hypervisor, stores, clock: systemClock, log: options.log }),
        };
      },
    },
    options,
  );
