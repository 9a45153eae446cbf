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

/** Where a record is. */
export interface RecordPlace {
  readonly id: string;
  /** UUID of the machine. */
  readonly machine: string;
}

export interface Records {
  at(place: RecordPlace, path: string): Promise<VolumeRecord | undefined>;
  /**
   * `seen`: what `at` gave, where the caller has decided on that. Rejects with FerryError `store-conflict` when another
   * one is there by now.
   */
  put(record: VolumeRecord, seen?: { readonly record: VolumeRecord | undefined }): Promise<void>;
  drop(record: Pick<VolumeRecord, 'host' | 'machine' | 'path'>): Promise<void>;
  /** Oldest first. */
  all(): Promise<readonly VolumeRecord[]>;
}

const keyOf = (of: string, path: string): string => `${of}/${encodeURIComponent(normalPath(path))}`;

/** The record is of this host, under whatever id it was known. */
export const isRecordOf = (record: Pick<VolumeRecord, 'host' | 'machine'>, { id, machine }: RecordPlace): boolean =>
  record.machine === undefined ? record.host === id : record.machine === machine;

export function createRecords(intents: IntentStore): Records {
  const stored = collection(
    intents,
    prefix,
    document<VolumeRecord>({ host: 'string', path: 'string', vm: 'object', at: 'number' }),
  );
  // records of earlier versions are kept by the host's id
  const keysOf = ({ host, machine, path }: Pick<VolumeRecord, 'host' | 'machine' | 'path'>): readonly string[] => [
    ...(machine === undefined ? [] : [keyOf(machine, path)]),
    keyOf(host, path),
  ];
  return {
    async at({ id, machine }, path) {
      for (const key of keysOf({ host: id, machine, path })) {
        const found = await stored.get(key);
        if (found !== undefined) return found.value;
      }
      return undefined;
    },
    async put(record, seen) {
      const [key = '', older] = keysOf(record);
      const before = older === undefined ? undefined : await stored.get(older);
      await stored.change(
        key,
        (now) => {
          if (seen !== undefined && !isDeepStrictEqual((now ?? before)?.value, asStored(seen.record)))
            throw new FerryError(
              'store-conflict',
              `Another migration has just taken ${record.path} on ${record.hostName}.`,
            );
          return record;
        },
        async () => (before === undefined ? [] : [stored.delete(before.key, before.revision)]),
      );
    },
    async drop(record) {
      for (const key of keysOf(record)) await stored.change(key, () => undefined);
    },
    all: async () => (await stored.list()).items.map(({ value }) => value).sort((a, b) => a.at - b.at),
  };
}
