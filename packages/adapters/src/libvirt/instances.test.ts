/** A host with very many domains: the cost of each is constant, and it does not crowd out others. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { openHostSession } from '@ferry/libvirt';
import { serveDomains, uuidOf } from './fake-domains.ts';
import { inTurn } from './in-turn.ts';
import { instancesOf } from './instances.ts';

const count = 2_000;

test(
  'each domain is read by one call, four at a time, and again only after a sign of a change',
  { timeout: 60_000 },
  async () => {
    const daemon = await serveDomains(count);
    await using _ = daemon.server;
    await using session = await openHostSession(`qemu+tcp://127.0.0.1:${daemon.server.port}/system`);
    const instances = instancesOf(session);
    const { signal } = new AbortController();
    let mostListeners = 0;
    const watching = setInterval(
      () => (mostListeners = Math.max(mostListeners, getEventListeners(signal, 'abort').length)),
      1,
    );
    const first = await instances.all(signal);
    clearInterval(watching);
    assert.equal(first.length, count);
    assert.deepEqual(
      [first[7]?.uuid, first[7]?.state, first[7]?.disks.length, first[7]?.memoryBytes],
      [uuidOf(7), 'running', 6, 1_048_576],
    );
    assert.deepEqual(
      [...daemon.calls],
      [
        ['connectListAllDomains', 3],
        ['connectGetAllDomainStats', Math.ceil(count / 256)],
        ['domainGetXmlDesc', count],
      ],
    );
    assert.ok(daemon.mostAtOnce() <= 4, `${daemon.mostAtOnce()} definitions at once`);
    assert.ok(mostListeners <= 1, `${mostListeners} listeners on one signal`);

    daemon.calls.clear();
    daemon.states[7] = 5;
    const second = await instances.all(signal);
    assert.equal(daemon.calls.get('domainGetXmlDesc'), 1);
    assert.equal(second.find(({ uuid }) => uuid === uuidOf(7))?.state, 'shut-off');
    const firstBy = new Map(first.map((each) => [each.uuid, each]));
    assert.equal(
      second.filter((each) => firstBy.get(each.uuid) === each).length,
      count - 1,
      'what has not changed is the same object',
    );
  },
);

test('while a large host is read, others have their turns', { timeout: 60_000 }, async () => {
  const daemon = await serveDomains(count);
  await using _ = daemon.server;
  await using session = await openHostSession(`qemu+tcp://127.0.0.1:${daemon.server.port}/system`);
  let turns = 0;
  let over = false;
  const turn = (): void => {
    turns += 1;
    if (!over) setImmediate(turn);
  };
  turn();
  await instancesOf(session).all(new AbortController().signal);
  over = true;
  assert.ok(turns > count / 4, `${turns} turns`);
});

test('one definition that cannot be read costs the other VMs of the host nothing', async () => {
  const daemon = await serveDomains(3);
  await using _ = daemon.server;
  daemon.definitions.set(1, '<a>'.repeat(1000));
  daemon.definitions.set(2, "<domain><memory unit='KiB'>18446744073709551615</memory><vcpu>x</vcpu></domain>");
  await using session = await openHostSession(`qemu+tcp://127.0.0.1:${daemon.server.port}/system`);
  const instances = await instancesOf(session).all(new AbortController().signal);
  assert.deepEqual(
    instances.map(({ name, state, memoryBytes, vcpus }) => [name, state, memoryBytes, vcpus]),
    [
      ['vm0', 'running', 1_048_576, 1],
      ['vm1', 'running', 0, 0],
      ['vm2', 'running', Number.MAX_SAFE_INTEGER, 0],
    ],
  );
});

test('in turn: results in order, four at once, and the first failure ends it', async () => {
  let now = 0;
  let most = 0;
  const work = async (item: number): Promise<number> => {
    most = Math.max(most, (now += 1));
    await new Promise((resolve) => setImmediate(resolve));
    now -= 1;
    if (item === 20) throw new Error('twenty');
    return item * 2;
  };
  const items = Array.from({ length: 20 }, (_, index) => index);
  assert.deepEqual(
    await inTurn(items, work),
    items.map((item) => item * 2),
  );
  assert.equal(most, 4);
  let begun = 0;
  await assert.rejects(
    inTurn(
      Array.from({ length: 100 }, (_, index) => index),
      (item) => ((begun += 1), work(item)),
    ),
    /twenty/,
  );
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(begun < 30, `${begun} were begun`);
});
