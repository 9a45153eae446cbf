/**
 * What is kept of a failed target when that was asked: libvirt removes the process, so its QEMU's log with the command
 * line, the definition it was given, and the volumes that were made for it are all there is to look at.
 */
import type { Planned } from '@ferry/core';
import type { HostLink } from '../../ports/ports.ts';
import type { Inspection } from '../../state/migration-records.ts';

const logBytes = 65_536;

export async function inspectTarget(
  migration: Planned,
  sides: { readonly target: Pick<HostLink, 'guest'>; readonly definition: () => Promise<string> },
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
  const log = await attempt("QEMU's log", () => sides.target.guest.log(migration.vm.name, logBytes, signal));
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
