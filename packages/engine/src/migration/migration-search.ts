/** Finds migrations, those that go on and those that ended, by what an operator types; and lists them. */
import { resolve, type Migration } from '@ferry/core';
import type { FleetView } from '../planning/fact-sources.ts';
import type { migrationRecords } from '../state/migration-records.ts';

export interface MigrationQuery {
  readonly state?: 'active' | 'finished';
  readonly vm?: string;
  /** 100 unless given; newest first. */
  readonly limit?: number;
}

/** Finished migrations looked through when one is named. */
export const searchDepth = 10_000;

export interface MigrationSearch {
  list(query: MigrationQuery): Promise<readonly Migration[]>;
  find(ref: string): Promise<Migration>;
}

export function searchMigrations({
  active,
  records,
  fleet,
}: {
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
  readonly records: Pick<ReturnType<typeof migrationRecords>, 'finished'>;
  readonly fleet: Pick<FleetView, 'vms' | 'vm'>;
}): MigrationSearch {
  const find = async (ref: string): Promise<Migration> => {
    const running = active();
    const exact = running.find(({ id, name }) => id === ref || name === ref);
    if (exact !== undefined) return exact;
    const ended = (await records.finished(searchDepth)).filter(({ id }) => !running.some((each) => each.id === id));
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
    if (!now && (await records.finished(searchDepth)).some(had)) return had;
    const { uuid } = fleet.vm(ref);
    return (migration) => migration.vm.uuid === uuid;
  };

  return {
    find,
    async list({ state, vm, limit = 100 }) {
      const asked = vm === undefined ? undefined : await historyOf(vm);
      const running = state === 'finished' ? [] : [...active()].sort((a, b) => (a.id < b.id ? 1 : -1));
      const ended =
        state === 'active'
          ? []
          : (await records.finished(asked === undefined ? limit : searchDepth)).filter(
              ({ id }) => !running.some((each) => each.id === id),
            );
      return [...running, ...ended].filter((migration) => asked?.(migration) !== false).slice(0, limit);
    },
  };
}
