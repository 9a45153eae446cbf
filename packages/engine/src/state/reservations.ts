/**
 * The reservations in the store: a document for each host, each migration network and the fleet. What a migration takes
 * is written in the transaction that lets it begin, guarded by the revisions at which it was found to fit; what it held
 * goes in the one that ends it. Whether it fits, core says.
 */
import {
  holdsReservations,
  hostKey,
  others,
  reservationsOf,
  reserve,
  settled,
  type Full,
  type Host,
  type HostId,
  type Ledger,
  type Migration,
  type Planned,
  type Reservation,
  type Reservations,
} from '@ferry/core';
import type { IntentStore, IntentWrite } from '../ports/ports.ts';
import { collection, document, type Stored } from './collection.ts';
import type { MigrationRecords } from './migration-records.ts';
import { openMirror, type Mirror, type MirrorDeps } from './mirror.ts';

/** Conflicts with others, each of which has got through. */
const mostAttempts = 500;

interface Entries {
  readonly entries: Reservations;
}
export type ReservationDocuments = Mirror<Entries>;

/** `changed`: somebody holds something else. */
export const openReservations = (
  intents: IntentStore,
  deps: MirrorDeps,
  changed: () => void,
): Promise<ReservationDocuments> =>
  openMirror(collection(intents, 'reservations/', document<Entries>({ entries: 'object' })), deps, changed);

export interface ReservingDeps {
  readonly documents: ReservationDocuments;
  readonly records: Pick<MigrationRecords, 'store'>;
  readonly settings: Pick<Ledger, 'clusterOf' | 'fleet'>;
  /** As it is stored now, if it is, and what guards a transaction against a change of it. */
  readonly storedHost: (id: HostId) => Promise<{ readonly host: Host | undefined; readonly asRead: IntentWrite }>;
  /** What the host says now; undefined if it does not say. Never rejects. */
  readonly freeMemoryOf: (id: HostId) => Promise<number | undefined>;
}

export interface Reserving {
  /** As far as it is known here, with what was just chosen and is not stored yet. */
  readonly ledger: Ledger;
  /** The choice counts until it is stored, or `undefined` takes it back. */
  chosen(id: string, choice: Planned | undefined): void;
  choiceOf(id: string): Planned | undefined;
  /**
   * Stores the migration with what it takes or gives back. `migration`: it was given other ports than it had chosen.
   * `full`: others have what it chose, and nothing was stored. See MigrationRecords for the rest.
   */
  store(
    migration: Migration,
  ): Promise<
    | { readonly revision: number; readonly migration?: Migration }
    | { readonly changed: Migration | undefined }
    | { readonly full: Full }
  >;
  /** At the start. `readActive`: called once the documents were read, so that one which begins meanwhile keeps its own. */
  settle(readActive: () => Promise<readonly Migration[]>): Promise<readonly Migration[]>;
}

export function reserveInStore({ documents, records, settings, storedHost, freeMemoryOf }: ReservingDeps): Reserving {
  const { stored } = documents;
  const choices = new Map<string, { readonly choice: Planned; readonly takes: ReadonlyMap<string, Reservation> }>();
  /** By migration, as it was last stored. */
  const held = new Map<string, ReadonlyMap<string, Reservation>>();
  const entriesOf = (key: string): Reservations => documents.get(key)?.value.entries ?? {};
  let turn: Promise<unknown> = Promise.resolve();
  /** One after the other: they would only conflict. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  };
  const takesOf = (migration: Planned): ReadonlyMap<string, Reservation> =>
    reservationsOf(migration, settings.clusterOf(migration.to.id));

  const read = async (keys: Iterable<string>): Promise<ReadonlyMap<string, Stored<Entries> | undefined>> => {
    const found = new Map<string, Stored<Entries> | undefined>();
    for (const key of keys) found.set(key, await stored.get(key));
    for (const each of found.values()) if (each !== undefined) documents.saw(each);
    return found;
  };
  /** The documents with what the migration holds from now on; `conflict`: they have changed since they were read. */
  const storeWith = async (
    migration: Migration,
    found: ReadonlyMap<string, Stored<Entries> | undefined>,
    takes: ReadonlyMap<string, Reservation>,
    guards: readonly IntentWrite[] = [],
  ): ReturnType<MigrationRecords['store']> => {
    const { id } = migration;
    const next = [...found].map(([key, before]) => {
      const rest = others(before?.value.entries ?? {}, id);
      const own = takes.get(key);
      return {
        key,
        value: { entries: own === undefined ? rest : { ...rest, [id]: own } },
        revision: before?.revision ?? 0,
      };
    });
    const outcome = await records.store(migration, [
      ...next.map(({ key, value, revision }) => stored.put(key, value, revision)),
      ...guards,
    ]);
    if (!('revision' in outcome)) return outcome;
    for (const { key, value } of next) documents.saw({ key, value, revision: outcome.revision });
    if (takes.size === 0) held.delete(id);
    else held.set(id, takes);
    return outcome;
  };

  const giveBack = (migration: Migration, had: ReadonlyMap<string, Reservation>): ReturnType<Reserving['store']> =>
    again(() => inTurn(async () => storeWith(migration, await read(had.keys()), new Map())));

  const take = (
    migration: Planned,
    had: ReadonlyMap<string, Reservation> | undefined,
  ): ReturnType<Reserving['store']> => {
    const target = hostKey(migration.to.id);
    const wanted = takesOf(migration);
    const keys = new Set([...wanted.keys(), ...(had?.keys() ?? [])]);
    let memory: { readonly revision: number; readonly bytes: number | undefined } | undefined;
    return again(async () => {
      // read after the reservations: what was given back before is in use by then, and the host says so
      const revision = (await stored.get(target))?.revision ?? 0;
      if (had === undefined && wanted.get(target)?.memoryBytes !== undefined && memory?.revision !== revision)
        memory = { revision, bytes: await freeMemoryOf(migration.to.id) };
      return inTurn(async () => {
        const found = await read(keys);
        if (memory !== undefined && (found.get(target)?.revision ?? 0) !== memory.revision)
          return { conflict: [target] };
        const ledger = { ...settings, of: (key: string) => found.get(key)?.value.entries ?? {} };
        // whoever takes it out of service meanwhile, is before or after this transaction
        const begins = had === undefined && migration.phase === 'preparing';
        const onto = begins ? await storedHost(migration.to.id) : undefined;
        const freeMemoryBytes = memory?.bytes;
        const asStored = onto === undefined ? undefined : (onto.host ?? 'removed');
        const reserved = reserve({ migration, ledger, freeMemoryBytes, target: asStored, held: had });
        if (reserved.kind === 'full') return { full: reserved };
        const guards = onto === undefined ? [] : [onto.asRead];
        const outcome = await storeWith(reserved.migration, found, reserved.takes, guards);
        return 'revision' in outcome && reserved.migration !== migration
          ? { ...outcome, migration: reserved.migration }
          : outcome;
      });
    });
  };

  const storeOne: Reserving['store'] = async (migration) => {
    const had = held.get(migration.id);
    if (holdsReservations(migration)) {
      const target = hostKey(migration.to.id);
      const same = JSON.stringify(had?.get(target)) === JSON.stringify(takesOf(migration).get(target));
      if (had === undefined || !same) return take(migration, had);
    } else if (had !== undefined) return giveBack(migration, had);
    return again(() => records.store(migration));
  };

  return {
    ledger: {
      ...settings,
      of(key) {
        const entries = entriesOf(key);
        const chosen = [...choices].flatMap(([id, { takes }]) => {
          const own = takes.get(key);
          return own === undefined ? [] : [[id, own] as const];
        });
        return chosen.length === 0 ? entries : { ...entries, ...Object.fromEntries(chosen) };
      },
    },
    chosen(id, choice) {
      if (choice === undefined) choices.delete(id);
      else choices.set(id, { choice, takes: takesOf(choice) });
    },
    choiceOf: (id) => choices.get(id)?.choice,
    async store(migration) {
      const outcome = await storeOne(migration);
      // it holds what was stored with it: an earlier try of ours may have got through after all
      if ('changed' in outcome && outcome.changed !== undefined) {
        const { changed } = outcome;
        if (holdsReservations(changed)) held.set(changed.id, takesOf(changed));
        else held.delete(changed.id);
      }
      return outcome;
    },
    async settle(readActive) {
      const there = documents.all();
      const active = await readActive();
      const alive = new Map(active.filter(holdsReservations).map((each) => [each.id as string, takesOf(each)]));
      for (const { key, value } of there)
        for (const [id, reservation] of Object.entries(value.entries))
          if (alive.has(id)) held.set(id, new Map([...(held.get(id) ?? []), [key, reservation]]));
      const ended = new Set(there.flatMap(({ value }) => Object.keys(value.entries)).filter((id) => !alive.has(id)));
      // whatever the reason: what runs holds what it takes
      const without = [...alive].filter(([id]) => !held.has(id));
      for (const [id, takes] of without) held.set(id, takes);
      const keys = new Set([...there.map(({ key }) => key), ...without.flatMap(([, takes]) => [...takes.keys()])]);
      for (const key of keys) {
        const missing = new Map(
          without.flatMap(([id, takes]) => {
            const own = takes.get(key);
            return own === undefined ? [] : [[id, own] as const];
          }),
        );
        await documents.change(key, (before) => {
          const entries = settled(before?.value.entries ?? {}, ended, missing);
          return entries === before?.value.entries ? before.value : { entries };
        });
      }
      return active;
    },
  };
}

/** Until no guard fails: whoever was faster has got through. */
async function again<T extends object>(
  attempt: () => Promise<T | { readonly conflict: readonly string[] }>,
): Promise<Exclude<T, { readonly conflict: readonly string[] }>> {
  for (let tries = 0; tries < mostAttempts; tries += 1) {
    const outcome = await attempt();
    if (!('conflict' in outcome)) return outcome as Exclude<T, { readonly conflict: readonly string[] }>;
  }
  throw new Error(`the reservations of a migration were changed by others ${mostAttempts} times`);
}
