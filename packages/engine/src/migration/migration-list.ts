/**
 * Pages of the migrations: the active ones, newest first, then the finished ones in the order in which they ended. One
 * that ends while its pages are read may appear on two of them, and is missing on none.
 */
import { matchesName, matchesSelector, parseSelector, type Migration, type VmUuid } from '@ferry/core';
import { keptInMemory, type Ended } from '../state/migration-records.ts';

/** All that is given has to hold. */
export interface MigrationQuery {
  readonly state?: 'active' | 'finished';
  readonly vm?: string;
  /** From or to this host. */
  readonly host?: string;
  /** A selector of the labels that the VM has now. */
  readonly label?: string;
  /** Name of the VM, in which `*` stands for any characters. */
  readonly name?: string;
  /** 100 unless given. */
  readonly limit?: number;
  readonly after?: MigrationCursor;
}

/** The last migration of a page: active, by its id, or finished, by its number in the journal. */
export type MigrationCursor = { readonly active: string } | { readonly ended: number };

export interface MigrationPage {
  readonly items: readonly Migration[];
  /** Absent on the last page. */
  readonly next?: MigrationCursor;
}

export interface MigrationListDeps {
  readonly active: () => readonly Migration[];
  readonly finished: (limit: number, before?: number) => Promise<readonly Ended[]>;
  /** Whose migrations are meant. Throws FerryError `vm-unknown`, `vm-ambiguous`. */
  readonly historyOf: (vm: string) => Promise<(migration: Migration) => boolean>;
  /** Throws FerryError `host-unknown`, `host-ambiguous`. */
  readonly hostName: (ref: string) => string;
  readonly labelsOf: (vm: VmUuid) => readonly string[];
}

/** Finished migrations that one page looks through. */
const searchDepth = 10_000;
const first = { ended: Number.MAX_SAFE_INTEGER };

export async function pageOfMigrations(query: MigrationQuery, deps: MigrationListDeps): Promise<MigrationPage> {
  const { state, limit = 100, after } = query;
  const isMeant = await matcher(query, deps);
  const running = deps.active().toSorted((a, b) => (a.id < b.id ? 1 : -1));
  const items: Migration[] = [];
  if (state !== 'finished' && (after === undefined || 'active' in after)) {
    for (const each of running) {
      if ((after !== undefined && each.id >= after.active) || !isMeant(each)) continue;
      const last = items.at(-1);
      if (items.length === limit && last !== undefined) return { items, next: { active: last.id } };
      items.push(each);
    }
  }
  if (state === 'active') return { items };
  const activeIds = new Set(running.map(({ id }) => id));
  let place: { readonly ended: number } = after !== undefined && 'ended' in after ? after : first;
  for (let looked = 0; looked < searchDepth; looked += keptInMemory) {
    const ended = await deps.finished(keptInMemory, place === first ? undefined : place.ended);
    for (const { seq, migration } of ended) {
      if (!activeIds.has(migration.id) && isMeant(migration)) {
        if (items.length === limit) return { items, next: place };
        items.push(migration);
      }
      place = { ended: seq };
    }
    if (ended.length < keptInMemory) return { items };
  }
  return { items, next: place };
}

async function matcher(
  { vm, host, label, name }: MigrationQuery,
  { historyOf, hostName, labelsOf }: MigrationListDeps,
): Promise<(migration: Migration) => boolean> {
  const isOfVm = vm === undefined ? undefined : await historyOf(vm);
  const on = host === undefined ? undefined : hostName(host);
  const selector = label === undefined ? undefined : parseSelector(label);
  return (migration) =>
    isOfVm?.(migration) !== false &&
    (on === undefined || migration.from.name === on || migration.to?.name === on) &&
    (selector === undefined || matchesSelector(selector, labelsOf(migration.vm.uuid))) &&
    (name === undefined || matchesName(name, migration.vm.name));
}
