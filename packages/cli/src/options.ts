/** Values of options that several commands take. */
import type { MigrationCreate } from '@ferry/api';
import { InvalidArgumentError, type Command } from 'commander';

export const wholeNumber =
  (unit: string) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < 1)
      throw new InvalidArgumentError(`It takes a whole number of ${unit} from 1.`);
    return value;
  };

/** A limit of a setting; "" takes it away. */
export const limit = (text: string): number | '' => (text === '' ? '' : wholeNumber('migrations')(text));

/** Seconds, or with a unit: 90, 90s, 10m, 2h. Gives ms. */
export const duration = (text: string): number => {
  const [, digits, unit = 's'] = /^(\d{1,9})([smh]?)$/.exec(text) ?? [];
  const value = Number(digits) * (unit === 'h' ? 3_600_000 : unit === 'm' ? 60_000 : 1_000);
  if (digits === undefined || value < 1_000)
    throw new InvalidArgumentError('It takes seconds, or a time as in 90s, 10m or 2h.');
  return value;
};

/** Labels to add, and with `-` at the end to remove: tier=db, tier=db-. */
export const labelChange = (labels: readonly string[]): { readonly add: string[]; readonly remove: string[] } => ({
  add: labels.filter((label) => !label.endsWith('-')),
  remove: labels.filter((label) => label.endsWith('-')).map((label) => label.slice(0, -1)),
});

/** Entries of a map so far; null takes one away. */
type Entries = Readonly<Record<string, string | null>> | undefined;

/** `A=B`, given as often as needed. */
const pairs = (text: string, before: Entries): Entries => {
  const [, from, to] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (from === undefined || to === undefined) throw new InvalidArgumentError('It takes SOURCE=TARGET.');
  return { ...before, [from]: to };
};

/** The same where `A=` takes an entry away. */
export const changedPairs = (text: string, before: Entries): Entries => {
  const [, gone] = /^([^=]+)=$/.exec(text) ?? [];
  return gone === undefined ? pairs(text, before) : { ...before, [gone]: null };
};

export interface MapOptions {
  readonly mapNetwork?: Record<string, string>;
  readonly mapPool?: Record<string, string>;
  readonly mapPath?: Record<string, string>;
  readonly graphicsListen?: string;
}

/** Options that map the source's names to names on the target. */
export const mapOptions = (command: Command, parse: (text: string, before: Entries) => Entries = pairs): Command =>
  command
    .option('--map-network <source=target>', 'a network or bridge with another name on the target; repeatable', parse)
    .option('--map-pool <source=target>', 'a storage pool; repeatable', parse)
    .option('--map-path <source=target>', 'a file or folder with everything below; repeatable', parse)
    .option('--graphics-listen <address>', "address on which the target's consoles listen");

export const mapOf = ({
  mapNetwork,
  mapPool,
  mapPath,
  graphicsListen,
}: MapOptions): { readonly map?: NonNullable<MigrationCreate['map']> } => {
  const map = {
    ...(mapNetwork === undefined ? {} : { networks: mapNetwork }),
    ...(mapPool === undefined ? {} : { pools: mapPool }),
    ...(mapPath === undefined ? {} : { paths: mapPath }),
    ...(graphicsListen === undefined ? {} : { graphicsListen }),
  };
  return Object.keys(map).length === 0 ? {} : { map };
};
