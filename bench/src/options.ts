// The options of a benchmark. What is asked in a wrong way ends with a sentence and exit code 2, before anything is
// started.

import { parseArgs } from 'node:util';
import type { ParseArgsConfig } from 'node:util';

/** Those of every benchmark. */
export const usual = { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } } as const;

/** Like `parseArgs`. */
export function optionsOf<const T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    const [sentence = ''] = (error instanceof Error ? error.message : String(error)).split('. ');
    const known = Object.keys(config.options ?? {}).map((name) => `--${name}`);
    return refuse(`${sentence}.${known.length === 0 ? '' : ` The options are ${known.join(', ')}.`}`);
  }
}

export function refuse(sentence: string): never {
  process.stderr.write(`script/bench: ${sentence}\n`);
  process.exit(2);
}
