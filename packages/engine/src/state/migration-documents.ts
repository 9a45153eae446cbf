/**
 * How an active migration is laid out in the store. Its document holds what is decided: phase, plan, evidence. What a
 * transfer tells every second is beside it, and parts that are too large for a document are texts, so that no write
 * in the middle of a transfer can be refused for its size.
 */
import type { Migration } from '@ferry/core';
import { document } from './collection.ts';
import type { StoredTexts } from './stored-texts.ts';

const version = 2;
/** What stays in the document itself; the rest of the limit is never needed. */
const inlineBytes = 64 * 1024;

/** What the samples of a transfer change. */
export type Measured = Pick<Migration, 'progress' | 'transferHistory' | 'decisions'>;

export interface MigrationDocument {
  readonly v: typeof version;
  readonly migration: Partial<Migration>;
  /** Digests of the parts that are texts, by their names. */
  readonly texts?: Readonly<Record<string, string>>;
}

type Decided = Omit<Migration, keyof Measured | 'revision'>;

export function split({ progress, transferHistory, decisions, revision: _revision, ...decided }: Migration): {
  readonly decided: Decided;
  readonly measured: Measured;
} {
  const measured = {
    ...(progress === undefined ? {} : { progress }),
    ...(transferHistory === undefined ? {} : { transferHistory }),
    ...(decisions === undefined ? {} : { decisions }),
  };
  return { decided, measured };
}

/** The largest parts become texts until the rest is small. */
export async function encodeMigration(
  decided: Decided,
  keep: (text: string) => Promise<string>,
): Promise<MigrationDocument> {
  const parts = Object.entries(decided).map(([name, value]) => ({
    name,
    value: value as unknown,
    json: jsonOf(value),
  }));
  const bytesOf = ({ json }: { readonly json: string }): number => Buffer.byteLength(json);
  let total = parts.reduce((sum, part) => sum + bytesOf(part), 0);
  const texts: Record<string, string> = {};
  for (const part of [...parts].sort((a, b) => bytesOf(b) - bytesOf(a))) {
    if (total <= inlineBytes) break;
    texts[part.name] = await keep(part.json);
    total -= bytesOf(part);
  }
  const migration = Object.fromEntries(
    parts.filter(({ name }) => !Object.hasOwn(texts, name)).map(({ name, value }) => [name, value]),
  );
  return { v: version, migration, ...(Object.keys(texts).length === 0 ? {} : { texts }) };
}

/** What is undefined is not stored, and has no text. */
const jsonOf = (value: unknown): string => (value === undefined ? '' : JSON.stringify(value));

/** Throws what is wrong with the document, in words. */
export function decodeDocument(value: unknown): MigrationDocument {
  if (typeof value !== 'object' || value === null) throw new Error('it is no object');
  if (!('v' in value)) throw new Error('it has no version');
  if (value.v !== version) throw new Error(`another Ferry wrote it (version ${String(value.v)})`);
  if (!('migration' in value) || typeof value.migration !== 'object') throw new Error('it has no migration');
  return value as MigrationDocument;
}

export const decodeMeasured = document<Measured>({});

export async function joinMigration(
  { migration, texts = {} }: MigrationDocument,
  measured: Measured,
  read: (digest: string) => ReturnType<StoredTexts['read']>,
): Promise<Migration> {
  const large = await Promise.all(
    Object.entries(texts).map(async ([name, digest]) => [name, JSON.parse(await read(digest)) as unknown] as const),
  );
  return { ...migration, ...Object.fromEntries(large), ...measured } as Migration;
}
