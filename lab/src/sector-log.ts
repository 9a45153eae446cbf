// What a sector guest (boot-sector.ts) has said on its serial line: one byte per beat of its timer and per MiB it
// dirtied. The log has no times; for a rate or a pause, read its length repeatedly (bench/src/guest-watch.ts).

import { SECTOR_BYTES } from './boot-sector.ts';

export type SectorReport = {
  readonly boots: number;
  /** Its memory is filled and it dirties. */
  readonly ready: boolean;
  /** Beats of its timer, 250 per second that it ran. */
  readonly beats: number;
  readonly hotMib: number;
  readonly coldMib: number;
  /** Pages that did not hold what the guest had written there. */
  readonly damaged: number;
};

export function readSector(log: string): SectorReport {
  const count = (character: string): number => log.split(character).length - 1;
  return {
    boots: count(SECTOR_BYTES.booted),
    ready: log.includes(SECTOR_BYTES.ready),
    beats: count(SECTOR_BYTES.beat),
    hotMib: count(SECTOR_BYTES.hot),
    coldMib: count(SECTOR_BYTES.cold),
    damaged: count(SECTOR_BYTES.damaged),
  };
}
