// The guest of 512 bytes on real hosts: its memory is as large as it was asked to be, QEMU measures the rate it was
// asked for, and a live migration loses none of its pages.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LabError, readSector, temporaryLab, virsh, vmCreate, vmDelete, vmList, vmLog, waitFor } from '../src/index.ts';
import type { LabRef, TemporaryLab } from '../src/index.ts';

const FILLED_MIB = 96;
const RATE_MIB = 12;

let temporary: TemporaryLab;
let lab: LabRef;

before(async () => {
  temporary = await temporaryLab({ hosts: 2 });
  ({ lab } = temporary);
});

after(async () => {
  await temporary[Symbol.asyncDispose]();
});

const uri = (host: string): string =>
  temporary.status.hosts.find(({ name }) => name === host)?.uri ?? assert.fail(`no host ${host}`);
const said = () => readSector(vmLog(lab, 'busy'));
/** Figures of the running migration in MiB, and which round of sending memory it is in. */
async function job(
  host: string,
): Promise<{ readonly dirtyRate: number; readonly total: number; readonly round: number }> {
  const text = await virsh(lab, host, ['domjobinfo', 'busy', '--rawstats']).catch(() => '');
  const figure = (name: string): number => Number(new RegExp(`^\\s*${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  return {
    dirtyRate: (figure('memory_dirty_rate') * figure('memory_page_size')) / 2 ** 20,
    total: figure('memory_total') / 2 ** 20,
    round: figure('memory_iteration'),
  };
}

test(
  'the rate that QEMU measures is the rate that was asked for; moved, the guest goes on, has lost no page, and obeys the power button',
  { timeout: 180_000 },
  async () => {
    await vmCreate(lab, {
      name: 'busy',
      host: 'host1',
      workload: `sector:V=${FILLED_MIB},W=${FILLED_MIB},D=${RATE_MIB}`,
    });
    const begun = said();
    await waitFor('two seconds of its timer', () => said().beats > begun.beats + 500 || undefined, {
      timeoutMs: 30_000,
    });
    const ran = said();
    const own = ((ran.hotMib - begun.hotMib) * 250) / (ran.beats - begun.beats);
    assert.ok(own > RATE_MIB * 0.7 && own < RATE_MIB * 1.2, `${own} MiB/s by its own count`);

    // slow enough to be looked at for some rounds; the set is larger than what is dirtied in one, for QEMU counts each
    // page once
    const moving = virsh(
      lab,
      'host1',
      ['migrate', '--live', '--p2p', '--persistent', '--undefinesource', '--bandwidth', '16', 'busy', uri('host2')],
      { timeoutMs: 120_000 },
    );
    moving.catch(() => undefined);
    const seen: number[] = [];
    await waitFor(
      'QEMU to measure the rate',
      async () => {
        const { dirtyRate, round } = await job('host1');
        // in the first round it has nothing to compare with
        if (round > 1 && dirtyRate > 0) seen.push(dirtyRate);
        return seen.length > 12 || undefined;
      },
      { timeoutMs: 60_000, intervalMs: 200 },
    );
    const measured = seen.toSorted((a, b) => a - b)[seen.length >> 1] ?? 0;
    // a starved guest is slower; more than one asked for is never dirtied
    assert.ok(measured > RATE_MIB * 0.4 && measured < RATE_MIB * 1.5, `${measured} MiB/s by QEMU`);
    assert.ok((await job('host1')).total >= FILLED_MIB);

    await virsh(lab, 'host1', ['migrate-setspeed', 'busy', '200']);
    await moving;
    const arrived = said();
    await waitFor('it to pass over its set twice more', () => said().hotMib > arrived.hotMib + 100 || undefined, {
      timeoutMs: 60_000,
    });
    assert.deepEqual((({ boots, damaged }) => ({ boots, damaged }))(said()), { boots: 1, damaged: 0 });
    assert.deepEqual(
      (await vmList(lab)).map(({ host, state }) => ({ host, state })),
      [{ host: 'host2', state: 'running' }],
    );

    await virsh(lab, 'host2', ['shutdown', 'busy']);
    await waitFor(
      'it to be off',
      async () => (await vmList(lab)).some(({ host, state }) => host === 'host2' && state === 'shut off') || undefined,
      { timeoutMs: 20_000 },
    );
    await vmDelete(lab, 'busy');
  },
);

test('an impossible workload is refused before anything is created', async () => {
  for (const options of [
    { workload: 'sector:V=64,W=65,D=1' },
    { workload: 'sector:V=64,W=16,D=1', memoryMib: 66 },
    { workload: 'sector:V=64,W=16,D=1', disk: 'local' as const },
  ]) {
    await assert.rejects(
      vmCreate(lab, { name: 'wrong', host: 'host1', ...options }),
      (error) => error instanceof LabError && error.exitCode === 2,
    );
  }
  assert.deepEqual(await vmList(lab), []);
});
