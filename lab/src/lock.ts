// One change of a lab as a whole at a time (up, down). The lock is a listening abstract socket: the kernel gives its name to one process
// and takes it back when that process ends in whatever way, so there is no stale lock file to judge.

import { createServer } from 'node:net';
import type { LabRef } from './lab.ts';
import { waitFor } from './wait.ts';

export async function withLabLock<T>(lab: LabRef, action: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const server = await waitFor(`The end of another "up" or "down" of the lab "${lab.name}"`, () => listen(`\0ferry-lab:${lab.directory}`), { timeoutMs: 120_000, intervalMs: 100, signal });
  try {
    return await action();
  } finally {
    server.close();
  }
}

async function listen(path: string) {
  const server = createServer((socket) => socket.destroy());
  const { promise, resolve, reject } = Promise.withResolvers<typeof server | undefined>();
  server.once('error', (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error)));
  server.listen(path, () => resolve(server));
  return await promise;
}
