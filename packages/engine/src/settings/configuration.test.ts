/** The configuration as one document: export and apply, in a whole engine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FerryError, presets, type Configuration, type PolicyContent, type RuleContent } from '@ferry/core';
import { startEngine } from '../engine.ts';
import type { Engine } from '../facade.ts';
import { countingClock, fakeFleet, silentLog, uriOf } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';

const uuid = 'aaaaaaaa-0000-4000-8000-000000000001';

/** A fleet of two hosts and a VM. `commits`: counts the writes. */
async function withEngine(use: (engine: Engine, commits: () => number) => Promise<void>): Promise<void> {
  using clock = countingClock();
  const fleet = fakeFleet(clock);
  let commits = 0;
  const stores = memoryStores({ beforeCommit: () => void (commits += 1) });
  const engine = await startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog });
  for (const name of ['h1', 'h2']) {
    fleet.add(name);
    await engine.addHost({ uri: uriOf(name), name }, AbortSignal.timeout(5_000));
  }
  fleet.run('h1', { uuid, name: 'web' });
  for (let turn = 0; turn < 1_000 && engine.vms().length === 0; turn += 1) await clock.sleep(10);
  try {
    await use(engine, () => commits);
  } finally {
    await engine.close();
  }
}
const policy = (limitMs: number): PolicyContent => {
  const { name: _name, version: _version, ...content } = presets.get('default') ?? assert.fail();
  return { ...content, downtime: { initialMs: 1, limitMs } };
};

const name = fc.stringMatching(/^[a-z][a-z0-9.-]{0,8}$/).filter((each) => !presets.has(each));
const label = fc.stringMatching(/^[a-z]{1,3}=[a-z0-9]{0,3}$/);
const labels = fc.uniqueArray(label, { maxLength: 4 });
const few = <K, V>(key: fc.Arbitrary<K>, value: fc.Arbitrary<V>) =>
  fc
    .uniqueArray(fc.tuple(key, value), { maxLength: 3, selector: ([each]) => each })
    .map((all) => Object.fromEntries(all));
const rule: fc.Arbitrary<RuleContent> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('apart', 'together'),
    strength: fc.constant('soft'),
    vms: fc.constant(['web', 'not.there']),
    vmSelector: label,
  } as const),
  fc.record({
    kind: fc.constantFrom('on-hosts', 'off-hosts'),
    strength: fc.constant('soft'),
    vmSelector: label,
    hosts: fc.uniqueArray(fc.constantFrom('h1', 'h2', 'h9'), { minLength: 1 }),
    description: fc.string({ minLength: 1, maxLength: 10 }),
  } as const),
);
const configuration: fc.Arbitrary<Configuration> = few(name, fc.integer({ min: 1, max: 9_000 }).map(policy)).chain(
  (policies) => {
    const selected = fc.constantFrom('default', ...Object.keys(policies));
    return fc.record({
      version: fc.constant(1 as const),
      policies: fc.constant(policies),
      clusters: few(
        name,
        fc.record({ tls: fc.boolean(), policy: selected, map: fc.record({ networks: few(name, name) }) }),
      ),
      bindings: few(label, selected),
      hostLabels: few(fc.constantFrom('h1', 'h2'), labels),
      vmLabels: few(fc.constantFrom('web', 'bbbbbbbb-0000-4000-8000-000000000002'), labels),
      rules: few(name, rule),
    });
  },
);

test('property: what is applied is exported, and an export changes nothing', async () => {
  await fc.assert(
    fc.asyncProperty(configuration, configuration, async (first, second) => {
      await withEngine(async (engine, commits) => {
        for (const wanted of [first, second]) {
          await engine.configuration.apply(wanted, { dryRun: false });
          assert.deepEqual((await engine.configuration.apply(wanted, { dryRun: true })).changes, []);
          const before = commits();
          const shown = engine.configuration.show();
          const again = await engine.configuration.apply(shown, { dryRun: false });
          assert.deepEqual([again.changes, commits()], [[], before]);
          assert.deepEqual(engine.configuration.show(), shown);
        }
      });
    }),
    { numRuns: 25 },
  );
});

test('nothing is changed when anything is wrong, and each fault is named with its place', async () => {
  await withEngine(async (engine, commits) => {
    const good = { policies: { night: policy(500) }, vmLabels: { web: ['tier=db'] } };
    const pair = { strength: 'hard', vms: ['web', 'db'] } as const;
    const wrong: readonly (readonly [Partial<Configuration>, RegExp])[] = [
      [{ bindings: { 'tier=db': 'nowhere' } }, /^bindings\.tier=db: There is no policy "nowhere"\.$/],
      [{ policies: { default: policy(5) } }, /policies\.default: "default" is a preset/],
      [
        { policies: { night: { ...policy(500), downtime: { initialMs: 9, limitMs: 1 } } } },
        /policies\.night: The pause/,
      ],
      [
        { clusters: { racks: { migrationNetwork: 'x', policy: 'no' } } },
        /racks: "x" is not a network.*racks: There is no/,
      ],
      [{ hostLabels: { h9: [] } }, /hostLabels\.h9: There is no host/],
      [{ vmLabels: { nobody: [] } }, /vmLabels\.nobody: There is no VM/],
      [{ vmLabels: { web: [], [uuid]: [] } }, /web is in it by name and by UUID/],
      [{ rules: { r: { kind: 'apart', strength: 'hard', vmSelector: 'a=(' } } }, /rules\.r: The selector/],
      [{ rules: { a: { ...pair, kind: 'apart' }, b: { ...pair, kind: 'together' } } }, /rules b and a contradict/],
      [
        {
          hostLabels: { h1: ['zone=a'] },
          rules: {
            on: { kind: 'on-hosts', strength: 'hard', vmSelector: 'tier=db', hostSelector: 'zone=a' },
            off: { kind: 'off-hosts', strength: 'hard', vms: ['web'], hostSelector: 'zone=a' },
          },
        },
        /off and on contradict each other: no host is left to web/,
      ],
    ];
    const [before, written] = [engine.configuration.show(), commits()];
    for (const [part, words] of wrong)
      await assert.rejects(
        engine.configuration.apply({ version: 1, ...good, ...part }, { dryRun: false }),
        (error) => error instanceof FerryError && words.test(error.message),
        String(words),
      );
    assert.deepEqual([engine.configuration.show(), commits()], [before, written]);
  });
});

test('the difference says what goes and what comes; a dry run changes nothing', async () => {
  await withEngine(async (engine) => {
    const wanted = (limitMs: number, tls: boolean): Configuration => ({
      version: 1,
      policies: { night: policy(limitMs) },
      clusters: { racks: { tls, policy: 'night' } },
      vmLabels: { web: tls ? ['a=1', 'b=2'] : ['b=2'] },
    });
    await engine.configuration.apply(wanted(500, true), { dryRun: false });
    const { changes, applied } = await engine.configuration.apply(wanted(600, false), { dryRun: true });
    assert.deepEqual(
      changes.map(({ section, name: of, change, diff }) => [`${section} ${of} ${change}`, ...diff]),
      [
        ['policies night change', '- downtime.limitMs: 500', '+ downtime.limitMs: 600'],
        ['clusters racks change', '- tls: true', '+ tls: false'],
        ['vmLabels web change', '- a=1, b=2', '+ b=2'],
      ],
    );
    assert.equal(applied, false);
    assert.deepEqual((await engine.configuration.apply(wanted(500, true), { dryRun: false })).changes, []);
    assert.equal(engine.policies.find('night').version, 1);
  });
});
