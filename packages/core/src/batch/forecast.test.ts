import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Batch, BatchMember } from '../model/batch.ts';
import { batchId, hostId, migrationId, vmUuid } from '../model/ids.ts';
import { presets } from '../policy/presets.ts';
import { forecastBatch, type ForecastFacts } from './forecast.ts';

const mib = 1_048_576;
const h1 = { id: hostId('h1'), name: 'h1' };
const member = (name: string, more: Partial<BatchMember> = {}): BatchMember => ({
  vm: { uuid: vmUuid(name), name },
  memoryBytes: 320 * mib,
  from: h1,
  way: 'live',
  state: 'waiting',
  tries: 0,
  curve: { at: 0, readings: [{ seconds: 1, bytesPerSecond: 0 }] },
  ...more,
});
const batch = (members: readonly BatchMember[], more: Partial<Batch> = {}): Batch => ({
  id: batchId('d1'),
  name: 'drain-h1-d1',
  kind: 'drain',
  actor: 'operator',
  client: 'test',
  hosts: [h1],
  startedAt: 0,
  phase: 'running',
  members,
  ...more,
});
const facts: ForecastFacts = {
  lanes: [{ host: h1, most: 8, bytesPerSecond: 32 * mib }],
  policyOf: () => presets.get('default'),
  remainingMs: () => undefined,
};
const now = 1_000_000;
const endOf = (of: Batch, name: string, more: Partial<ForecastFacts> = {}): number | string => {
  const found = forecastBatch(of, { ...facts, ...more }, now)?.members.get(vmUuid(name));
  if (found === undefined) return 'none';
  return 'unknown' in found ? found.unknown : Math.round((found.endsAt - now) / 1_000);
};

test('those that share the link share its time; those behind them come later', () => {
  // 10 s each with the whole link
  const six = batch(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => member(name)));
  const ends = ['a', 'd', 'e', 'f'].map((name) => endOf(six, name));
  assert.ok(
    ends.slice(0, 2).every((end) => Number(end) >= 40 && Number(end) <= 45),
    ends.join(),
  );
  assert.ok(
    ends.slice(2).every((end) => Number(end) >= 60 && Number(end) <= 67),
    ends.join(),
  );
  const whole = forecastBatch(six, facts, now);
  const all = [...(whole?.members.values() ?? [])].map((each) => ('unknown' in each ? 0 : each.endsAt));
  assert.equal(whole?.endsAt, Math.max(...all));
  assert.match(whole?.text ?? '', /^in about 6\d s, \d+ s at most$/);
});

test('where only the network card speaks of the link, that is said, and nothing is promised', () => {
  const lanes = [{ host: h1, most: 8, reportedBytesPerSecond: 32 * mib }];
  const whole = forecastBatch(batch([member('a')]), { ...facts, lanes }, now);
  assert.match(whole?.text ?? '', /^in about \d+ s, if the link of h1 carries what its network card reports$/);
  assert.deepEqual([whole?.latestAt, typeof whole?.endsAt], [undefined, 'number']);
});

test('a drain that is to begin later ends later; so does one within a blackout period', () => {
  const one = batch([member('a')]);
  const soon = Number(endOf(one, 'a'));
  assert.equal(endOf({ ...one, phase: 'scheduled', beginsAt: now + 100_000 }, 'a'), soon + 100);
  const [lane] = facts.lanes;
  assert.ok(lane !== undefined);
  const lanes = [{ ...lane, blackout: { until: now + 50_000, period: 'x' } }];
  assert.equal(endOf(one, 'a', { lanes }), soon + 50);
});

test('one that moves ends when its migration says', () => {
  const both = batch([member('a', { state: 'moving', migration: migrationId('m1') }), member('b')]);
  assert.equal(endOf(both, 'a', { remainingMs: () => 2_000 }), 5, 'it shares the link with the next one');
  const two = batch(['a', 'b'].map((name) => member(name, { state: 'moving', migration: migrationId(name) })));
  assert.equal(endOf(two, 'a', { remainingMs: () => 6_000 }), 7, 'each says so of its share');
});

test('what is not known is said to be unknown, and what comes after it too', () => {
  const { curve: _, ...unmeasured } = member('b', { memoryBytes: 100 * mib });
  const three = batch([member('a'), unmeasured, member('c', { memoryBytes: 50 * mib })]);
  assert.equal(typeof endOf(three, 'a'), 'number');
  assert.deepEqual(
    [endOf(three, 'b'), endOf(three, 'c')],
    ['what b writes is not known', 'what b writes is not known'],
  );
  const whole = forecastBatch(three, facts, now);
  assert.equal(whole?.endsAt, undefined);
  assert.match(whole?.text ?? '', /^not known, because what b writes is not known; 1 of 3 VMs in about \d+ s$/);
  assert.equal(endOf(three, 'a', { lanes: [] }), 'what the link of h1 carries is not known');
  const shut = batch([member('a', { way: 'shutdown' }), member('b')]);
  assert.equal(endOf(shut, 'a'), 'how long a takes to shut down is not known');
  assert.equal(typeof endOf(shut, 'b'), 'number', 'others do not wait for it');
});

test('a batch that has ended, or has nothing left to do, is expected to do nothing', () => {
  assert.equal(forecastBatch(batch([member('a')], { phase: 'done' }), facts, now), undefined);
  assert.equal(forecastBatch(batch([member('a', { state: 'moved' })]), facts, now), undefined);
});
