import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyTime } from './copy-time.ts';

const mib = 1_048_576;
const thin = { bytes: 100 * mib, countedBytes: 1_000 * mib };

test('a cold copy takes its time at the limit, which each disk has by itself; at best that of the network; or it is not known', () => {
  const limited = copyTime([thin, { bytes: 50 * mib, countedBytes: 500 * mib }], { limit: 10 * mib, link: 100 * mib });
  assert.deepEqual(
    [limited?.inMs, limited?.bytes, limited?.text],
    [100_000, 150 * mib, '150 MiB are copied; at the limit of 10 MiB/s for each disk that takes about 100 s'],
  );
  const linked = copyTime([thin], { link: 10 * mib });
  assert.deepEqual([linked?.inMs, linked?.text.endsWith('at least 10 s')], [10_000, true]);
  const unknown = copyTime([thin], {});
  assert.deepEqual([unknown?.inMs, /is not known/.test(unknown?.text ?? '')], [undefined, true]);
  assert.equal(copyTime([], { limit: mib }), undefined);
});
