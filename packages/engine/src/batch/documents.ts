/**
 * The stored documents of batches. One whose members are long is packed: as JSON it might be larger than a document may be.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Batch } from '@ferry/core';
import type { IntentStore } from '../ports/ports.ts';
import { collection, document, type Collection } from '../state/collection.ts';

/** Members whose JSON is longer are packed. */
const plainLength = 100_000;
/** Of a text from the store: it is no batch beyond this. */
const mostBytes = 16 * 1_048_576;

const decode = document<Batch>({ id: 'string', name: 'string', kind: 'string', phase: 'string', members: 'array' });

const packed = ({ members: _members, ...batch }: Batch, members: string): object => ({
  ...batch,
  packedMembers: deflateRawSync(members).toString('base64'),
});

function unpacked(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('packedMembers' in value)) return value;
  const { packedMembers, ...batch } = value;
  const bytes = inflateRawSync(Buffer.from(String(packedMembers), 'base64'), { maxOutputLength: mostBytes });
  return { ...batch, members: JSON.parse(bytes.toString()) as unknown };
}

export function batchDocuments(intents: IntentStore): Collection<Batch> {
  const prefix = 'batches/';
  const plain = collection(intents, prefix, (value) => decode(unpacked(value)));
  return {
    ...plain,
    put(key, batch, ifRevision) {
      const members = JSON.stringify(batch.members);
      return members.length > plainLength
        ? { op: 'put', key: prefix + key, value: packed(batch, members), ifRevision }
        : plain.put(key, batch, ifRevision);
    },
  };
}
