/** Values of options that several commands take. */
import type { MigrationCreate } from '@ferry/api';
import { InvalidArgumentError, type Command } from 'commander';

export const wholeNumber =
  (unit: string) =>
  (text: string): number => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError(`It takes a whole number of ${unit} from 1.`);
    return value;
  };

/** `A=B`, given as often as needed. */
const pairs = (text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> => {
  const [, from, to] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (from === undefined || to === undefined) throw new InvalidArgumentError('It takes SOURCE=TARGET.');
  return { ...before, [from]: to };
};

export interface MapOptions {
  readonly mapNetwork?: Record<string, string>;
  readonly mapPool?: Record<string, string>;
  readonly mapPath?: Record<string, string>;
  readonly graphicsListen?: string;
}

/** Options that say what stands for the source's names on the target. */
export const mapOptions = (command: Command): Command =>
  command
    .option('--map-network <source=target>', 'a network or bridge that has another name on the target; may be given again', pairs)
    .option('--map-pool <source=target>', 'a storage pool; may be given again', pairs)
    .option('--map-path <source=target>', 'a file or folder, and what lies below; may be given again', pairs)
    .option('--graphics-listen <address>', "address on which the target's consoles listen");

export const mapOf = ({ mapNetwork, mapPool, mapPath, graphicsListen }: MapOptions): { readonly map?: NonNullable<MigrationCreate['map']> } => {
  const map = {
    ...(mapNetwork === undefined ? {} : { networks: mapNetwork }),
    ...(mapPool === undefined ? {} : { pools: mapPool }),
    ...(mapPath === undefined ? {} : { paths: mapPath }),
    ...(graphicsListen === undefined ? {} : { graphicsListen }),
  };
  return Object.keys(map).length === 0 ? {} : { map };
};
