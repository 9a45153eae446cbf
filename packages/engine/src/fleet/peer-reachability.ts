/**
 * Which host's daemon was seen not to reach which other's: the next move between them need not try again for a while.
 */
import type { HostId, TimeMs } from '@ferry/core';
import type { Clock, IntentStore } from '../ports/ports.ts';

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
  /** By target. */
  refusalsOf(from: string): Promise<ReadonlyMap<HostId, PeerRefusal>>;
}

export const createPeers = (intents: IntentStore, clock: Clock): Peers => ({
  async notReached(from, to, message) {
    await intents.commit([
      { op: 'put', key: `${prefix}${from}/${to}`, value: { at: clock.now(), message } satisfies PeerRefusal },
    ]);
  },
  async reached(from, to) {
    const key = `${prefix}${from}/${to}`;
    if ((await intents.get(key)) !== undefined) await intents.commit([{ op: 'delete', key }]);
  },
  async refusalsOf(from) {
    const known = await intents.list(`${prefix}${from}/`);
    const fresh = known.flatMap(({ key, value }): readonly (readonly [HostId, PeerRefusal])[] => {
      const refusal = value as PeerRefusal;
      return clock.now() - refusal.at < believedForMs
        ? [[key.slice(prefix.length + from.length + 1) as HostId, refusal]]
        : [];
    });
    return new Map(fresh);
  },
});
