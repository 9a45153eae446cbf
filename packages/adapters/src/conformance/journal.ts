/** What every Journal must do, whatever it is made of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Journal } from '@ferry/engine';

export function journalConformance(
  driver: string,
  open: () => Promise<{ readonly journal: Journal; readonly close: () => Promise<void> }>,
): void {
  const on = (name: string, body: (journal: Journal) => Promise<void>): void => {
    test(`${driver}: ${name}`, async () => {
      const { journal, close } = await open();
      try {
        await body(journal);
      } finally {
        await close();
      }
    });
  };
  const entry = (at: number, kind = 'event', subject = 's') => ({ at, kind, subject, data: { at } });

  on('numbers grow by one and are told', async (journal) => {
    assert.deepEqual(await journal.bounds('event'), { first: 0, last: 0 });
    assert.equal(await journal.append([entry(1), entry(2)]), 2);
    assert.equal(await journal.append([entry(3)]), 3);
    assert.deepEqual(await journal.bounds('event'), { first: 1, last: 3 });
  });

  on('reads by kind, subject, place and direction', async (journal) => {
    await journal.append([entry(1), entry(2, 'migration', 'm1'), entry(3, 'migration', 'm2'), entry(4)]);
    assert.deepEqual(
      (await journal.read({ kind: 'event' })).map(({ seq }) => seq),
      [1, 4],
    );
    assert.deepEqual(
      (await journal.read({ kind: 'migration', newestFirst: true })).map(({ subject }) => subject),
      ['m2', 'm1'],
    );
    assert.deepEqual(
      (await journal.read({ subject: 'm1' })).map(({ data }) => data),
      [{ at: 2 }],
    );
    assert.deepEqual(
      (await journal.read({ afterSeq: 1, limit: 2 })).map(({ seq }) => seq),
      [2, 3],
    );
    assert.deepEqual(
      (await journal.read({ beforeSeq: 4, newestFirst: true, limit: 2 })).map(({ seq }) => seq),
      [3, 2],
    );
    assert.deepEqual(
      (await journal.read({ kind: 'event', beforeSeq: 4 })).map(({ seq }) => seq),
      [1],
    );
  });

  on('pruning drops old entries of one kind; numbers are not used again', async (journal) => {
    await journal.append([entry(1), entry(2), entry(1, 'migration')]);
    assert.equal(await journal.prune('event', 2), 1);
    assert.deepEqual(await journal.bounds('event'), { first: 2, last: 3 });
    assert.deepEqual(await journal.bounds('migration'), { first: 3, last: 3 });
    await journal.prune('event', 99);
    assert.deepEqual(await journal.bounds('event'), { first: 0, last: 3 });
    await journal.prune('migration', 99);
    assert.equal(await journal.append([entry(5)]), 4);
  });
}
