import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TransferHistory } from '../model/transfer.ts';
import { diskLook, look, mib, watched } from './example-history.ts';
import { follow, rateOf, recentRate, secondsOf, stoodStillMs } from './transfer-history.ts';

const fold = (looks: readonly (readonly [at: number, sample: Parameters<typeof follow>[1]])[]): TransferHistory => {
  let history: TransferHistory | undefined;
  for (const [at, sample] of looks) history = follow(history, sample, at);
  return history ?? assert.fail('no looks');
};

test('one entry per pass, with its length, what it began with and what went over', () => {
  const { history } = watched([{ rest: 1_000 }, { rest: 300 }]);
  assert.deepEqual(
    history.passes.map((pass) => [
      pass.iteration,
      secondsOf(pass),
      pass.restBytes / mib,
      rateOf(pass) / mib,
      pass.dirtyBytesPerSecond / mib,
    ]),
    [
      [1, 10, 1_000, 100, 0],
      [2, 3, 300, 100, 30],
    ],
  );
});

test("the rest of a pass is QEMU's own count when the first look at it comes late, as far as that can be", () => {
  const rest = (lastSent: number) =>
    fold([
      [0, look({ iteration: 1, rest: 1_000, sent: 0 })],
      [9_000, look({ iteration: 1, rest: 1_000 - lastSent, sent: lastSent })],
      [10_000, look({ iteration: 2, rest: 250, sent: 1_050, dirty: 30 })],
    ]).passes.at(-1)?.restBytes ?? 0;
  assert.equal(rest(950) / mib, 300, '10 s at 30 MiB/s, of which 50 MiB are gone already');
  assert.equal(
    rest(1_030) / mib,
    270,
    'only 20 MiB went over since the look before: the pass before was shorter than it seemed',
  );
});

test('passes between two looks are not made up: the rest is what is seen', () => {
  const history = fold([
    [0, look({ iteration: 1, rest: 1_000, sent: 0 })],
    [10_000, look({ iteration: 5, rest: 25, sent: 1_500, dirty: 30 })],
  ]);
  assert.equal((history.passes.at(-1)?.restBytes ?? 0) / mib, 25);
});

test('the smallest rest counts from when it was first seen, and noise is no gain', () => {
  const rests = [500, 100, 97, 98, 90];
  const history = fold(
    rests.map((rest, index) => [index * 1_000, look({ iteration: 1, rest, sent: 1_000 - rest })] as const),
  );
  assert.deepEqual([history.best.bytes / mib, history.best.at], [90, 4_000]);
  const noisy = fold(
    rests.slice(0, 4).map((rest, index) => [index * 1_000, look({ iteration: 1, rest, sent: 1_000 - rest })] as const),
  );
  assert.deepEqual([noisy.best.bytes / mib, noisy.best.at], [100, 1_000]);
});

test('a large rest that is sent for the first time gains with every few MiB, also a disk of a TiB over a slow link', () => {
  const tib = 1_048_576;
  const first = fold(
    [0, 1, 2, 3].map(
      (index) => [index * 1_000, look({ iteration: 1, rest: tib - index * 100, sent: index * 100 })] as const,
    ),
  );
  assert.deepEqual([first.best.at, stoodStillMs(first)], [3_000, 0]);
  const disk = fold(
    [0, 1, 2, 3].map((index) => [index * 1_000, diskLook(tib - Math.min(index, 2) * 10, tib)] as const),
  );
  assert.deepEqual([disk.best.at, stoodStillMs(disk)], [2_000, 1_000]);
  const second = fold([
    [0, look({ iteration: 1, rest: tib, sent: 0 })],
    ...[1, 2, 3].map(
      (index) => [index * 1_000, look({ iteration: 2, rest: 50_000 - index * 100, sent: tib + index * 100 })] as const,
    ),
  ]);
  assert.equal(second.best.at, 1_000, 'later passes begin anew: noise');
});

test('the present rate is that of the last five seconds, and nothing before a second is over', () => {
  const slowed = watched([
    { rest: 1_000, link: 100, seconds: 5 },
    { rest: 600, link: 10, seconds: 20 },
  ]);
  assert.equal(Math.round((recentRate(slowed.history) ?? 0) / mib), 10);
  assert.equal(
    recentRate(
      fold([
        [0, look({ iteration: 1, rest: 10, sent: 0 })],
        [500, look({ iteration: 1, rest: 5, sent: 5 })],
      ]),
    ),
    undefined,
  );
});

test('what the link gave at its best is kept, with when it last gave about as much', () => {
  const { history } = watched([
    { rest: 2_000, link: 100, seconds: 6 },
    { rest: 1_400, link: 30, seconds: 20 },
  ]);
  assert.equal(Math.round((history.fastest?.bytesPerSecond ?? 0) / mib), 100);
  const until = history.fastest?.at ?? 0;
  assert.ok(until >= 6_000 && until <= 9_000, `last at ${until} ms: looks back over five seconds`);
});

test('disks come before the memory: their own part, their own smallest rest', () => {
  const disks = fold([
    [0, diskLook(1_000)],
    [5_000, diskLook(200)],
  ]);
  assert.deepEqual(
    [disks.part, disks.passes.map(({ iteration }) => iteration), disks.best.bytes / mib],
    ['disks', [0], 200],
  );
  const memory = follow(
    disks,
    { ...look({ iteration: 1, rest: 4_000, sent: 1 }), disk: { totalBytes: 1_000 * mib, remainingBytes: 0 } },
    6_000,
  );
  assert.deepEqual(
    [
      memory.part,
      memory.passes.map(({ iteration }) => iteration),
      memory.best.bytes / mib,
      memory.recent.length,
      memory.startedAt,
    ],
    ['memory', [0, 1], 4_000, 1, 0],
  );
});

test('counters that run backwards are another attempt, and begin a history of their own', () => {
  const { history, now } = watched([{ rest: 1_000 }, { rest: 300 }]);
  const again = follow(history, look({ iteration: 1, rest: 4_000, sent: 0 }), now + 1_000);
  assert.deepEqual([again.passes.length, again.startedAt, again.fastest], [1, now + 1_000, undefined]);
});

test("libvirt's zeros before QEMU has begun are neither a pass nor the smallest rest", () => {
  const zeros = look({ iteration: 0, rest: 0, sent: 0, link: 0, total: 0 });
  const waiting = fold([
    [0, zeros],
    [1_000, zeros],
  ]);
  assert.deepEqual([waiting.startedAt, waiting.passes, waiting.recent], [0, [], []]);
  const history = follow(waiting, look({ iteration: 1, rest: 4_000, sent: 0 }), 2_000);
  assert.deepEqual([history.startedAt, history.passes[0]?.startedAt, history.best.bytes / mib], [0, 2_000, 4_000]);
  assert.equal(JSON.parse(JSON.stringify(waiting)).best.bytes, waiting.best.bytes, 'as it is stored');
});

test('a history stays short, however long the transfer', () => {
  const { history } = watched(Array.from({ length: 400 }, () => ({ rest: 150 })));
  assert.ok(
    history.passes.length <= 24 && history.recent.length <= 24,
    `${history.passes.length} passes, ${history.recent.length} looks`,
  );
  assert.deepEqual([history.passes[0]?.iteration, history.passes.at(-1)?.iteration], [1, 400], 'the first stays');
});
