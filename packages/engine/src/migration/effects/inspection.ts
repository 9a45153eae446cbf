/**
 * What is kept of a failed target when that was asked: libvirt removes the process, so its QEMU's log with the command
 * line, the definition it was given, and the volumes that were made for it are all there is to look at.
 */
import type { Planned } from '@ferry/core';
import type { HostLink } from '../../ports/ports.ts';

export interface Inspection {
  readonly migration: string;
  readonly at: number;
  readonly host: string;
  /** The end of QEMU's log on the target, with the command line. */
  readonly log?: string;
  /** What the target was to define. */
  readonly definition?: string;
  /** Paths on the target that stay. */
  readonly volumes: readonly string[];
  /** Why something is missing. */
  readonly notes: readonly string[];
}

const logFolder = '/var/log/libvirt/qemu';
const logBytes = 65_536;

export async function inspectTarget(
  migration: Planned,
  sides: { readonly target: HostLink; readonly definition: () => Promise<string> },
  now: number,
  signal: AbortSignal,
): Promise<Inspection> {
  const notes: string[] = [];
  const attempt = async <T>(what: string, read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      notes.push(`${what} could not be read: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  };
  const log = await attempt("QEMU's log", () => tailOf(sides.target, `${logFolder}/${migration.vm.name}.log`, signal));
  const definition = await attempt('The definition', sides.definition);
  const volumes = migration.plan.disks.flatMap(({ how, path, targetPath, volume }) =>
    how === 'copy' && volume?.existing === false ? [targetPath ?? path ?? ''] : [],
  );
  return {
    migration: migration.id,
    at: now,
    host: migration.to.name,
    ...(log === undefined ? {} : { log }),
    ...(definition === undefined ? {} : { definition }),
    volumes,
    notes,
  };
}

async function tailOf(host: HostLink, path: string, signal: AbortSignal): Promise<string> {
  let tail = Buffer.alloc(0);
  for await (const piece of host.files.read(path, signal))
    if (piece.kind === 'data') tail = Buffer.concat([tail, piece.bytes]).subarray(-logBytes);
  return tail.toString('utf8');
}
