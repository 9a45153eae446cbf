/** What every command gets: the control plane, opened when first needed, and how to print. */
import type { Command } from 'commander';
import type { Client } from '@ferry/api/client';
import { connect, type ConnectionOptions } from './connection.ts';
import { createOutput, type Output } from './output/output.ts';

export interface Context {
  /** Reads the data folder each time, to find a server that restarted on another port. */
  readonly client: () => Client;
  readonly output: Output;
}

interface GlobalOptions extends ConnectionOptions {
  readonly output?: 'table' | 'json';
}

export function contextOf(command: Command): Context {
  const options = command.optsWithGlobals<GlobalOptions>();
  return { client: () => connect(options), output: createOutput(options.output === 'json') };
}
