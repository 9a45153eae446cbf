/** Finds migrations, those that go on and those that ended, by what an operator types; and lists them. */
import { resolve, resolveHost, type Migration, type VmUuid } from '@ferry/core';
import type { FleetView } from '../planning/fact-sources.ts';
import type { migrationRecords } from '../state/migration-records.ts';
import { pageOfMigrations, type MigrationPage, type MigrationQuery } from './migration-list.ts';

/** Finished migrations looked through when one is named. */
export const searchDepth = 10_000;

export interface MigrationSearch {
  list(query: MigrationQuery): Promise<MigrationPage>;
  find(ref: string): Promise<Migration>;
}

export function searchMigrations({
  active,
  records,
  fleet,
  labelsOf,
}: {
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
  readonly records: Pick<ReturnType<typeof migrationRecords>, 'finished'>;
  readonly fleet: Pick<FleetView, 'vms' | 'vm' | 'hosts'>;
  readonly labelsOf: (vm: VmUuid) => readonly string[];
}): MigrationSearch {
  const finished = async (): Promise<readonly Migration[]> =>
    (await records.finished(searchDepth)).map(({ migration }) => migration);
  const find = async (ref: string): Promise<Migration> => {
    const running = active();
    const exact = running.find(({ id, name }) => id === ref || name === ref);
    if (exact !== undefined) return exact;
    const ended = (await finished()).filter(({ id }) => !running.some((each) => each.id === id));
    return resolve([...running, ...ended], ref, {
      kind: 'migration',
      id: ({ id }) => id,
      name: ({ name }) => name,
      describe: ({ id, name }) => `${id} (${name})`,
    });
  };

  /**
   * Whose migrations are meant: those of a VM that is there, otherwise of those that had this UUID or name. Throws
   * FerryError `vm-unknown`, `vm-ambiguous`.
   */
  const historyOf = async (ref: string): Promise<(migration: Migration) => boolean> => {
    const lower = ref.toLowerCase();
    const had = ({ vm: { uuid, name } }: Migration): boolean => uuid === lower || name === ref;
    const now = fleet
      .vms()
      .some(({ uuid, instances }) => uuid === lower || instances.some(({ instance }) => instance.name === ref));
    // more than the beginning of another VM's UUID
    if (!now && (await finished()).some(had)) return had;
    const { uuid } = fleet.vm(ref);
    return (migration) => migration.vm.uuid === uuid;
  };

  return {
    find,
    list: (query) =>
      pageOfMigrations(query, {
        active,
        finished: (limit, before) => records.finished(limit, before),
        historyOf,
        hostName: (ref) => resolveHost(fleet.hosts(), ref).host.name,
        labelsOf,
      }),
  };
}
