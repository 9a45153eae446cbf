import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostId, VmUuid } from '../../model/ids.ts';
import { randomGroup, seeded } from './example-groups.ts';
import type { Group } from './group.ts';
import { orderOf } from './order.ts';

/** Whether any sequence of moves leads there, by looking at every state. */
function isReachable({ hosts, vms, rules }: Group, to: ReadonlyMap<VmUuid, HostId>): boolean {
  const apart = rules.filter(({ kind, strength }) => kind === 'apart' && strength === 'hard');
  const goal = vms.map(({ uuid, from }) => to.get(uuid) ?? from).join();
  const start = vms.map(({ from }) => from);
  const seen = new Set([start.join()]);
  const next = [start];
  for (let state = next.pop(); state !== undefined; state = next.pop()) {
    if (state.join() === goal) return true;
    for (const [index, vm] of vms.entries()) {
      if (!to.has(vm.uuid) || to.get(vm.uuid) === vm.from) continue;
      for (const { id, freeBytes } of hosts) {
        if (!vm.may.has(id) || state[index] === id) continue;
        const used = vms.reduce(
          (sum, { memoryBytes, from }, at) =>
            sum + (state[at] === id ? memoryBytes : 0) - (from === id ? memoryBytes : 0),
          vm.memoryBytes,
        );
        const clashes = apart.some(
          ({ vms: named }) =>
            named.includes(vm.uuid) && vms.some(({ uuid }, at) => named.includes(uuid) && state[at] === id),
        );
        const then = state.with(index, id);
        if (used > freeBytes || clashes || seen.has(then.join())) continue;
        seen.add(then.join());
        next.push(then);
      }
    }
  }
  return false;
}

test('an order is found whenever there is one, and none where there is none', () => {
  const found = { yes: 0, no: 0, parks: 0 };
  for (let seed = 1; seed <= 1_500; seed += 1) {
    const random = seeded(seed);
    const { hosts, vms, rules } = randomGroup(random, { vms: 3 + random(4), hosts: 3, apartOnly: true });
    // everybody changes places: those that fit in the end
    const settled = vms.map((vm) => ({ ...vm, from: hosts[random(hosts.length)]?.id ?? vm.from }));
    const to = new Map(
      settled.flatMap(({ uuid, from, may }) => {
        const [id] = [...may.keys()].filter((each) => each !== from).slice(random(2));
        return id === undefined ? [] : [[uuid, id] as const];
      }),
    );
    const group = { hosts: hosts.map((host) => ({ ...host, freeBytes: host.freeBytes / 3 })), vms: settled, rules };
    const order = orderOf(group, to);
    assert.equal(order.kind === 'reachable', isReachable(group, to), `seed ${seed}`);
    found[order.kind === 'reachable' ? 'yes' : 'no'] += 1;
    if (order.kind === 'reachable' && order.moves.some(({ parks }) => parks === true)) found.parks += 1;
  }
  assert.ok(found.yes > 200 && found.no > 200 && found.parks > 10, JSON.stringify(found));
});
