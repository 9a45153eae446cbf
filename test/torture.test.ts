/**
 * A few seeds of script/torture of as many sorts (corners, faults, a TPM, an export, a device, maps), each a VM that is
 * built, moved, judged and taken away again; more of them by that command.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { temporaryLab, type TemporaryLab } from '@ferry/lab';
import type { ControlPlane } from './control-plane.ts';
import { accessTo } from './fleet.ts';
import { scenarioOf } from './torture/generate.ts';
import { outcomeOf, tortureReady } from './torture/run.ts';

const seeds = [1, 5, 6, 10, 27, 31, 43, 67];
let temporary: TemporaryLab | undefined;
let plane: ControlPlane | undefined;
before(async () => {
  temporary = await temporaryLab({ hosts: 3 });
  plane = await tortureReady(temporary.lab, accessTo(temporary), temporary.status.hosts);
});
after(async () => {
  await plane?.[Symbol.asyncDispose]();
  await temporary?.[Symbol.asyncDispose]();
});

for (const seed of seeds) {
  test(`seed ${seed}`, { timeout: 240_000 }, async (t) => {
    assert.ok(temporary !== undefined && plane !== undefined);
    const { faults, steps } = await outcomeOf(temporary.lab, plane, scenarioOf(seed));
    for (const step of steps) t.diagnostic(step);
    assert.deepEqual(faults, [], `again: script/torture --seed ${seed}`);
  });
}
