/** What every command gets: the control plane, opened when first needed, and how to print. */
import { createRequire } from 'node:module';
import type { Command } from 'commander';
import type { Client } from '@ferry/api/client';
import { connect, type ConnectionOptions } from './connection.ts';
import { createOutput, formats, listFormats, type Format, type Output } from './output/output.ts';
import type * as yaml from './output/yaml.ts';

export interface Context {
  /** Reads the data folder each time, to find a server that restarted on another port. */
  readonly client: () => Client;
  readonly output: Output;
}

interface GlobalOptions extends ConnectionOptions {
  readonly output?: Format;
}

/** Commands that print a list, and so take the formats of lists. */
const lists = new WeakSet<Command>();
export const asList = (command: Command): Command => {
  lists.add(command);
  return command;
};
const isList = (command: Command): boolean => lists.has(command);

// only who asks for YAML loads what makes it
export const yamlOf = (value: unknown): string =>
  (createRequire(import.meta.url)('./output/yaml.ts') as typeof yaml).yamlOf(value);

/** Commands that show more of one object with -o wide. */
const wides = new WeakSet<Command>();
export const asWide = (command: Command): Command => {
  wides.add(command);
  return command;
};

export const formatsOf = (command: Command): readonly Format[] =>
  isList(command) ? listFormats : wides.has(command) ? [...formats, 'wide'] : formats;

export function contextOf(command: Command): Context {
  const options = command.optsWithGlobals<GlobalOptions>();
  const { output = 'table' } = options;
  const taken = formatsOf(command);
  if (!taken.includes(output)) command.error(`error: -o ${output} is for lists. Choose ${taken.join(', ')}.`);
  return { client: () => connect(options), output: createOutput(output, yamlOf) };
}
