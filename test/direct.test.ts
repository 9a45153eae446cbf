/**
 * Direct mode between its steps, on real hosts: the control plane dies, or one answer is lost, before and after each
 * call; the guest then runs in exactly one place, without a new boot, and the stored end is true.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readTicks, temporaryLab, virsh, vmCreate, vmLog, waitFor, type TemporaryLab } from '@ferry/lab';
import { controlPlane, type ControlPlane } from './control-plane.ts';
import type { MigrationJson } from './fleet.ts';
import { proxyTo, type Proxy } from './rpc-proxy.ts';

const [prepare, perform, finish, confirm] = [303, 305, 306, 307];

let temporary: TemporaryLab;
let plane: ControlPlane;
const proxies = new Map<string, Proxy>();
let at = 'host1';

before(async () => {
  temporary = await temporaryLab({ hosts: 2 });
  plane = await controlPlane();
  for (const { name, address } of temporary.status.hosts) {
    const proxy = await proxyTo(address);
    proxies.set(name, proxy);
    await plane.json('host', 'add', proxy.uri, '--name', name);
  }
  await vmCreate(temporary.lab, { name: 'guest', host: 'host1' });
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  for (const proxy of proxies.values()) await proxy[Symbol.asyncDispose]();
  await temporary[Symbol.asyncDispose]();
});

const proxyOf = (host: string): Proxy => proxies.get(host) ?? assert.fail(host);
const state = async (host: string): Promise<string> =>
  (await virsh(temporary.lab, host, ['domstate', 'guest']).catch(() => 'absent')).trim();
const ended = (id: string): Promise<MigrationJson> =>
  waitFor(
    `the end of migration ${id}`,
    async () => {
      const now = await plane.json<MigrationJson>('migration', 'show', id);
      return now.outcome === undefined ? undefined : now;
    },
    { timeoutMs: 60_000 },
  );

interface Case {
  readonly side: 'source' | 'target';
  readonly what: 'call' | 'answer';
  readonly procedure: number | undefined;
  readonly name: string;
  /** The guest is on the target afterwards. */
  readonly moves: boolean;
}
const cases: readonly Case[] = [
  { side: 'target', what: 'call', procedure: prepare, name: 'before prepare', moves: false },
  { side: 'target', what: 'answer', procedure: prepare, name: 'after prepare', moves: false },
  { side: 'source', what: 'answer', procedure: perform, name: 'after perform', moves: false },
  { side: 'target', what: 'call', procedure: finish, name: 'before finish', moves: false },
  { side: 'target', what: 'answer', procedure: finish, name: 'after finish', moves: true },
  { side: 'source', what: 'call', procedure: confirm, name: 'before confirm', moves: true },
  { side: 'source', what: 'answer', procedure: confirm, name: 'after confirm', moves: true },
];

async function oneCase(
  { side, what, procedure, moves }: Case,
  meanwhile: (drop: () => void) => Promise<void>,
): Promise<void> {
  const from = at;
  const to = at === 'host1' ? 'host2' : 'host1';
  await waitFor(
    'the control plane to see the guest run',
    async () =>
      (await plane.json<{ state: string; host: string }>('vm', 'show', 'guest')).state === 'running' || undefined,
    { timeoutMs: 15_000 },
  );
  const boots = readTicks(vmLog(temporary.lab, 'guest')).boots.length;
  const held = proxyOf(side === 'source' ? from : to).hold(what, procedure ?? 0);
  const { id } = await plane.json<MigrationJson>('vm', 'migrate', 'guest', '--to', to, '--detach');
  const { drop } = await held;
  await meanwhile(drop);
  const migration = await ended(id);
  at = moves ? to : from;
  assert.equal(migration.transfer?.mode, 'direct');
  assert.equal(migration.outcome, moves ? 'succeeded' : 'failed', JSON.stringify(migration.error));
  assert.deepEqual(migration.vmIsNow, { host: at, state: 'running' });
  assert.deepEqual([await state(at), await state(moves ? from : to)], ['running', 'absent']);
  const seen = readTicks(vmLog(temporary.lab, 'guest')).last;
  await waitFor(
    'the guest to count on',
    () => (readTicks(vmLog(temporary.lab, 'guest')).last > seen ? true : undefined),
    { timeoutMs: 20_000 },
  );
  assert.equal(readTicks(vmLog(temporary.lab, 'guest')).boots.length, boots, 'the guest booted again');
}

/** In every run: one on each side of the point of no return, for both ways to break. */
const always = ['after perform', 'after finish'];
const skip = ({ name }: Case): string | false =>
  (process.env['FERRY_TEST_FULL'] ?? '') !== '' || always.includes(name)
    ? false
    : 'only with script/test --full: seconds for each step';

for (const each of cases) {
  test(
    `the control plane dies ${each.name}: the guest is on the ${each.moves ? 'target' : 'source'}, and its next control plane says so`,
    { skip: skip(each) },
    () =>
      oneCase(each, async () => {
        await plane.kill();
        await plane.start();
      }),
  );
}
for (const each of cases) {
  test(
    `the connection breaks ${each.name}: the guest is on the ${each.moves ? 'target' : 'source'}`,
    { skip: skip(each) },
    () => oneCase(each, async (drop) => drop()),
  );
}
