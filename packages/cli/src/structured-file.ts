/**
 * Files of YAML or JSON that people write: what is wrong with one is said with its line. Pure; the schema is the
 * caller's.
 */
import { InvalidArgumentError } from 'commander';
import { isMap, isNode, isPair, LineCounter, parseDocument, type Document } from 'yaml';
import { printable } from './output/format.ts';

const mostBytes = 8 * 1024 * 1024;
const mostProblems = 10;

/** What is needed of a schema of zod. */
export interface Schema<T> {
  safeParse(
    value: unknown,
  ): { readonly success: true; readonly data: T } | { readonly success: false; readonly error: SchemaError };
}
interface SchemaError {
  readonly issues: readonly {
    readonly path: readonly PropertyKey[];
    readonly message: string;
    /** Fields that are not known. */
    readonly keys?: readonly string[];
  }[];
}

/** Throws InvalidArgumentError with every problem, each with its line. `refuse`: is asked first. */
export function parseStructured<T>(
  text: string,
  schema: Schema<T>,
  refuse: (value: unknown) => void = () => undefined,
): T {
  if (text.length > mostBytes) throw new InvalidArgumentError('The file is larger than 8 MiB.');
  // what the end of a line is missing from was cut off while it was written or copied, and may still be YAML
  if (!/[\n}]\s*$/.test(text))
    throw new InvalidArgumentError(
      'The file ends in the middle of a line: it may be cut off. If it is whole, end its last line.',
    );
  const lines = new LineCounter();
  const document = documentOf(text, lines);
  const at = (offset: number): number => lines.linePos(offset).line;
  const [broken] = document.errors;
  if (broken !== undefined)
    throw new InvalidArgumentError(`Line ${at(broken.pos[0])}: it is not YAML: ${broken.message}`);
  const value = plain(document);
  refuse(value);
  return checked(value, schema, (path) => `Line ${at(offsetOf(document, path))}: `);
}

/** The value as the schema has it. Throws InvalidArgumentError. `lineOf`: how a sentence about a place begins. */
export function checked<T>(value: unknown, schema: Schema<T>, lineOf: (path: readonly string[]) => string): T {
  const dropped = droppedIn(value);
  if (dropped !== undefined)
    throw invalid([`${lineOf(dropped)}${placeOf(dropped.slice(0, -1))}: nothing can have the name "__proto__".`]);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw invalid(problemsOf(result.error, lineOf));
}

/** No file is as deep as this. */
const deepest = 32;

/** Where it has a key that zod leaves out without a word. */
function droppedIn(value: unknown, depth = 0): readonly string[] | undefined {
  if (typeof value !== 'object' || value === null || depth > deepest) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    const below = key === '__proto__' ? [] : droppedIn(inner, depth + 1);
    if (below !== undefined) return [key, ...below];
  }
  return undefined;
}

const problemsOf = (error: SchemaError, lineOf: (path: readonly string[]) => string): readonly string[] =>
  error.issues.flatMap((issue): readonly string[] => {
    const path = issue.path.map(String);
    if (issue.keys !== undefined)
      return issue.keys.map(
        (key) => `${lineOf([...path, key])}${placeOf(path)} has no field ${JSON.stringify(key.slice(0, 100))}.`,
      );
    return [`${lineOf(path)}${placeOf(path)}: ${issue.message}.`];
  });

export function invalid(problems: readonly string[]): InvalidArgumentError {
  const more = problems.length - mostProblems;
  return new InvalidArgumentError(
    [...problems.slice(0, mostProblems), ...(more > 0 ? [`And ${more} more.`] : [])].join('\n'),
  );
}

const placeOf = (path: readonly string[]): string => (path.length === 0 ? 'the file' : printable(path.join('.')));

const unreadable = (error: unknown): InvalidArgumentError =>
  new InvalidArgumentError(`The file cannot be read: ${error instanceof Error ? error.message : String(error)}`);

/** Throws where it is nested too deeply. */
function documentOf(text: string, lineCounter: LineCounter): Document {
  try {
    return parseDocument(text, { lineCounter, prettyErrors: false });
  } catch (error) {
    throw unreadable(error);
  }
}

/** Throws where aliases would make too much of it. */
function plain(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw unreadable(error);
  }
}

/** Where the key of this place is, or else the nearest that is around it. */
function offsetOf(document: Document, path: readonly string[]): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const key of path) {
    const item = isMap(node)
      ? node.items.find((pair) => isPair(pair) && String(pair.key) === key)
      : isNode(node) && 'items' in node && Array.isArray(node.items)
        ? node.items[Number(key)]
        : undefined;
    const start = isPair(item) ? item.key : item;
    if (isNode(start) && start.range !== undefined && start.range !== null) [offset] = start.range;
    node = isPair(item) ? item.value : item;
  }
  return offset;
}
