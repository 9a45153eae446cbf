/** What the commands that print a list have in common: filters as options, formats, and --watch. */
import type { Command } from 'commander';
import { asList, contextOf } from './context.ts';
import type { WatchedList } from './watch-list.ts';

/** Filters that a list may have; each is a parameter of the API by the same name. */
const filterOptions = {
  host: ['--host <host>', 'on this host'],
  cluster: ['--cluster <cluster>', 'of this cluster'],
  state: ['--state <state>', 'in this state'],
  name: ['--name <name>', 'of this name; * stands for any characters'],
  label: ['-l, --selector <selector>', 'whose labels match, as in tier=db,zone in (a,b),!test'],
} as const;
type Filter = keyof typeof filterOptions;

export interface ListOptions {
  readonly host?: string;
  readonly cluster?: string;
  readonly state?: string;
  readonly name?: string;
  readonly selector?: string;
  readonly watch?: true;
}

/** Adds the options of a list of `what`. */
export function listCommand(command: Command, what: string, filters: readonly Filter[]): Command {
  for (const filter of filters) command.option(filterOptions[filter][0], `only ${what} ${filterOptions[filter][1]}`);
  return asList(command).option('--watch', 'go on printing what changes, until Ctrl-C');
}

/** The parameters of the API; the server refuses what it does not know. */
export const queryOf = ({ host, cluster, state, name, selector }: ListOptions): object =>
  Object.fromEntries(
    Object.entries({ host, cluster, state, name, label: selector }).filter(([, value]) => value !== undefined),
  );

export async function printList<T>(command: Command, options: ListOptions, list: WatchedList<T>): Promise<void> {
  const context = contextOf(command);
  if (options.watch === true) {
    const { untilInterrupted, watchList } = await import('./watch-list.ts');
    return untilInterrupted((signal) => watchList(context, list, signal));
  }
  const { items } = await list.read(context.client(), new AbortController().signal);
  context.output.list(items, list.look);
}
