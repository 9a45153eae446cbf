import assert from 'node:assert/strict';
import { test } from 'node:test';
import { vmUuid } from '../model/ids.ts';
import type { DiskFacts, SharingProof } from '../model/storage.ts';
import { noNeeds } from './definition.ts';
import { arrivalProblems, disksOfBoth, disksToCopy, planNextStart } from './next-start.ts';
import { planDisks } from './disks/plan-disks.ts';
import type { StorageWish, TargetStorage } from './disks/question.ts';

const vm = { name: 'web', uuid: vmUuid('a') };
const names = { from: 'h1', to: 'h2' };
const wish: StorageWish = { cold: false, externalSnapshots: false };
const disk = (target: string, source?: string, more: Partial<DiskFacts> = {}): DiskFacts => ({
  target,
  device: 'disk',
  type: 'file',
  format: 'qcow2',
  readOnly: false,
  capacityBytes: 4_096,
  allocationBytes: 1,
  backing: [],
  ...(source === undefined ? {} : { source }),
  ...more,
});
const storage = (verdicts: Readonly<Record<string, SharingProof['verdict']>>): TargetStorage => ({
  pools: [{ name: 'p', path: '/local', active: true, availableBytes: 1e9 }],
  sharing: new Map(Object.entries(verdicts).map(([path, verdict]) => [path, { verdict, method: 'marker', at: 0 }])),
  volumes: new Map(),
  records: new Map(),
});
const plan = (
  now: readonly DiskFacts[],
  later: readonly DiskFacts[],
  at: TargetStorage,
  more: Partial<StorageWish> = {},
  saved = false,
) => {
  const facts = { disks: now, needs: noNeeds, saved, nextStart: { disks: later, needs: noNeeds } };
  return planNextStart(
    vm,
    facts,
    planDisks(vm, disksToCopy(facts), at, { ...wish, ...more }, names).disks,
    at,
    { ...wish, ...more },
    names,
  );
};
const root = disk('vda', '/local/root');

test(
  'a disk that only the next start has: shared it goes along, local it is refused by name, whatever lies ' +
    'at its place on the target',
  () => {
    const shared = plan(
      [root],
      [root, disk('vdb', '/shared/b')],
      storage({ '/local/root': 'separate', '/shared/b': 'shared' }),
    );
    assert.deepEqual(
      [shared.reasons, shared.disks.map(({ target, how, when }) => [target, how, when])],
      [
        [],
        [
          ['vda', 'copy', undefined],
          ['vdb', 'shared', 'next-start'],
        ],
      ],
    );
    const local = plan(
      [root],
      [root, disk('vdb', '/local/b')],
      storage({ '/local/root': 'separate', '/local/b': 'separate' }),
    );
    assert.deepEqual(
      local.reasons.map(({ code, host }) => [code, host]),
      [['disk-next-start', 'h2']],
    );
    assert.match(local.reasons[0]?.message ?? '', /web's disk vdb \(\/local\/b\)/);
    const taken = storage({ '/local/root': 'separate', '/local/b': 'separate' });
    const other = {
      ...taken,
      volumes: new Map([
        [
          '/local/b',
          { pool: 'p', name: 'b', path: '/local/b', format: 'qcow2', capacityBytes: 4_096, allocationBytes: 1 },
        ],
      ]),
    };
    assert.deepEqual(
      plan([root], [root, disk('vdb', '/local/b')], other).reasons.map(({ code }) => code),
      ['disk-next-start'],
      "another VM's disk there is not opened",
    );
    assert.deepEqual(
      plan([root], [root, disk('vdb', '/x/b')], storage({ '/local/root': 'separate', '/x/b': 'unknown' })).reasons.map(
        ({ code }) => code,
      ),
      ['disk-sharing-unknown'],
    );
  },
);

test(
  'the same device with another source, detached or attached for now only, an image for the next start, ' +
    'the same file under another device',
  () => {
    const changed = plan(
      [root],
      [disk('vda', '/local/other')],
      storage({ '/local/root': 'separate', '/local/other': 'separate' }),
    );
    assert.deepEqual(
      [changed.reasons.map(({ code }) => code), changed.disks.map(({ target, when }) => `${target} ${when}`)],
      [['disk-next-start'], ['vda now', 'vda next-start']],
    );
    const detached = plan(
      [root, disk('vdb', '/local/b')],
      [root],
      storage({ '/local/root': 'separate', '/local/b': 'separate' }),
    );
    assert.deepEqual(
      [detached.reasons, detached.disks.map(({ target, how, when }) => [target, how, when])],
      [
        [],
        [
          ['vda', 'copy', undefined],
          ['vdb', 'copy', 'now'],
        ],
      ],
    );
    const iso = disk('sda', '/local/iso', { device: 'cdrom', readOnly: true });
    const separate = storage({ '/local/root': 'separate', '/local/iso': 'separate' });
    assert.deepEqual(
      plan([root, disk('sda')], [root, iso], separate).reasons.map(({ code }) => code),
      ['disk-read-only-local'],
    );
    assert.deepEqual(
      plan([root, disk('sda')], [root, iso], separate, { media: 'eject' }).disks.map(({ target, how, when }) => [
        target,
        how,
        when,
      ]),
      [
        ['vda', 'copy', undefined],
        ['sda', 'none', 'now'],
        ['sda', 'eject', 'next-start'],
      ],
    );
    const renamed = plan([root], [disk('vdc', '/local/root')], storage({ '/local/root': 'separate' }));
    assert.deepEqual(
      [renamed.reasons, renamed.disks.map(({ target, how, when }) => [target, how, when])],
      [
        [],
        [
          ['vda', 'copy', 'now'],
          ['vdc', 'none', 'next-start'],
        ],
      ],
      'it is copied once',
    );
  },
);

test('of a saved guest what only one of its definitions has is copied, a file that both have under other names once', () => {
  const { disks, reasons } = plan(
    [root, disk('vdb', '/local/b'), disk('vdd', '/local/d')],
    [root, disk('vdb', '/local/c'), disk('vde', '/local/d'), disk('sda')],
    storage({ '/local/root': 'separate', '/local/b': 'separate', '/local/c': 'separate', '/local/d': 'separate' }),
    {},
    true,
  );
  assert.deepEqual(reasons, []);
  assert.deepEqual(
    disks.map(({ target, path, how, when }) => [target, path, how, when]),
    [
      ['vda', '/local/root', 'copy', undefined],
      ['vdb', '/local/b', 'copy', 'now'],
      ['vdd', '/local/d', 'copy', 'now'],
      ['vdb', '/local/c', 'copy', 'next-start'],
      ['vde', '/local/d', 'none', 'next-start'],
      ['sda', undefined, 'none', 'next-start'],
    ],
  );
});

test('one definition alone is planned as it is, and both are looked at', () => {
  const planned = [{ target: 'vda', how: 'none' }] as const;
  assert.deepEqual(planNextStart(vm, { disks: [root], needs: noNeeds }, planned, storage({}), wish, names), {
    disks: planned,
    reasons: [],
  });
  assert.deepEqual(
    disksOfBoth({
      disks: [root],
      needs: noNeeds,
      nextStart: { disks: [root, disk('vdb', '/local/b')], needs: noNeeds },
    }).map(({ target }) => target),
    ['vda', 'vdb'],
  );
});

test('after the move both definitions are compared with the plan', () => {
  const { disks } = plan(
    [root, disk('vdb', '/local/b')],
    [root, disk('vdc', '/shared/c')],
    storage({ '/local/root': 'separate', '/local/b': 'separate', '/shared/c': 'shared' }),
  );
  assert.deepEqual(
    arrivalProblems(disks, {
      now: { vda: '/local/root', vdb: '/local/b' },
      nextStart: { vda: '/local/root', vdc: '/shared/c' },
    }),
    [],
  );
  assert.deepEqual(arrivalProblems(disks, { nextStart: { vda: '/local/other', vdb: '/local/b' } }), [
    'the definition for its next start has /local/other as vda instead of /local/root',
    'the definition for its next start has /local/b as vdb, which was not planned',
    'the definition for its next start lacks vdc (/shared/c)',
  ]);
  assert.deepEqual(arrivalProblems(disks, { now: {} }), [], 'a drive that the guest emptied');
});
