import assert from 'node:assert/strict';
import { test } from 'node:test';
import { capacityAt, drawn, fairShares, nextChange, type Link } from './link.ts';
import {
  abort,
  advance,
  beginTransfer,
  guestRuns,
  isOver,
  pauseGuest,
  releaseThrottle,
  sampleOf,
  startPostCopy,
  tune,
  wants,
  type GuestModel,
  type Transfer,
  type TransferSettings,
} from './transfer.ts';

const mib = 1_048_576;
const guest = (megabytes: number, ...sets: readonly (readonly [bytes: number, dirty: number])[]): GuestModel => ({
  memory: {
    totalBytes: megabytes * mib,
    sets: sets.map(([bytes, dirty]) => ({ bytes: bytes * mib, dirtyBytesPerSecond: dirty * mib })),
  },
});
const begin = (model: GuestModel, settings: Partial<TransferSettings> = {}): Transfer =>
  beginTransfer(model, { downtimeMs: 300, ...settings });
const forSeconds = (transfer: Transfer, seconds: number, link = 100): Transfer => {
  let after = transfer;
  for (let ms = 0; ms < seconds * 1_000 && !isOver(after); ms += 100) after = advance(after, 100, link * mib, 0.1);
  return after;
};
const toEnd = (transfer: Transfer, link = 100): Transfer => forSeconds(transfer, 3_600, link);

test('pre-copy takes as long as it was measured to take with QEMU 7.2, up to three quarters of the link', () => {
  // 257 MiB, 64 MiB of them written, 50 MiB/s, 300 ms: MiB/s dirtied, seconds, MiB sent
  const measured: readonly (readonly [number, number, number])[] = [
    [4.4, 5.47, 282],
    [9.1, 6.04, 312],
    [17.6, 6.87, 355],
    [27.7, 7.93, 404],
    [38.1, 10.14, 518],
  ];
  for (const [dirty, seconds, sent] of measured) {
    const { elapsedMs, sentBytes, downtimeMs } = toEnd(
      begin(guest(257, [64, dirty]), { bandwidthBytesPerSecond: 50 * mib }),
      1_000,
    );
    assert.ok(
      Math.abs(elapsedMs / 1_000 / seconds - 1) < 0.05,
      `${dirty} MiB/s: ${elapsedMs} ms, measured ${seconds} s`,
    );
    assert.ok(Math.abs(sentBytes / mib / sent - 1) < 0.05, `${dirty} MiB/s: ${sentBytes / mib} MiB, measured ${sent}`);
    assert.ok(downtimeMs < 60, `the switch itself is not limited: ${downtimeMs} ms`);
  }
});

test('an idle guest is sent once and stops for its last piece; zero pages do not travel', () => {
  const idle = toEnd(begin(guest(1_000)));
  assert.deepEqual([idle.phase, idle.iteration, Math.round(idle.sentBytes / mib)], ['done', 2, 1_000]);
  assert.ok(idle.downtimeMs >= 20 && idle.downtimeMs <= 321, String(idle.downtimeMs));
  const empty = toEnd(begin({ memory: { totalBytes: 1_000 * mib, zeroBytes: 600 * mib, sets: [] } }));
  assert.deepEqual([Math.round(empty.sentBytes / mib), sampleOf(empty).remainingBytes], [400, 0]);
  assert.equal(
    sampleOf(forSeconds(begin({ memory: { totalBytes: 1_000 * mib, zeroBytes: 600 * mib, sets: [] } }), 2))
      .remainingBytes,
    500 * mib,
    'half of what travels, half of what does not',
  );
});

test('a guest that writes its set faster than the link does not converge until the pause may be long enough', () => {
  const busy = forSeconds(begin(guest(1_000, [200, 500])), 60);
  assert.equal(busy.phase, 'pre-copy');
  const { dirtyBytesPerSecond, iteration } = sampleOf(busy);
  assert.ok(
    dirtyBytesPerSecond > 90 * mib && dirtyBytesPerSecond <= 101 * mib,
    'each pass dirties the whole set again, no more',
  );
  assert.ok(iteration > 20);
  const ended = toEnd(tune(busy, { downtimeMs: 2_500 }));
  assert.equal(ended.phase, 'done');
  assert.ok(ended.downtimeMs > 1_500 && ended.downtimeMs <= 2_521, String(ended.downtimeMs));
});

test('throttling: after two busy reads of the dirty log, by increments, to 99 %; taken back it stays off', () => {
  const throttle = { initialPercent: 20, incrementPercent: 10 };
  const seen = new Set<number>();
  let transfer = begin(guest(1_000, [500, 100_000]), { throttle });
  for (let second = 0; second < 150; second += 1) {
    transfer = forSeconds(transfer, 1);
    seen.add(transfer.throttlePercent);
  }
  assert.deepEqual([...seen], [0, 20, 30, 40, 50, 60, 70, 80, 90, 99]);
  assert.equal(forSeconds(releaseThrottle(transfer), 60).throttlePercent, 0);
  assert.equal(
    toEnd(begin(guest(1_000, [500, 150]), { throttle })).phase,
    'done',
    'a guest that half of the link would be enough for ends by it',
  );
});

test('post-copy: a short pause, each page once more at most, faults for what is touched before it has come, no way back', () => {
  const busy = forSeconds(begin(guest(1_000, [400, 1_000])), 12);
  const switched = startPostCopy(busy, 0.1);
  assert.equal(guestRuns(switched), false);
  const running = forSeconds(switched, 1);
  assert.deepEqual([running.phase, guestRuns(running), Math.round(running.downtimeMs * 10)], ['post-copy', true, 202]);
  assert.equal(abort(running), running, 'refused');
  const ended = toEnd(running);
  assert.ok(ended.elapsedMs - busy.elapsedMs <= 4_200 && sampleOf(ended).postCopyFaults !== 0, `${ended.elapsedMs} ms`);
  assert.equal(forSeconds(running, 10, 0).phase, 'post-copy', 'without a link it waits');
});

test('a paused guest dirties nothing and arrives with what it had dirtied; its pause counts from the command', () => {
  const paused = toEnd(pauseGuest(forSeconds(begin(guest(1_000, [400, 1_000])), 12)));
  assert.equal(paused.phase, 'done');
  assert.ok(paused.downtimeMs > 3_000 && paused.downtimeMs <= 6_100, String(paused.downtimeMs));
});

test('an abort before the guest runs elsewhere lets it run where it was', () => {
  const aborted = abort(pauseGuest(forSeconds(begin(guest(1_000)), 3)));
  assert.deepEqual([aborted.phase, guestRuns(aborted), wants(aborted)], ['aborted', true, 0]);
  assert.equal(forSeconds(aborted, 5), aborted, 'nothing more happens');
});

test('the limit holds for what is sent while the guest runs, and can be changed', () => {
  const limited = forSeconds(begin(guest(1_000), { bandwidthBytesPerSecond: 10 * mib }), 10);
  assert.equal(Math.round(limited.sentBytes / mib), 100);
  assert.equal(Math.round(forSeconds(tune(limited, { bandwidthBytesPerSecond: 50 * mib }), 5).sentBytes / mib), 350);
});

test('post-copy has a limit of its own, and none by default', () => {
  const switched = startPostCopy(forSeconds(begin(guest(1_000), { bandwidthBytesPerSecond: 10 * mib }), 10), 0.1);
  const inTwoSeconds = (postCopyMib?: number): number =>
    Math.round(
      (forSeconds(tune(switched, postCopyMib === undefined ? {} : { postCopyBytesPerSecond: postCopyMib * mib }), 2)
        .sentBytes -
        switched.sentBytes) /
        mib,
    );
  assert.deepEqual([inTwoSeconds(), inTwoSeconds(20)], [198, 40]);
});

test('a link that is down stops everything but time, and what was to come comes after it', () => {
  const before = forSeconds(begin(guest(1_000)), 4);
  const down = forSeconds(before, 30, 0);
  assert.deepEqual(
    [down.sentBytes, down.phase, sampleOf(down).throughputBytesPerSecond, Math.round(down.elapsedMs)],
    [before.sentBytes, 'pre-copy', 0, 34_000],
  );
  assert.equal(toEnd(down).phase, 'done');
});

test('copied disks come first; one that is written as fast as it is copied never ends, unless its writes wait', () => {
  const withDisk = (write: number): GuestModel => ({
    ...guest(100),
    disks: [{ bytes: 1_000 * mib, writeBytesPerSecond: write * mib }],
  });
  const idle = forSeconds(begin(withDisk(0)), 5);
  assert.deepEqual(
    [idle.phase, sampleOf(idle).iteration, sampleOf(idle).memory, sampleOf(idle).disk],
    ['disks', 0, undefined, { totalBytes: 1_000 * mib, remainingBytes: 500 * mib }],
  );
  assert.equal(toEnd(idle).phase, 'done');
  const busy = forSeconds(begin(withDisk(110)), 300);
  assert.equal(busy.phase, 'disks');
  assert.ok((sampleOf(busy).disk?.totalBytes ?? 0) > 1_000 * mib, 'the total grows with what is written');
  assert.equal(toEnd(begin(withDisk(110), { synchronousWrites: true })).phase, 'done');
});

test('what ready mirrors are given goes off what the memory gets', () => {
  const sent = (write: number): number =>
    forSeconds(begin({ ...guest(1_000), disks: [{ bytes: mib, writeBytesPerSecond: write * mib }] }), 5).sentBytes /
    mib;
  assert.ok(sent(0) - sent(40) > 180, `${sent(0)} and ${sent(40)} MiB`);
});

test('a link: by time, with noise that is the same each time, shared fairly', () => {
  const link: Link = {
    capacity: [
      { fromMs: 0, bytesPerSecond: 100 },
      { fromMs: 1_050, bytesPerSecond: 0 },
      { fromMs: 2_000, bytesPerSecond: 50 },
    ],
    latencyMs: 1,
  };
  assert.deepEqual(
    [0, 1_049, 1_050, 1_999, 9_000].map((at) => capacityAt(link, at)),
    [100, 100, 0, 0, 50],
  );
  assert.deepEqual(
    [0, 1_000, 1_050, 1_099].map((at) => nextChange(link, at)),
    [100, 1_050, 1_100, 1_100],
  );
  const noisy = { ...link, noise: { share: 0.2, seed: 4 } };
  const drawnRates = Array.from({ length: 100 }, (_, window) => capacityAt(noisy, window * 10));
  assert.deepEqual(
    drawnRates,
    Array.from({ length: 100 }, (_, window) => capacityAt(noisy, window * 10)),
  );
  assert.ok(
    Math.min(...drawnRates) >= 80 && Math.max(...drawnRates) <= 100 && new Set(drawnRates).size === 10,
    'one rate per window',
  );
  assert.deepEqual(
    [
      fairShares(90, [Infinity, Infinity, Infinity]),
      fairShares(90, [10, Infinity, 50]),
      fairShares(90, [10, 20]),
      fairShares(90, []),
    ],
    [[30, 30, 30], [10, 40, 40], [10, 20], []],
  );
});

test('what is drawn is spread evenly', () => {
  const values = Array.from({ length: 10_000 }, (_, place) => drawn(7, place));
  const tenths = Array.from(
    { length: 10 },
    (_, tenth) => values.filter((value) => Math.floor(value * 10) === tenth).length,
  );
  assert.ok(
    tenths.every((count) => count > 850 && count < 1_150),
    tenths.join(),
  );
});
