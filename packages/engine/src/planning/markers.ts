/**
 * The marker files that show whether two hosts share a folder. Each is recorded before it is made: one that outlives
 * Ferry, or could not be removed, goes as soon as its host is connected again.
 */
import { FerryError, type TimeMs } from '@ferry/core';
import type { Clock, IntentStore, Log, PathPort } from '../ports/ports.ts';
import { collection, document } from '../state/collection.ts';

/** For removing one, also when the caller has given up. */
const removeMs = 10_000;
/** The host may still make one within this time, where no answer came to the call or Ferry was killed during it. */
const lateMs = 60_000;

interface Marker {
  /** UUID: a host that is removed and added again is the same machine. */
  readonly machine: string;
  readonly folder: string;
  readonly name: string;
  readonly at: TimeMs;
}

/** Where a marker is. */
export interface MarkerSide {
  readonly name: string;
  readonly machine: string;
  readonly paths: Pick<PathPort, 'marker'>;
}

/** Disposing of it removes the file, and never rejects. */
export interface LeftMarker extends AsyncDisposable {
  readonly name: string;
  /** False: the host has no such folder, and nothing was made. */
  readonly folder: boolean;
}

export interface Markers {
  /** Rejects as the host or the store does; nothing stays behind then. */
  leave(side: MarkerSide, folder: string, signal: AbortSignal): Promise<LeftMarker>;
  /** Removes what was left on this machine. Never rejects. */
  sweep(side: MarkerSide): Promise<void>;
}

export async function openMarkers({
  intents,
  clock,
  log,
  signal: closing,
}: {
  readonly intents: IntentStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}): Promise<Markers> {
  const records = collection(intents, 'markers/', document<Marker>({ machine: 'string', folder: 'string' }));
  /** Those that nobody uses any more, by name. */
  const left = new Map((await records.list()).items.map(({ value }) => [value.name, value]));

  const forget = (marker: Marker): Promise<unknown> => records.change(marker.name, () => undefined);
  const remove = async (side: MarkerSide, marker: Marker, mayBeLate: boolean): Promise<void> => {
    const { paths, name: host } = side;
    try {
      await paths.marker('remove', marker.folder, marker.name, clock.timeout(removeMs));
      if (mayBeLate && clock.now() - marker.at < lateMs) void removeAgain(side, marker);
      else await forget(marker);
    } catch (error) {
      left.set(marker.name, marker);
      log.warn({ err: error, host, ...marker }, 'a marker stays until its host is connected again');
    }
  };

  const removeAgain = async (side: MarkerSide, marker: Marker): Promise<void> => {
    const stopped = await clock.sleep(marker.at + lateMs - clock.now(), closing).then(
      () => false,
      () => true,
    );
    if (!stopped) await remove(side, marker, true);
  };

  return {
    async leave(side, folder, signal) {
      const name = `ferry-proof-${clock.randomText(12)}`;
      const marker: Marker = { machine: side.machine, folder, name, at: clock.now() };
      await records.change(name, () => marker);
      try {
        const { folder: isThere } = await side.paths.marker('leave', folder, name, signal);
        if (!isThere) await forget(marker);
        return {
          name,
          folder: isThere,
          [Symbol.asyncDispose]: async () => (isThere ? remove(side, marker, false) : undefined),
        };
      } catch (error) {
        // only a host that has refused has made nothing for sure
        await (error instanceof FerryError && !error.unanswered ? forget(marker) : remove(side, marker, true));
        throw error;
      }
    },
    async sweep(side) {
      const here = [...left.values()].filter(({ machine }) => machine === side.machine);
      for (const { name } of here) left.delete(name);
      for (const marker of here) await remove(side, marker, true);
    },
  };
}
