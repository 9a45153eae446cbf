/**
 * What Ferry made on a host for a move that is not finished, and what finished moves left behind, by machine and path.
 * A record is written before the thing it speaks of is touched, so that a later look knows whose it is. A machine keeps
 * its records when its host is removed and added again.
 */
import { normalPath, type VolumeRecord } from '@ferry/core';
import type { IntentStore } from '../ports/ports.ts';

const prefix = 'volumes/';

/** Where a record is. */
export interface RecordPlace {
  readonly id: string;
  /** UUID of the machine. */
  readonly machine: string;
}

export interface Records {
  at(place: RecordPlace, path: string): Promise<VolumeRecord | undefined>;
  put(record: VolumeRecord): Promise<void>;
  drop(record: Pick<VolumeRecord, 'host' | 'machine' | 'path'>): Promise<void>;
  /** Oldest first. */
  all(): Promise<readonly VolumeRecord[]>;
}

const keyOf = (of: string, path: string): string => `${prefix}${of}/${encodeURIComponent(normalPath(path))}`;

/** The record is of this host, under whatever id it was known. */
export const isRecordOf = (record: Pick<VolumeRecord, 'host' | 'machine'>, { id, machine }: RecordPlace): boolean =>
  record.machine === undefined ? record.host === id : record.machine === machine;

export function createRecords(intents: IntentStore): Records {
  // records of earlier versions are kept by the host's id
  const keysOf = ({ host, machine, path }: Pick<VolumeRecord, 'host' | 'machine' | 'path'>): readonly string[] => [
    ...(machine === undefined ? [] : [keyOf(machine, path)]),
    keyOf(host, path),
  ];
  return {
    async at({ id, machine }, path) {
      for (const key of keysOf({ host: id, machine, path })) {
        const entry = await intents.get(key);
        if (entry !== undefined) return entry.value as VolumeRecord;
      }
      return undefined;
    },
    async put(record) {
      const [key = '', ...older] = keysOf(record);
      await intents.commit([
        { op: 'put', key, value: record },
        ...older.map((each) => ({ op: 'delete' as const, key: each })),
      ]);
    },
    async drop(record) {
      await intents.commit(keysOf(record).map((key) => ({ op: 'delete' as const, key })));
    },
    all: async () => (await intents.list(prefix)).map(({ value }) => value as VolumeRecord).sort((a, b) => a.at - b.at),
  };
}
