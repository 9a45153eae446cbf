/**
 * Which host's daemon was seen not to reach which other's: the next move between them need not try again for a while.
 */
import type { HostId, TimeMs } from '@ferry/core';
import type { Clock, IntentStore } from '../ports/ports.ts';

import { collection, document } from '../state/collection.ts';

const prefix = 'peers/';
/** After this time the hosts are given another chance. */
const believedForMs = 24 * 3_600_000;

export interface PeerRefusal {
  readonly at: TimeMs;
  readonly message: string;
}

export interface Peers {
  notReached(from: string, to: string, message: string): Promise<void>;
  /** It did: what was remembered to the contrary is forgotten. */
  reached(from: string, to: string): Promise<void>;
  /** What is remembered of a host that is removed, whichever side it was. */
  forget(host: string): Promise<void>;
  /** By target. */
  refusalsOf(from: string): Promise<ReadonlyMap<HostId, PeerRefusal>>;
}

export function createPeers(intents: IntentStore, clock: Clock): Peers {
  const refusals = collection(intents, prefix, document<PeerRefusal>({ at: 'number', message: 'string' }));
  return {
    async notReached(from, to, message) {
      await refusals.change(`${from}/${to}`, () => ({ at: clock.now(), message }));
    },
    async reached(from, to) {
      await refusals.change(`${from}/${to}`, () => undefined);
    },
    async forget(host) {
      const { items } = await refusals.list();
      for (const { key } of items) if (key.split('/').includes(host)) await refusals.change(key, () => undefined);
    },
    async refusalsOf(from) {
      const { items } = await refusals.list(`${from}/`);
      return new Map(
        items
          .filter(({ value: { at } }) => clock.now() - at < believedForMs)
          .map(({ key, value }) => [key.slice(from.length + 1) as HostId, value]),
      );
    },
  };
}
