/** What is refused because of the state that a VM is in, in words. Pure. */
import { FerryError } from '../model/errors.ts';
import type { Migration } from '../model/migration.ts';
import type { Vm } from '../model/vm.ts';

/** Throws FerryError `vm-already-migrating`. `active`: migrations that have not ended. */
export function refuseWhileMoved(
  { uuid, name }: Pick<Vm, 'uuid' | 'name'>,
  active: readonly Pick<Migration, 'id' | 'vm' | 'phase'>[],
): void {
  const busy = active.find(({ vm }) => vm.uuid === uuid);
  if (busy !== undefined)
    throw new FerryError(
      'vm-already-migrating',
      `${name} is already being moved by migration ${busy.id}, which is ${busy.phase}.`,
    );
}

/** Another request was faster, and stored its migration first. */
export const movedByAnother = ({ name }: Pick<Vm, 'name'>): FerryError =>
  new FerryError('vm-already-migrating', `${name} is already being moved by another migration.`);

/** Throws FerryError `vm-not-running`. */
export function refuseAnnouncing({ name, state }: Pick<Vm, 'name' | 'state'>, host: string): void {
  if (state === 'shut-off' || state === 'crashed')
    throw new FerryError('vm-not-running', `${name} does not run (on ${host}): only a running guest can be announced.`);
}

/** Throws FerryError `vm-not-running`. */
export function refuseMeasuring({ name, state }: Pick<Vm, 'name' | 'state'>, host: string): void {
  if (state !== 'running')
    throw new FerryError(
      'vm-not-running',
      `${name} does not run (it is ${state} on ${host}): only what a running guest writes can be measured.`,
    );
}

/** `said`: why the host does not. */
export const notMeasured = ({ name }: Pick<Vm, 'name'>, host: string, said: string): FerryError =>
  new FerryError('host-refused', `${host} does not measure what ${name} writes: ${said}`);
