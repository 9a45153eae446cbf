/** The settings of the fleet as a whole: one stored object, kept in memory since every beginning of a migration reads it. */
import { FerryError, limitProblem, mostInFleet, type FleetSettings } from '@ferry/core';
import type { IntentStore } from '../ports/ports.ts';
import { collection, document, expectRevision } from '../state/collection.ts';
import { openMirror, type MirrorDeps } from '../state/mirror.ts';

const key = 'settings';

export interface FleetSettingsView {
  readonly settings: FleetSettings;
  /** 0 without any. */
  readonly revision: number;
}

export interface FleetSettingsStore {
  view(): FleetSettingsView;
  /** `change` is called again after a conflict. Throws FerryError `request-invalid`, `store-conflict`, `revision-stale`. */
  change(change: (before: FleetSettings) => FleetSettings, expected?: number): Promise<FleetSettingsView>;
}

export async function openFleetSettings(
  intents: IntentStore,
  deps: MirrorDeps,
  changed: (view: FleetSettingsView) => void = () => {},
): Promise<FleetSettingsStore> {
  const stored = await openMirror(
    collection(intents, 'fleet/', document<FleetSettings>({})),
    deps,
    ({ value = {}, revision }) => changed({ settings: value, revision }),
  );
  return {
    view: () => ({ settings: stored.get(key)?.value ?? {}, revision: stored.get(key)?.revision ?? 0 }),
    async change(change, expected) {
      const { value = {}, revision } = await stored.change(key, (before) => {
        expectRevision('The fleet', before?.revision ?? 0, expected);
        const settings = change(before?.value ?? {});
        const problem = limitProblem('maxMigrations', settings.maxMigrations, mostInFleet);
        if (problem !== undefined) throw new FerryError('request-invalid', problem);
        return settings;
      });
      return { settings: value, revision };
    },
  };
}
