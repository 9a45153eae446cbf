/**
 * The clock of the control plane's machine is set while a migration runs. It is the server's only: a file shifts what
 * it reads.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readSector, vmCreate, vmLog, waitFor } from '@ferry/lab';
import { onlyFull } from './fault-fixture.ts';
import type { MigrationJson } from './answers.ts';
import { withFleet, type Fleet } from './fleet.ts';

const hourMs = 3_600_000;
const deadlineMs = 10 * 60_000;
const folder = mkdtempSync(join(tmpdir(), 'ferry-own-'));
const shiftFile = join(folder, 'shift');
const setClock = (byMs: number): void => writeFileSync(shiftFile, String(byMs));
setClock(0);
writeFileSync(
  join(folder, 'clock.mjs'),
  `import { readFileSync } from 'node:fs';
  const real = Date.now;
  Date.now = () => real() + Number(readFileSync(${JSON.stringify(shiftFile)}, 'utf8'));`,
);

let fleet: Fleet;
withFleet(
  async (made) => {
    fleet = made;
    await vmCreate(made.lab, { name: 'busy', host: 'host1', workload: 'sector:V=64,W=48,D=96' });
    await fleet.seen('busy', 'running');
  },
  { machine: { env: { NODE_OPTIONS: `--import=file://${join(folder, 'clock.mjs')}` } } },
);
after(() => rmSync(folder, { recursive: true, force: true }));

const begin = async (
  ...options: readonly string[]
): Promise<{ readonly id: string; readonly from: string; readonly to: string }> => {
  const from = (await fleet.show('busy')).host;
  const to = from === 'host1' ? 'host2' : 'host1';
  const { id } = await fleet.plane.json<MigrationJson>('vm', 'migrate', 'busy', '--to', to, '--detach', ...options);
  return { id, from, to };
};
const sent = async (id: string, percent: number): Promise<unknown> =>
  waitFor(
    `${percent} % of ${id}`,
    async () => ((await fleet.migration(id)).progress?.percent ?? 0) >= percent || undefined,
    {
      timeoutMs: 60_000,
    },
  );
const takes = onlyFull('the same is shown in virtual time in every run');

for (const [name, before, steps] of [
  ['an hour forth', 0, [hourMs]],
  ['an hour back', hourMs, [0]],
  ['forth and back', 0, [hourMs, -hourMs]],
] as const) {
  test(
    `the clock is set ${name} during a move: durations, the deadline and the default policy do not see it`,
    { timeout: 180_000, skip: takes },
    async () => {
      setClock(before);
      const { id, to } = await begin('--max-bandwidth-mb', '16', '--deadline', `${deadlineMs / 1_000}s`);
      for (const [index, byMs] of steps.entries()) {
        await sent(id, 5 + 15 * index);
        setClock(byMs);
      }
      const done = await fleet.ended(id, 120_000);
      const told = JSON.stringify(done);
      assert.deepEqual([done.outcome, done.vmIsNow], ['succeeded', { host: to, state: 'running' }], told);
      assert.ok(
        done.phases.some(({ phase }) => phase === 'post-copy'),
        `the default did not go to post-copy: ${told}`,
      );
      const times = done.phases.map(({ at }) => Date.parse(at));
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
        told,
      );
      assert.ok(
        Math.abs((times[0] ?? 0) - Date.now() - before) < hourMs / 2,
        `it begins with the clock as it is: ${told}`,
      );
      assert.ok(done.totalMs !== undefined && done.totalMs >= 0 && done.totalMs < deadlineMs, told);
      assert.equal(Date.parse(done.deadlineAt ?? '') - (times[0] ?? 0), deadlineMs, told);
      assert.equal(readSector(vmLog(fleet.lab, 'busy')).damaged, 0);
    },
  );
}
