// One change of a kind at a time: of a lab as a whole (up, down), of a root that all labs use. The lock is a listening
// abstract socket: the kernel gives its name to one process and takes it back when that process ends in whatever way,
// so there is no stale lock file to judge.

import { createServer } from 'node:net';
import type { LabRef } from './lab.ts';
import { waitFor } from './wait.ts';
import type { WaitOptions } from './wait.ts';

export async function withLabLock<T>(lab: LabRef, action: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  return await exclusively(
    `The end of another "up" or "down" of the lab "${lab.name}"`,
    lab.directory,
    { timeoutMs: 120_000, signal },
    action,
  );
}

/** Runs the action while no other process on the machine does so for the same path. `what` is waited for. */
export async function exclusively<T>(
  what: string,
  path: string,
  wait: WaitOptions,
  action: () => Promise<T>,
): Promise<T> {
  const server = await waitFor(what, () => listen(`\0ferry-lab:${path}`), { intervalMs: 100, ...wait });
  try {
    return await action();
  } finally {
    server.close();
  }
}

async function listen(path: string) {
  const server = createServer((socket) => socket.destroy());
  const { promise, resolve, reject } = Promise.withResolvers<typeof server | undefined>();
  server.once('error', (error: NodeJS.ErrnoException) =>
    error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
  );
  server.listen(path, () => resolve(server));
  return await promise;
}
