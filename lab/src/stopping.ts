// What a process does when it is asked to stop (Ctrl-C, SIGTERM, a terminal that closes): each part that has started
// something cleans it up, then the process ends by the same signal. Parts do not know of each other; the last one to be
// done ends the process.

import { messageOf } from './errors.ts';

export type Stopping = Disposable & {
  /** Aborted once the process is asked to stop. */
  readonly signal: AbortSignal;
};

/** Registers `clean` until it is disposed of. A second Ctrl-C does not cut it short. */
export function whenStopped(clean: () => Promise<unknown> | void): Stopping {
  const stop = new AbortController();
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const release = (): void => {
    for (const name of names) process.off(name, onSignal);
  };
  const onSignal = (name: NodeJS.Signals): void => {
    if (stop.signal.aborted) return;
    stop.abort();
    void (async () => clean())()
      .catch((error: unknown) => process.stderr.write(`stopping: ${messageOf(error)}\n`))
      .finally(() => {
        release();
        // without a handler the signal does what it does
        if (process.listenerCount(name) === 0) process.kill(process.pid, name);
      });
  };
  for (const name of names) process.on(name, onSignal);
  return {
    signal: stop.signal,
    [Symbol.dispose]: () => {
      // what is being cleaned up releases itself
      if (!stop.signal.aborted) release();
    },
  };
}
