/**
 * What every IntentStore must do, whatever it is made of. A driver's test calls this with a way to open an empty
 * store.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError } from '@ferry/core';
import type { Clock, IntentChange, IntentStore } from '@ferry/engine';
import { movedClock, type MovedClock } from './moved-clock.ts';

export interface OpenIntentStore {
  readonly store: IntentStore;
  /** The answer of the next commit is lost, before or after it was carried out; absent for a store that cannot. */
  readonly loseNext?: (when: 'before' | 'after') => void;
  close(): Promise<void>;
}

export function intentConformance(
  driver: string,
  open: (clock: Pick<Clock, 'now' | 'sleep'>) => Promise<OpenIntentStore>,
): void {
  type Opened = OpenIntentStore & Pick<MovedClock, 'advance'>;
  const on = (name: string, body: (opened: Opened) => Promise<void>): void => {
    test(`${driver}: ${name}`, async () => {
      const clock = movedClock();
      const opened = await open(clock);
      try {
        await body({ ...opened, advance: (ms) => clock.advance(ms) });
      } finally {
        await opened.close();
      }
    });
  };
  const take = async (changes: AsyncIterable<IntentChange>, count: number): Promise<IntentChange[]> => {
    const taken: IntentChange[] = [];
    for await (const change of changes) if (taken.push(change) === count) break;
    return taken;
  };
  const told = (changes: readonly IntentChange[]): readonly string[] =>
    changes.map((change) => {
      if (change.type === 'put') return `put ${change.entry.key}`;
      return change.type === 'delete' ? `delete ${change.key}` : change.type;
    });
  const put = (key: string, value: unknown, ifRevision = 0, lease?: string) =>
    ({ op: 'put', key, value, ifRevision, ...(lease === undefined ? {} : { lease }) }) as const;
  const revisionOf = async (store: IntentStore, key: string): Promise<number> => (await store.get(key))?.revision ?? 0;

  on('what was put is read back, with a revision that grows', async ({ store }) => {
    const first = await store.commit([put('a', { n: 1 })]);
    assert.ok('revision' in first);
    const second = await store.commit([put('a', { n: 2 }, first.revision)]);
    assert.ok('revision' in second && second.revision > first.revision);
    assert.deepEqual(await store.get('a'), { key: 'a', value: { n: 2 }, revision: second.revision });
    assert.equal(await store.get('b'), undefined);
  });

  on('what was read or put may be changed by its holder: the store keeps its own', async ({ store }) => {
    const value = { list: [1] };
    await store.commit([put('a', value)]);
    value.list.push(2);
    const read = await store.get('a');
    assert.ok(read);
    (read.value as typeof value).list.push(3);
    assert.deepEqual((await store.get('a'))?.value, { list: [1] });
  });

  on('list gives one prefix, in key order, and nothing that only looks like it', async ({ store }) => {
    await store.commit(['h/2', 'h/1', 'h', 'hh/1', 'H/1', 'h%1', 'h0'].map((key) => put(key, key)));
    const { entries, next } = await store.list('h/');
    assert.deepEqual([entries.map(({ key }) => key), next], [['h/1', 'h/2'], undefined]);
  });

  on('lists come in pages, each entry once; a watch from the first one misses nothing', async ({ store }) => {
    const keys = Array.from({ length: 7 }, (_, index) => `k/${index}`);
    await store.commit([...keys.map((key) => put(key, 1)), put('l', 1)]);
    const first = await store.list('k/', { limit: 3 });
    await store.commit([put('k/00', 1), { op: 'delete', key: 'k/6', ifRevision: await revisionOf(store, 'k/6') }]);
    const second = await store.list('k/', { limit: 3, after: first.next ?? '' });
    assert.equal(first.next, 'k/2');
    assert.deepEqual(
      [...first.entries, ...second.entries].map(({ key }) => key),
      ['k/0', 'k/1', 'k/2', 'k/3', 'k/4', 'k/5'],
    );
    assert.equal(second.next, undefined);
    const changes = store.watch('k/', first.revision, new AbortController().signal);
    assert.deepEqual(told(await take(changes, 2)), ['put k/00', 'delete k/6']);
    // what is named as the last key need not be there
    assert.deepEqual((await store.list('k/', { after: 'k/6' })).entries, []);
  });

  on('of two guarded creations exactly one wins', async ({ store }) => {
    const results = await Promise.all([1, 2].map((value) => store.commit([put('lock', value)])));
    assert.equal(results.filter((result) => 'revision' in result).length, 1);
    assert.deepEqual(
      results.find((result) => 'conflict' in result),
      { conflict: ['lock'] },
    );
  });

  on('a failed guard changes nothing, also not the writes beside it', async ({ store }) => {
    await store.commit([put('a', 1)]);
    for (const guarded of [
      { op: 'delete', key: 'a', ifRevision: 99 },
      { op: 'check', key: 'a', ifRevision: 0 },
      put('a', 2),
    ] as const)
      assert.deepEqual(await store.commit([put('b', 1), guarded]), { conflict: ['a'] });
    assert.equal(await store.get('b'), undefined);
    assert.equal((await store.get('a'))?.value, 1);
  });

  on('a check writes nothing: its entry keeps its revision and no watcher is told', async ({ store }) => {
    const first = await store.commit([put('a', 1)]);
    assert.ok('revision' in first);
    const second = await store.commit([{ op: 'check', key: 'a', ifRevision: first.revision }, put('b', 1)]);
    assert.ok('revision' in second);
    assert.equal(await revisionOf(store, 'a'), first.revision);
    assert.deepEqual(told(await take(store.watch('', first.revision, new AbortController().signal), 1)), ['put b']);
  });

  on('a key that was deleted and made again has a revision of its own: an old guard fails', async ({ store }) => {
    const first = await store.commit([put('a', 1)]);
    assert.ok('revision' in first);
    await store.commit([{ op: 'delete', key: 'a', ifRevision: first.revision }]);
    assert.deepEqual(await store.commit([{ op: 'delete', key: 'a', ifRevision: first.revision }]), { conflict: ['a'] });
    await store.commit([put('a', 1)]);
    assert.deepEqual(await store.commit([put('a', 2, first.revision)]), { conflict: ['a'] });
  });

  on('limits are refused: 65 writes, more than 256 KiB', async ({ store }) => {
    const many = Array.from({ length: 65 }, (_, index) => put(`k${index}`, 1));
    await assert.rejects(
      store.commit(many),
      (error) => error instanceof FerryError && error.code === 'request-invalid',
    );
    await assert.rejects(store.commit([put('big', 'x'.repeat(256 * 1024))]), FerryError);
    assert.deepEqual((await store.list('')).entries, []);
  });

  on('watch replays after a revision and goes on, in order, for its prefix only', async ({ store }) => {
    const first = await store.commit([put('a/1', 1)]);
    assert.ok('revision' in first);
    await store.commit([put('a/2', 2)]);
    await store.commit([put('b/1', 3)]);
    const taken = take(store.watch('a/', first.revision, new AbortController().signal), 2);
    await store.commit([{ op: 'delete', key: 'a/1', ifRevision: first.revision }]);
    assert.deepEqual(told(await taken), ['put a/2', 'delete a/1']);
  });

  on('watch ends when its signal aborts', async ({ store }) => {
    const ending = new AbortController();
    const watched = Array.fromAsync(store.watch('', 0, ending.signal));
    ending.abort();
    assert.deepEqual(await watched, []);
  });

  on('a watcher that comes back too late is told to list again, and goes on from there', async ({ store }) => {
    let revision = 0;
    for (let at = 0; at < 10_010; at += 1) {
      const written = await store.commit([put('a', at, revision)]);
      assert.ok('revision' in written);
      ({ revision } = written);
    }
    const changes = store.watch('', 1, new AbortController().signal)[Symbol.asyncIterator]();
    assert.deepEqual((await changes.next()).value, { type: 'compacted', revision });
    const next = changes.next();
    await store.commit([put('b', 1)]);
    const { value } = await next;
    assert.deepEqual(value === undefined ? [] : told([value]), ['put b']);
    await changes.return?.();
  });

  on('an entry under a lease vanishes when the lease is not renewed', async ({ store, advance }) => {
    const lease = await store.grantLease(1_000);
    await store.commit([put('live', 1, 0, lease), put('stays', 1)]);
    advance(900);
    assert.equal(await store.renewLease(lease), true);
    advance(900);
    assert.ok(await store.get('live'));
    advance(200);
    assert.equal(await store.get('live'), undefined);
    assert.ok(await store.get('stays'));
  });

  on('a lease that has expired is never revived, also by a clock that was set back', async ({ store, advance }) => {
    const lease = await store.grantLease(1_000);
    await store.commit([put('live', 1, 0, lease)]);
    advance(1_000);
    assert.equal(await store.renewLease(lease), false);
    advance(-900);
    assert.equal(await store.renewLease(lease), false);
    await assert.rejects(
      store.commit([put('other', 1), put('live', 1, 0, lease)]),
      (error) => error instanceof FerryError && error.code === 'lease-expired' && error.message.includes('live'),
    );
    assert.deepEqual([await store.get('live'), await store.get('other')], [undefined, undefined]);
    assert.equal(await store.renewLease('never-granted'), false);
    assert.notEqual(await store.grantLease(1_000), lease);
  });

  on(
    'expiry wakes watchers, and a lease that was granted while they wait is waited for',
    async ({ store, advance }) => {
      const changes = take(store.watch('', 0, new AbortController().signal), 2);
      const lease = await store.grantLease(1_000);
      await store.commit([put('live', 1, 0, lease)]);
      for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      advance(1_000);
      assert.deepEqual(told(await changes), ['put live', 'delete live']);
    },
  );

  on('an entry that is put again without its lease stays', async ({ store, advance }) => {
    const lease = await store.grantLease(1_000);
    await store.commit([put('a', 1, 0, lease)]);
    await store.commit([put('a', 2, await revisionOf(store, 'a'))]);
    advance(2_000);
    assert.equal((await store.get('a'))?.value, 2);
  });

  on('a commit whose answer is lost is unknown, and a look tells what became of it', async ({ store, loseNext }) => {
    for (const when of loseNext === undefined ? [] : (['before', 'after'] as const)) {
      const key = `lost-${when}`;
      loseNext?.(when);
      assert.ok('unknown' in (await store.commit([put(key, when)])));
      assert.equal((await store.get(key))?.value, when === 'before' ? undefined : 'after');
      // the guard holds: what was done is not done again
      assert.equal('conflict' in (await store.commit([put(key, 'again')])), when === 'after');
    }
  });
}
