/**
 * The table of moves (moves.ts) on real hosts: one guest per kind of disk goes through its rows. After each row: the VM
 * is where it should be and nowhere else, in the right state; its disk's records are unbroken; its counter went on.
 * With FERRY_TEST_FULL every kind of disk, otherwise a local and a shared one.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readTicks, virsh, vmCheck, vmCreate, vmDelete, vmLog, waitFor, type DiskKind, type LabRef } from '@ferry/lab';
import type { ControlPlane } from './control-plane.ts';
import { withFleet, type Fleet } from './fleet.ts';
import { diskKindsOfTheTable, movesOf, movesPage, type Move, type VmState } from './moves.ts';

const full = (process.env['FERRY_TEST_FULL'] ?? '') !== '';
const kinds: readonly DiskKind[] = full ? diskKindsOfTheTable : ['local', 'shared'];

let lab: LabRef;
let plane: ControlPlane;
let seen: Fleet['seen'];
let moveVm: Fleet['move'];
withFleet((fleet) => ({ lab, plane, seen, move: moveVm } = fleet));

/** What libvirt itself says: `host: state` of every instance. */
async function instances(name: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const host of ['host1', 'host2']) {
    const line = (await virsh(lab, host, ['list', '--all']))
      .split('\n')
      .find((each) => each.split(/\s+/).includes(name));
    if (line !== undefined) found.push(`${host}: ${/running|paused|shut off/.exec(line)?.[0] ?? line}`);
  }
  return found;
}

/** libvirt's word: a saved VM is shut off. */
const shown = (state: VmState): string => (state === 'saved' ? 'shut-off' : state);

/** Brings the guest into the state and waits until the control plane has seen it. */
async function bring(name: string, host: string, from: VmState, to: VmState): Promise<void> {
  if (from === 'paused' && to !== 'paused') await virsh(lab, host, ['resume', name]);
  if (from === 'running' && to === 'paused') await virsh(lab, host, ['suspend', name]);
  if (to === 'shut-off' && from !== 'shut-off') await virsh(lab, host, ['destroy', name]);
  if (to === 'saved' && from !== 'saved')
    await virsh(lab, host, ['managedsave', name, '--running'], { timeoutMs: 60_000 });
  await seen(name, shown(to));
}

async function countsOn(name: string): Promise<void> {
  const seen = readTicks(vmLog(lab, name));
  await waitFor(
    `${name} to count on`,
    () => {
      const now = readTicks(vmLog(lab, name));
      return (now.boots.length > seen.boots.length ? now.last > 0 : now.last > seen.last) || undefined;
    },
    { timeoutMs: 60_000 },
  );
  assert.ok(readTicks(vmLog(lab, name)).contiguous, 'a number is missing or comes twice');
}

async function run(name: string, { state, options, result, disk }: Move, host: string): Promise<string> {
  const other = host === 'host1' ? 'host2' : 'host1';
  const boots = readTicks(vmLog(lab, name)).boots.length;
  const before = await instances(name);
  if ('refused' in result) {
    const refused = await plane.ferry('vm', 'migrate', name, '-o', 'json', ...options);
    assert.equal(refused.code, 4, refused.stderr + refused.stdout);
    assert.match(refused.stderr + refused.stdout, new RegExp(result.refused));
    assert.deepEqual(await instances(name), before, 'a refusal changes nothing');
    return host;
  }
  const migration = await moveVm(name, ...options);
  assert.deepEqual([migration.outcome, migration.kind, migration.how], ['succeeded', result.kind, result.how]);
  assert.deepEqual(migration.vmIsNow, { host: other, state: shown(result.stateAfter) });
  assert.deepEqual(await instances(name), [`${other}: ${shown(result.stateAfter).replace('-', ' ')}`]);
  assert.equal(migration.disks?.some(({ how }) => how === 'copy') ?? false, result.copied);
  if (result.stateAfter === 'running') {
    await countsOn(name);
    if (state === 'running' || state === 'saved')
      assert.equal(readTicks(vmLog(lab, name)).boots.length, boots, 'the guest booted again');
  }
  if (disk !== 'none') {
    const verdict = await vmCheck(lab, name);
    assert.ok(
      verdict.contiguous && verdict.corrupt === 0 && !verdict.duplicateWriters && verdict.records > 0,
      JSON.stringify(verdict),
    );
  }
  return other;
}

for (const disk of kinds) {
  test(`moves of a VM with ${disk === 'none' ? 'no disk' : `a ${disk} disk`}`, { timeout: 300_000 }, async (t) => {
    const name = `m-${disk}`;
    let host = 'host1';
    let state: VmState = 'running';
    await vmCreate(lab, { name, host, disk, workload: disk === 'none' ? 'dirty:4' : 'disk' });
    await waitFor(
      'the control plane to see it',
      async () => (await plane.ferry('vm', 'show', name)).code === 0 || undefined,
      { timeoutMs: 10_000 },
    );
    for (const move of movesOf(disk)) {
      await t.test(
        `${move.state} ${move.options.join(' ')}: ` +
          ('refused' in move.result
            ? `refused, ${move.result.refused}`
            : `${move.result.kind}, then ${move.result.stateAfter}`),
        async () => {
          await bring(name, host, state, move.state);
          state = move.state;
          host = await run(name, move, host);
          if (!('refused' in move.result)) state = move.result.stateAfter;
        },
      );
    }
    const left = await plane.json<readonly { readonly host: string; readonly vm: { readonly name: string } }[]>(
      'volume',
      'leftovers',
    );
    assert.deepEqual(
      left.filter(({ vm }) => vm.name === name).map((each) => each.host),
      disk === 'local' ? [host === 'host1' ? 'host2' : 'host1'] : [],
      'one copy stays on the other host, and only for copied disks',
    );
    await vmDelete(lab, name);
  });
}

test('docs/moves.md is the table', () => {
  assert.equal(
    readFileSync(join(import.meta.dirname, '..', 'docs', 'moves.md'), 'utf8'),
    movesPage(),
    'write it anew with "node test/moves-page.ts"',
  );
});
