/**
 * Keeps the engine's time steady while migrations run, also over a restart of the control plane, and lets it follow
 * the machine's clock when none does.
 */
import type { Clock, IntentStore, TimeAnchor } from '../ports/ports.ts';

import { collection, document } from '../state/collection.ts';

const key = 'time-anchor';
/** Below this the machine's clock is slewed, not stepped, and a write of the store is not worth it. */
const stepMs = 1_000;

export interface SteadyTime {
  /** A migration is about to begin, and no other runs. */
  followWall(): Promise<void>;
}

/** `running`: an earlier control plane left migrations unfinished, whose times were its own. */
export async function openSteadyTime(intents: IntentStore, clock: Clock, running: boolean): Promise<SteadyTime> {
  const anchors = collection(intents, '', document<TimeAnchor>({ boot: 'string', offsetMs: 'number' }));
  let stored = (await anchors.get(key))?.value;
  const take = async (anchor: TimeAnchor): Promise<void> => {
    if (stored?.boot === anchor.boot && Math.abs(stored.offsetMs - anchor.offsetMs) < stepMs) return;
    await anchors.change(key, () => anchor);
    stored = anchor;
  };
  await take(running ? clock.anchor(stored) : clock.anchor());
  return { followWall: () => take(clock.anchor()) };
}
