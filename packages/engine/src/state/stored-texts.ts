/**
 * Texts that are too large for a document, by their content: the document keeps the digest. They belong to an owner,
 * with whom they go; a text is written before the document that names it.
 */
import { createHash } from 'node:crypto';
import { FerryError } from '@ferry/core';
import type { IntentStore } from '../ports/ports.ts';
import { collection, text as asText } from './collection.ts';

/** Characters of one piece: as JSON in UTF-8 it stays below the limit of a document. */
const pieceLength = 40_000;

export interface StoredTexts {
  /** Resolves with the digest. */
  keep(owner: string, text: string): Promise<string>;
  /** Rejects with FerryError `store-broken` when it is not there as it was kept. */
  read(owner: string, digest: string): Promise<string>;
  drop(owner: string): Promise<void>;
}

const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex');

export function storedTexts(intents: IntentStore): StoredTexts {
  const pieces = collection(intents, 'texts/', asText);
  const place = (owner: string, digest: string): string => `${owner}/${digest}/`;
  return {
    async keep(owner, text) {
      const digest = digestOf(text);
      for (let at = 0; at * pieceLength < text.length; at += 1) {
        const piece = text.slice(at * pieceLength, (at + 1) * pieceLength);
        await pieces.change(
          `${place(owner, digest)}${String(at).padStart(6, '0')}`,
          (before) => before?.value ?? piece,
        );
      }
      return digest;
    },
    async read(owner, digest) {
      const { items } = await pieces.list(place(owner, digest));
      const text = items.map(({ value }) => value).join('');
      if (digestOf(text) !== digest)
        throw new FerryError('store-broken', `The stored text ${digest} of ${owner} is not what Ferry wrote.`);
      return text;
    },
    async drop(owner) {
      for (const { key } of (await pieces.list(`${owner}/`)).items) await pieces.change(key, () => undefined);
    },
  };
}
