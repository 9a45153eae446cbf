// A lab for one test file: a random name, gone at the end, also when the process is asked to stop (Ctrl-C of the test runner).
// A killed process cannot clean up: run tests with an own FERRY_LAB_DIR and end with "script/lab down --all" to be sure.

import { randomBytes } from 'node:crypto';
import { messageOf } from './errors.ts';
import { labRef } from './lab.ts';
import type { LabRef } from './lab.ts';
import { labDown, labUp } from './lifecycle.ts';
import type { LabStatus, UpOptions } from './lifecycle.ts';

export type TemporaryLab = AsyncDisposable & { readonly lab: LabRef; readonly status: LabStatus };

/** Brings up a lab of its own; `await using` or `[Symbol.asyncDispose]()` takes it down. */
export async function temporaryLab(options: UpOptions = {}): Promise<TemporaryLab> {
  const lab = labRef(`t-${randomBytes(4).toString('hex')}`);
  const stop = new AbortController();
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const release = (): void => {
    for (const name of names) process.off(name, onSignal);
  };
  const onSignal = (name: NodeJS.Signals): void => {
    // a second Ctrl-C must not cut the removal short
    if (stop.signal.aborted) return;
    stop.abort();
    void labDown(lab)
      .catch((error: unknown) => process.stderr.write(`lab: ${messageOf(error)}\n`))
      .finally(() => {
        release();
        // without a handler the signal does what it does; a process with several labs ends with the last of them
        if (process.listenerCount(name) === 0) process.kill(process.pid, name);
      });
  };
  for (const name of names) process.on(name, onSignal);
  try {
    const signal = AbortSignal.any([stop.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    const status = await labUp(lab, { ...options, signal });
    return {
      lab,
      status,
      [Symbol.asyncDispose]: async () => {
        await labDown(lab);
        release();
      },
    };
  } catch (error) {
    if (!stop.signal.aborted) release();
    throw error;
  }
}
