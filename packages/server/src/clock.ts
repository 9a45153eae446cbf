/** The engine's clock on the machine's time and randomness. Tests bring their own. */
import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '@ferry/engine';

const letters = '0123456789abcdefghijklmnopqrstuvwxyz';

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    try {
      await sleep(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      throw signal?.aborted === true ? signal.reason : error;
    }
  },
  randomText: (length) => Array.from({ length }, () => letters.charAt(randomInt(letters.length))).join(''),
  randomUuid: () => randomUUID(),
};
