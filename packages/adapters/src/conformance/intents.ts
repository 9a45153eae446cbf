/**
 * What every IntentStore must do, whatever it is made of. A driver's test calls this with a way to open an empty
 * store.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError } from '@ferry/core';
import type { IntentChange, IntentStore } from '@ferry/engine';

export interface OpenIntentStore {
  readonly store: IntentStore;
  /** Moves the store's clock. */
  readonly advance: (ms: number) => void;
  close(): Promise<void>;
}

export function intentConformance(driver: string, open: () => Promise<OpenIntentStore>): void {
  const on = (name: string, body: (opened: OpenIntentStore) => Promise<void>): void => {
    test(`${driver}: ${name}`, async () => {
      const opened = await open();
      try {
        await body(opened);
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

  on('what was put is read back, with a revision that grows', async ({ store }) => {
    const first = await store.commit([{ op: 'put', key: 'a', value: { n: 1 } }]);
    const second = await store.commit([{ op: 'put', key: 'a', value: { n: 2 } }]);
    assert.ok('revision' in first && 'revision' in second && second.revision > first.revision);
    assert.deepEqual(await store.get('a'), { key: 'a', value: { n: 2 }, revision: second.revision });
    assert.equal(await store.get('b'), undefined);
  });

  on('list gives one prefix, in key order, and nothing that only looks like it', async ({ store }) => {
    await store.commit(
      ['h/2', 'h/1', 'h', 'hh/1', 'H/1', 'h%1'].map((key) => ({ op: 'put', key, value: key }) as const),
    );
    assert.deepEqual(
      (await store.list('h/')).map(({ key }) => key),
      ['h/1', 'h/2'],
    );
  });

  on('of two guarded creations exactly one wins', async ({ store }) => {
    const results = await Promise.all(
      [1, 2].map((value) => store.commit([{ op: 'put', key: 'lock', value, ifRevision: 0 }])),
    );
    assert.equal(results.filter((result) => 'revision' in result).length, 1);
    assert.deepEqual(
      results.find((result) => 'conflict' in result),
      { conflict: ['lock'] },
    );
  });

  on('a failed guard changes nothing, also not the writes beside it', async ({ store }) => {
    await store.commit([{ op: 'put', key: 'a', value: 1 }]);
    const result = await store.commit([
      { op: 'put', key: 'b', value: 1 },
      { op: 'delete', key: 'a', ifRevision: 99 },
    ]);
    assert.deepEqual(result, { conflict: ['a'] });
    assert.equal(await store.get('b'), undefined);
    assert.equal((await store.get('a'))?.value, 1);
  });

  on('limits are refused: 65 writes, more than 256 KiB', async ({ store }) => {
    const many = Array.from({ length: 65 }, (_, index) => ({ op: 'put', key: `k${index}`, value: 1 }) as const);
    await assert.rejects(
      store.commit(many),
      (error) => error instanceof FerryError && error.code === 'request-invalid',
    );
    await assert.rejects(store.commit([{ op: 'put', key: 'big', value: 'x'.repeat(256 * 1024) }]), FerryError);
    assert.deepEqual(await store.list(''), []);
  });

  on('watch replays after a revision and goes on, in order, for its prefix only', async ({ store }) => {
    const first = await store.commit([{ op: 'put', key: 'a/1', value: 1 }]);
    assert.ok('revision' in first);
    await store.commit([{ op: 'put', key: 'a/2', value: 2 }]);
    await store.commit([{ op: 'put', key: 'b/1', value: 3 }]);
    const taken = take(store.watch('a/', first.revision, new AbortController().signal), 2);
    await store.commit([{ op: 'delete', key: 'a/1' }]);
    assert.deepEqual(
      (await taken).map((change) =>
        change.type === 'put'
          ? `put ${change.entry.key}`
          : change.type === 'delete'
            ? `delete ${change.key}`
            : change.type,
      ),
      ['put a/2', 'delete a/1'],
    );
  });

  on('watch ends when its signal aborts', async ({ store }) => {
    const ending = new AbortController();
    const watched = Array.fromAsync(store.watch('', 0, ending.signal));
    ending.abort();
    assert.deepEqual(await watched, []);
  });

  on('an entry under a lease vanishes when the lease is not renewed', async ({ store, advance }) => {
    await store.lease('agent', 1_000);
    await store.commit([
      { op: 'put', key: 'live', value: 1, lease: 'agent' },
      { op: 'put', key: 'stays', value: 1 },
    ]);
    advance(900);
    await store.lease('agent', 1_000);
    advance(900);
    assert.ok(await store.get('live'));
    advance(200);
    assert.equal(await store.get('live'), undefined);
    assert.ok(await store.get('stays'));
  });
}
