/** Hooks of migrations on simulated hosts: a veto, one that hangs, and a restart of the control plane in between. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { presets, type Hook, type Migration } from '@ferry/core';
import { engineOver, threeHosts, type ThreeHosts } from '../fake/three-hosts.ts';

const by = { actor: 'operator', client: 'test' };
const hooks: readonly Hook[] = [
  { name: 'check', stage: 'before', program: '/hooks/check', timeoutMs: 30_000 },
  { name: 'done', stage: 'after', program: '/hooks/done', timeoutMs: 30_000 },
  { name: 'bad', stage: 'failed', program: '/hooks/bad' },
];
let world: ThreeHosts;

const until = async (is: () => boolean | Promise<boolean>, what: string): Promise<void> => {
  for (let turn = 0; turn < 30_000; turn += 1) {
    if (await is()) return;
    await world.clock.sleep(10);
  }
  assert.fail(`never: ${what}`);
};
async function ended({ id }: Migration): Promise<Migration> {
  await until(async () => (await world.engine.migration(id)).outcome !== undefined, 'it ends');
  return world.engine.migration(id);
}
const move = (): Promise<Migration> => world.engine.startMigration({ vm: 'web', policy: 'hooked' }, by);
const asked = (): readonly string[] => world.hooks.asked.map(({ program }) => program);
const answers = ({ hooks: said = [] }: Migration) => said.map(({ hook, result }) => `${hook}: ${result}`);
const runsOn = (name: string): boolean =>
  [...(world.fleet.hosts.get(name)?.domains.values() ?? [])].some(({ state }) => state === 'running');

beforeEach(async () => {
  world = await threeHosts();
  const { fleet, engine } = world;
  fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' });
  await until(() => engine.vms().length === 1, 'a VM');
  const preset = presets.get('default');
  assert.ok(preset !== undefined);
  const { name: _name, version: _version, ...content } = preset;
  await engine.policies.put('hooked', { ...content, hooks });
});
afterEach(async () => {
  await world.engine.close();
  world.clock[Symbol.dispose]();
});

test('a program that agrees lets the VM go; the one of the end is told where it is, and its failure undoes nothing', async () => {
  world.hooks.answers.set('/hooks/done', { result: 'failed', message: 'full' });
  const done = await ended(await move());
  assert.deepEqual([done.outcome, answers(done)], ['succeeded', ['check: ok', 'done: failed']]);
  const last = world.hooks.asked.at(-1)?.document;
  assert.deepEqual([last?.['stage'], last?.['outcome'], last?.['to']], ['after', 'succeeded', done.to?.name]);
  assert.deepEqual([runsOn('h1'), runsOn(done.to?.name ?? '')], [false, true]);
});

test('a veto leaves the VM untouched', async () => {
  world.hooks.answers.set('/hooks/check', { result: 'refused', message: 'no backup yet' });
  const over = await ended(await move());
  assert.deepEqual(
    [over.outcome, over.error?.code, answers(over)],
    ['failed', 'hook-refused', ['check: refused', 'bad: ok']],
  );
  assert.match(over.error?.message ?? '', /no backup yet/);
  assert.deepEqual([world.fleet.calls, runsOn('h1')], [[], true]);
});

test('a hook that hangs has its time, and then the VM stays', async () => {
  world.hooks.answers.set('/hooks/check', 'hangs');
  const over = await ended(await move());
  assert.deepEqual([over.error?.code, world.fleet.calls], ['hook-failed', []]);
  assert.match(over.error?.message ?? '', /did not answer in time, so web stays: it had 30 s/);
});

test('a control plane that is stopped while a hook is asked asks it again, and not the one that had answered', async () => {
  world.hooks.answers.set('/hooks/done', 'hangs');
  const begun = await move();
  await until(() => asked().includes('/hooks/done'), 'the end is told');
  await world.engine.close();
  world.hooks.answers.delete('/hooks/done');
  world = { ...world, engine: await engineOver(world) };
  const done = await ended(begun);
  assert.deepEqual([done.outcome, answers(done)], ['succeeded', ['check: ok', 'done: ok']]);
  assert.deepEqual(asked(), ['/hooks/check', '/hooks/done', '/hooks/done']);
});

test('a host that is back while a hook is asked for the rescue of its VM: it is started nowhere else', async () => {
  const { fleet, hooks: asking, clock } = world;
  const h1 = fleet.hosts.get('h1') ?? assert.fail();
  await clock.sleep(60_000);
  h1.reachable = false;
  h1.drop();
  await until(() => world.engine.host('h1').state === 'unreachable', 'h1 is cut off');
  asking.answers.set('/hooks/check', 'hangs');
  const rescue = { statement: 'its plug is pulled' };
  const begun = await world.engine.startMigration({ vm: 'web', policy: 'hooked', rescue }, by);
  await until(() => asked().length === 1, 'it is asked');
  await world.engine.close();
  asking.answers.delete('/hooks/check');
  h1.reachable = true;
  world = { ...world, engine: await engineOver(world) };
  const over = await ended(begun);
  assert.deepEqual([over.outcome, over.error?.code], ['failed', 'migration-refused']);
  assert.deepEqual(['h1', 'h2', 'h3'].map(runsOn), [true, false, false]);
});

test('hooks of a policy are in the exported configuration, and what is wrong with one is refused with its place', async () => {
  const { configuration } = world.engine;
  const shown = configuration.show();
  assert.deepEqual(shown.policies?.['hooked']?.hooks, hooks);
  const policies = { hooked: { ...shown.policies?.['hooked'], hooks: [{ name: 'a', stage: 'before', program: 'b' }] } };
  await assert.rejects(
    configuration.apply({ version: 1, policies } as never, { dryRun: true }),
    /policies\.hooked: Hook "a": "b" is not an absolute path/,
  );
});

test('an abort ends the hook that is asked, before the one of the failure is called', async () => {
  world.hooks.answers.set('/hooks/check', 'hangs');
  const begun = await move();
  await until(() => asked().length === 1, 'it is asked');
  await world.engine.abortMigration(begun.id);
  const over = await ended(begun);
  assert.deepEqual([over.outcome, answers(over), world.hooks.ended], ['cancelled', ['bad: ok'], ['/hooks/check']]);
});
