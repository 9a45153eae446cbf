/**
 * The engine's clock on the machine's time and randomness. Time counts from the machine's start, so that a step of its
 * clock (NTP, an operator) neither makes a migration an hour longer nor ends its patience; the machine's clock says
 * only where the counting began. Tests bring their own.
 */
import { randomInt, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock, TimeAnchor } from '@ferry/engine';

const letters = '0123456789abcdefghijklmnopqrstuvwxyz';

/** If the machine has neither, processes share nothing, and each starts with the machine's clock. */
function bootOf(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return randomUUID();
  }
}

export interface Machine {
  /** Milliseconds since 1970; may step. */
  readonly wallMs: () => number;
  /** Milliseconds since the machine was started; never steps. */
  readonly sinceBootMs: () => number;
  readonly boot: string;
}

const thisMachine: Machine = {
  wallMs: () => Date.now(),
  sinceBootMs: () => Number(process.hrtime.bigint() / 1_000_000n),
  boot: bootOf(),
};

export function createClock(machine: Machine = thisMachine): Clock {
  const fromWall = (): TimeAnchor => ({ boot: machine.boot, offsetMs: machine.wallMs() - machine.sinceBootMs() });
  let anchor = fromWall();
  return {
    now: () => machine.sinceBootMs() + anchor.offsetMs,
    anchor: (last) => (anchor = last?.boot === machine.boot ? last : fromWall()),
    sleep: async (ms, signal) => {
      try {
        await sleep(ms, undefined, signal === undefined ? {} : { signal });
      } catch (error) {
        throw signal?.aborted === true ? signal.reason : error;
      }
    },
    timeout: (ms) => AbortSignal.timeout(ms),
    randomText: (length) => Array.from({ length }, () => letters.charAt(randomInt(letters.length))).join(''),
    randomUuid: () => randomUUID(),
  };
}
