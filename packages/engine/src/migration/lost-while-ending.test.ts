/** Both hosts of a move are lost while its rest is done: it waits for them, and nothing else happens to Ferry. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { engineOver, threeHosts } from '../fake/three-hosts.ts';

test('the target is silent after a restart, and the source is lost while it is looked at', async () => {
  const made = await threeHosts();
  const { clock, fleet } = made;
  using _clock = clock;
  let { engine } = made;
  const until = async (is: () => boolean | Promise<boolean>, what: string): Promise<void> => {
    for (let turn = 0; turn < 6_000 && !(await is()); turn += 1) await clock.sleep(10);
    assert.ok(await is(), `never: ${what}`);
  };
  try {
    fleet.run('h1', { uuid: 'aaaaaaaa-0000-4000-8000-000000000001', name: 'web' });
    await until(() => engine.vms().length === 1, 'web');
    const [source, target] = [fleet.hosts.get('h1'), fleet.hosts.get('h2')];
    assert.ok(source !== undefined && target !== undefined);
    const { id } = await engine.startMigration({ vm: 'web', to: 'h2' }, { actor: 'operator', client: 'test' });
    const now = () => engine.migration(id);
    await until(async () => (await now()).phase === 'transferring', 'it moves');
    source.slowMs = 700;
    await until(async () => (await now()).phase === 'cleaning', 'the rest begins');
    await engine.close();
    target.reachable = false;
    target.drop();
    engine = await engineOver(made);
    await until(() => engine.host('h1').state === 'connected', 'the source answers');
    await clock.sleep(2_500);
    source.reachable = false;
    source.drop();
    await clock.sleep(3_000);
    assert.equal((await now()).phase, 'cleaning');
    Object.assign(target, { reachable: true });
    Object.assign(source, { reachable: true, slowMs: 0 });
    await until(async () => (await now()).outcome !== undefined, 'it ends');
    assert.deepEqual(
      [(await now()).outcome, (await now()).vmIsNow?.host],
      ['succeeded', 'h2'],
      (await now()).error?.message,
    );
  } finally {
    await engine.close();
  }
});
