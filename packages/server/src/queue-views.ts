/** The queue and the settings of the fleet as JSON. */
import type { FleetJson, QueuedMigrationJson, WaitingJson } from '@ferry/api';
import type { QueuedMigration } from '@ferry/core';
import type { FleetSettingsView } from '@ferry/engine';
import { present, time } from './view-parts.ts';

export const fleetJson = ({ settings, revision }: FleetSettingsView): FleetJson => ({ ...settings, revision });

export const waitingJson = ({ migration, place, priority, waitedMs, waitsFor }: QueuedMigration): WaitingJson => ({
  place,
  priority,
  since: time(migration.phases[0]?.at ?? 0),
  waitedMs: Math.round(waitedMs),
  waitsFor: waitsFor.map(({ code, message }) => ({ code, message })),
});

export const queuedJson = (queued: QueuedMigration): QueuedMigrationJson => {
  const { id, name, vm, origin, batch, from, request } = queued.migration;
  return present({
    id,
    name,
    vm: { uuid: vm.uuid, name: vm.name },
    origin,
    batch: batch?.name,
    from: from.name,
    to: request.to,
    ...waitingJson(queued),
  });
};
