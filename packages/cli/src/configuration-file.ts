/**
 * The file of `ferry apply`: YAML or JSON in, a configuration out, or what is wrong with it and in which line. Pure but
 * for the schema, which is loaded only here.
 */
import { InvalidArgumentError } from 'commander';
import { isMap, isNode, isPair, LineCounter, parseDocument, type Document } from 'yaml';
import type { ConfigurationJson } from '@ferry/api';

const mostBytes = 8 * 1024 * 1024;
const mostProblems = 10;

/** Throws InvalidArgumentError with every problem, each with its line. */
export async function parseConfiguration(text: string): Promise<ConfigurationJson> {
  if (text.length > mostBytes) throw new InvalidArgumentError('The file is larger than 8 MiB.');
  // what the end of a line is missing from was cut off while it was written or copied, and may still be YAML
  if (!/[\n}]\s*$/.test(text))
    throw new InvalidArgumentError(
      'The file ends in the middle of a line: it may be cut off. If it is whole, end its last line.',
    );
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): number => lines.linePos(offset).line;
  const [broken] = document.errors;
  if (broken !== undefined)
    throw new InvalidArgumentError(`Line ${at(broken.pos[0])}: it is not YAML: ${broken.message}`);
  const { configurationSchema } = await import('@ferry/api');
  const result = configurationSchema.safeParse(plain(document));
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue): readonly string[] => {
    const path = issue.path.map(String);
    const line = (of: readonly string[]): number => at(offsetOf(document, of));
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map(
        (key) => `Line ${line([...path, key])}: ${placeOf(path)} has no field ${JSON.stringify(key.slice(0, 100))}.`,
      );
    return [`Line ${line(path)}: ${placeOf(path)}: ${issue.message}.`];
  });
  const more = problems.length - mostProblems;
  throw new InvalidArgumentError(
    [...problems.slice(0, mostProblems), ...(more > 0 ? [`And ${more} more.`] : [])].join('\n'),
  );
}

const placeOf = (path: readonly string[]): string => (path.length === 0 ? 'the file' : path.join('.'));

/** Throws where aliases would make too much of it. */
function plain(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new InvalidArgumentError(
      `The file cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
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
