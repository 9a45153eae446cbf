/**
 * Plans on a file of `ferry fleet export`: it is read, checked, and asked by the core that the control plane decides
 * with. The rest of the command line does not load it.
 */
import { InvalidArgumentError } from 'commander';
import { readInput } from './input-file.ts';
import { fleetFileSchema, fleetFileVersion, fleetOfFile, type FleetFileJson } from '@ferry/api/offline';
import { checked, invalid, parseStructured } from './structured-file.ts';

export { drainOnFile, moveOnFile } from '@ferry/api/offline';

const mostBytes = 256 * 1024 * 1024;

/** Throws InvalidArgumentError with what is wrong with it. */
export function readFleet(file: string) {
  const read = fleetOfFile(parseFleetFile(readInput(file, mostBytes)));
  if ('problems' in read) throw invalid(read.problems);
  return read.fleet;
}

/** JSON is not read by the parser of YAML, which would take too long for a large fleet. */
export function parseFleetFile(text: string): FleetFileJson {
  if (!/^\s*\{/.test(text)) return parseYaml(text);
  const value = jsonOf(text);
  refuseVersion(value);
  return checked(value, fleetFileSchema, () => '');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new InvalidArgumentError(
      `The file is not JSON, or it was cut off: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

/** What ends between two lines is still YAML. */
function parseYaml(text: string): FleetFileJson {
  let missing: string | undefined;
  try {
    return parseStructured(text, fleetFileSchema, (value) => {
      refuseVersion(value);
      missing = missingList(value);
    });
  } catch (error) {
    // with a field that is not known it is another file, or has a misspelt name
    if (missing === undefined || (error instanceof Error && error.message.includes(' has no field '))) throw error;
    throw new InvalidArgumentError(
      `The file ends without "${missing}": it was cut off. Export it again with "ferry fleet export".`,
    );
  }
}

function missingList(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('version' in value)) return undefined;
  const fields = new Map<string, unknown>(Object.entries(value));
  return ['hosts', 'vms'].find((name) => (fields.get(name) ?? undefined) === undefined);
}

/** What a newer Ferry wrote is not guessed at. */
function refuseVersion(value: unknown): void {
  const version: unknown =
    typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined;
  if (typeof version === 'number' && version > fleetFileVersion)
    throw new InvalidArgumentError(
      `The file has version ${version} of the format, and this Ferry reads version ${fleetFileVersion}: use a newer Ferry.`,
    );
}
