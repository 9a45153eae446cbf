// A lab for one test file: a random name, gone at the end, also when the process is asked to stop (Ctrl-C of the test
// runner). A killed process cannot clean up: run tests with an own FERRY_LAB_DIR and end with "script/lab down --all"
// to be sure.

import { randomBytes } from 'node:crypto';
import { labRef } from './lab.ts';
import type { LabRef } from './lab.ts';
import { labDown, labUp } from './lifecycle.ts';
import type { LabStatus, UpOptions } from './lifecycle.ts';
import { whenStopped } from './stopping.ts';

export type TemporaryLab = AsyncDisposable & { readonly lab: LabRef; readonly status: LabStatus };

/** Brings up a lab of its own; `await using` or `[Symbol.asyncDispose]()` takes it down. */
export async function temporaryLab(options: UpOptions = {}): Promise<TemporaryLab> {
  const lab = labRef(`t-${randomBytes(4).toString('hex')}`);
  const stopping = whenStopped(() => labDown(lab));
  try {
    const signal = AbortSignal.any([stopping.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    const status = await labUp(lab, { ...options, signal });
    return {
      lab,
      status,
      [Symbol.asyncDispose]: async () => {
        await labDown(lab);
        stopping[Symbol.dispose]();
      },
    };
  } catch (error) {
    stopping[Symbol.dispose]();
    throw error;
  }
}
