/** `ferry serve` put together: libvirt, SQLite, engine, HTTP. The only file that knows the drivers. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { hookCaller, libvirtHypervisor, openSqliteStores } from '@ferry/adapters';
import { startEngine } from '@ferry/engine';
import { createClock } from './clock.ts';
import { runControlPlane } from './control-plane.ts';
import type { RunningServer, ServeOptions } from './control-plane.ts';

const defaultHookDir = '/etc/ferry/hooks';

export interface AccessOptions {
  /** Folder of this side's TLS files; absent: libvirt's usual places. */
  readonly pkiPath?: string;
  /** User names and passwords for hosts that require them, as in libvirt's auth.conf. */
  readonly authFile?: string;
  /** Read by ssh in place of the user's own configuration. */
  readonly sshConfig?: string;
  /** Folder of the programs and keys that hooks may name; absent: `defaultHookDir`. */
  readonly hookDir?: string;
}

/** Rejects with FerryError `listen-*` or `store-*`. */
export const serve = async (options: ServeOptions & AccessOptions): Promise<RunningServer> =>
  runControlPlane(
    {
      openStores: async (dataDir) => {
        const clock = createClock();
        const stores = openSqliteStores(dataDir, clock);
        const sockets = await socketDirectory(dataDir);
        const hypervisor = libvirtHypervisor({
          pkiPath: options.pkiPath,
          authFile: options.authFile,
          ssh: { configFile: options.sshConfig, controlDirectory: sockets.path },
        });
        return {
          close: async () => {
            await stores.close();
            await sockets.remove();
          },
          startEngine: (hurry) =>
            startEngine({
              hypervisor,
              stores,
              clock,
              log: options.log,
              hooks: hookCaller(options.hookDir ?? defaultHookDir),
              ...(hurry === undefined ? {} : { hurry }),
            }),
        };
      },
    },
    options,
  );

/** The path of a unix socket has at most 107 bytes, of which ssh's own name takes 58. */
const longestSocketDirectory = 48;

/** Where connections to one host share one ssh: in the data folder, unless its path is too long for a socket. */
async function socketDirectory(
  dataDir: string,
): Promise<{ readonly path: string; readonly remove: () => Promise<void> }> {
  const own = resolve(dataDir, 'ssh');
  const path = Buffer.byteLength(own) <= longestSocketDirectory ? own : await mkdtemp(join(tmpdir(), 'ferry-ssh-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}
