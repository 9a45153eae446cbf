import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { MigrationJson } from '@ferry/api';
import { progressLine } from './progress-bar.ts';

const migration: MigrationJson = {
  id: 'm1',
  name: 'web-1',
  vm: { uuid: 'u', name: 'web' },
  kind: 'live',
  origin: 'operator',
  actor: 'operator',
  client: 'cli',
  from: 'host1',
  to: 'host2',
  phase: 'transferring',
  phases: [],
  revision: 1,
  progress: {
    percent: 56,
    processedBytes: 1,
    remainingBytes: 59_034_829,
    totalBytes: 2,
    dirtyBytesPerSecond: 6_396_314,
    throughputBytesPerSecond: 25_165_824,
    iteration: 2,
    etaMs: 3_100,
  },
};

test('the whole line where there is room, the phase also where there is little', () => {
  assert.equal(
    progressLine(migration, 160),
    'web host1 -> host2 [#############...........]  56 %  24.0 MiB/s  56.3 MiB left  dirty 6.1 MiB/s  pass 2  ETA 3.1 s  transferring',
  );
  for (const columns of [110, 80, 60])
    assert.match(progressLine(migration, columns), /56 %.*transferring$/, String(columns));
});

test('what is not known is left out', () => {
  const { etaMs: _, ...progress } = {
    ...migration.progress,
    percent: 0,
    processedBytes: 0,
    remainingBytes: 10,
    totalBytes: 10,
    iteration: 1,
    dirtyBytesPerSecond: 0,
    throughputBytesPerSecond: 0,
    etaMs: 1,
  };
  assert.equal(
    progressLine({ ...migration, progress }, 160),
    'web host1 -> host2 [........................]   0 %  10 B left  transferring',
  );
});

test('property: never wider than the terminal', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 10, max: 200 }),
      fc.string({ maxLength: 40 }),
      fc.integer({ min: 0, max: 100 }),
      (columns, name, percent) => {
        const line = progressLine(
          {
            ...migration,
            vm: { uuid: 'u', name },
            progress: {
              percent,
              processedBytes: 0,
              remainingBytes: 0,
              totalBytes: 0,
              dirtyBytesPerSecond: 1,
              throughputBytesPerSecond: 1,
              iteration: 1,
            },
          },
          columns,
        );
        assert.ok(line.length < columns);
      },
    ),
  );
});
