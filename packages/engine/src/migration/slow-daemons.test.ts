/**
 * Daemons that answer each question a second late: what a move waits for is the number of questions in a row, so that
 * number has a bound. Virtual time counts them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startEngine } from '../engine.ts';
import { countingClock, fakeFleet, silentLog, uriOf } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import type { Clock, HostLink } from '../ports/ports.ts';

const lateMs = 1_000;
const patience = () => AbortSignal.timeout(20_000);

/** The same link with late answers; the time of a transfer itself does not change. */
function late(link: HostLink, clock: Clock, isLate: () => boolean): HostLink {
  const slow = <T extends object>(port: T): T =>
    new Proxy(port, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== 'function' || name === 'perform' || name === 'read' || name === 'watch') return method;
        return async (...args: unknown[]): Promise<unknown> => {
          if (isLate()) await clock.sleep(lateMs);
          return Reflect.apply(method, target, args);
        };
      },
    });
  const ports = Object.entries(link).map(([name, port]: [string, unknown]) => [
    name,
    typeof port === 'object' && port !== null && !(port instanceof Promise) ? slow(port) : port,
  ]);
  return {
    ...(Object.fromEntries(ports) as HostLink),
    takesAnother: async (signal) => {
      if (isLate()) await clock.sleep(lateMs);
      return link.takesAnother(signal);
    },
  };
}

for (const { name, disk, toBegin, toEnd } of [
  { name: 'a guest without disks', disk: undefined, toBegin: 4, toEnd: 12 },
  { name: 'a guest whose disk both hosts have', disk: '/shared/web.raw', toBegin: 12, toEnd: 20 },
  { name: 'a guest whose disk is copied', disk: '/pool/web.raw', toBegin: 10, toEnd: 20 },
] as const)
  test(`${name} moves within a bounded number of questions in a row`, async () => {
    using clock = countingClock();
    const fleet = fakeFleet(clock);
    let slow = false;
    const hypervisor = {
      ...fleet.hypervisor,
      connect: async (uri: string, signal: AbortSignal) =>
        late(await fleet.hypervisor.connect(uri, signal), clock, () => slow),
    };
    const engine = await startEngine({ hypervisor, stores: memoryStores(), clock, log: silentLog });
    try {
      for (const each of ['h1', 'h2']) {
        fleet.add(each);
        await engine.addHost({ uri: uriOf(each), name: each }, patience());
      }
      fleet.run('h1', {
        uuid: 'aaaaaaaa-0000-4000-8000-000000000001',
        name: 'web',
        ...(disk === undefined ? {} : { disk }),
      });
      while (engine.vms().length === 0) await clock.sleep(10);
      await clock.sleep(60_000);
      fleet.next.durationMs = 0;
      slow = true;
      const asked = clock.now();
      const { id } = await engine.startMigration({ vm: 'web', to: 'h2' }, { actor: 'operator', client: 'test' });
      for await (const _ of engine.watchMigration(id, patience()));
      const { outcome, phases, error } = await engine.migration(id);
      assert.equal(outcome, 'succeeded', JSON.stringify(error));
      const begun = phases.find(({ phase }) => phase === 'transferring')?.at ?? assert.fail();
      const inARow = { toBegin: (begun - asked) / lateMs, toEnd: ((phases.at(-1)?.at ?? 0) - asked) / lateMs };
      assert.ok(inARow.toBegin <= toBegin && inARow.toEnd <= toEnd, JSON.stringify(inARow));
    } finally {
      slow = false;
      await engine.close();
    }
  });

test('a source that takes a call before the transfer and never answers it: the move fails, and the guest stays', async () => {
  using clock = countingClock();
  const fleet = fakeFleet(clock);
  const hypervisor = {
    ...fleet.hypervisor,
    connect: async (uri: string, signal: AbortSignal): Promise<HostLink> => {
      const link = await fleet.hypervisor.connect(uri, signal);
      const mark: HostLink['instances']['mark'] = (_uuid, _marker, within) =>
        new Promise((_, reject) => within.addEventListener('abort', () => reject(within.reason as Error)));
      return { ...link, instances: { ...link.instances, mark } };
    },
  };
  const engine = await startEngine({ hypervisor, stores: memoryStores(), clock, log: silentLog });
  try {
    for (const each of ['h1', 'h2']) {
      fleet.add(each);
      await engine.addHost({ uri: uriOf(each), name: each }, patience());
    }
    fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' });
    while (engine.vms().length === 0) await clock.sleep(10);
    const { id } = await engine.startMigration({ vm: 'web', to: 'h2' }, { actor: 'operator', client: 'test' });
    for await (const _ of engine.watchMigration(id, patience()));
    const { outcome, vmIsNow } = await engine.migration(id);
    assert.deepEqual([outcome, vmIsNow], ['failed', { host: 'h1', state: 'running' }]);
  } finally {
    await engine.close();
  }
});
