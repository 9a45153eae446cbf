import assert from 'node:assert/strict';
import { test } from 'node:test';
import { threeHosts } from '../fake/three-hosts.ts';

test('the CPU baseline of a cluster: its hosts, and those that cannot be asked, each with the reason', async () => {
  const { clock, fleet, engine } = await threeHosts();
  await using stack = new AsyncDisposableStack();
  stack.defer(() => clock[Symbol.dispose]());
  stack.defer(() => engine.close());
  fleet.lose('h3');
  for (let turn = 0; turn < 1_000 && engine.host('h3').state === 'connected'; turn += 1) await clock.sleep(10);
  const { cpu, hosts, leftOut, unfit } = await engine.cpuBaseline('default', AbortSignal.timeout(5_000));
  assert.deepEqual([hosts, leftOut.map((each) => each.host), unfit], [['h1', 'h2'], ['h3'], []]);
  assert.match(cpu, /<model>/);
  await assert.rejects(engine.cpuBaseline('nosuch', AbortSignal.timeout(5_000)), /no cluster "nosuch"/);
});
