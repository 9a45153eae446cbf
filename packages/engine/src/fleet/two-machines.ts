/**
 * The proof that two copies of a VM are two: right now, the connections that show them lead to two machines. Ferry
 * needs it before it ends, pauses or forgets a copy because there is another one. Two views of one machine show one
 * process, and ending "the other" would end it.
 */
import { FerryError } from '@ferry/core';
import type { HostLink } from '../ports/ports.ts';

export interface MachineSide {
  readonly name: string;
  readonly link: Pick<HostLink, 'inventory'>;
}

/** Rejects with FerryError `copies-not-apart`, and when a host does not answer. */
export async function proveApart(a: MachineSide, b: MachineSide, signal: AbortSignal): Promise<void> {
  const [here, there] = await Promise.all([a.link.inventory.machineUuid(signal), b.link.inventory.machineUuid(signal)]);
  if (here === there)
    throw new FerryError(
      'copies-not-apart',
      `${a.name} and ${b.name} are one machine by their machine UUID (${here}): what is seen on both may be one copy.`,
    );
}
