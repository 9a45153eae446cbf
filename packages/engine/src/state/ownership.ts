/**
 * What Ferry made on a host for a move that is not finished, and what finished moves left behind, by machine and path.
 * A record is written before the thing it speaks of is touched, so that a later look knows whose it is. A machine keeps
 * its records when its host is removed and added again.
 */
import { isDeepStrictEqual } from 'node:util';
import { FerryError, normalPath, type VolumeRecord } from '@ferry/core';
import type { IntentStore } from '../ports/ports.ts';
import { collection, document } from './collection.ts';
import { asStored } from './commit.ts';

const prefix = 'volumes/';

/** Where a record is: on the machine with this UUID. */
export interface RecordPlace {
  readonly machine: string;
}

export interface Records {
  at(place: RecordPlace, path: string): Promise<VolumeRecord | undefined>;
  /**
   * `seen`: what `at` gave, where the caller has decided on that. Rejects with FerryError `store-conflict` when another
   * one is there by now.
   */
  put(record: VolumeRecord, seen?: { readonly record: VolumeRecord | undefined }): Promise<void>;
  drop(record: Pick<VolumeRecord, 'machine' | 'path'>): Promise<void>;
  /** Oldest first. */
  all(): Promise<readonly VolumeRecord[]>;
}

const keyOf = ({ machine, path }: Pick<VolumeRecord, 'machine' | 'path'>): string =>
  `${machine}/${encodeURIComponent(normalPath(path))}`;

export function createRecords(intents: IntentStore): Records {
  const stored = collection(
    intents,
    prefix,
    document<VolumeRecord>({ machine: 'string', path: 'string', vm: 'object', at: 'number' }),
  );
  return {
    at: async ({ machine }, path) => (await stored.get(keyOf({ machine, path })))?.value,
    async put(record, seen) {
      await stored.change(keyOf(record), (now) => {
        if (seen !== undefined && !isDeepStrictEqual(now?.value, asStored(seen.record)))
          throw new FerryError(
            'store-conflict',
            `Another migration has just taken ${record.path} on ${record.hostName}.`,
          );
        return record;
      });
    },
    async drop(record) {
      await stored.change(keyOf(record), () => undefined);
    },
    all: async () => (await stored.list()).items.map(({ value }) => value).sort((a, b) => a.at - b.at),
  };
}
