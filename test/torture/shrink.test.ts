/**
 * The search for the smallest scenario that still fails, with a judge that reads only the scenario: it finds the
 * planted fault, keeps to its number of tries, and does not switch to another fault.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scenarioOf } from './generate.ts';
import { chainOf, type Scenario } from './scenario.ts';
import { kindOf, namesOf, only, shrink } from './shrink.ts';

const many = Array.from({ length: 400 }, (_, seed) => scenarioOf(seed));
const rich = many.find(
  ({ vm, others, steps, corner }) =>
    corner === undefined &&
    vm.disks.length > 2 &&
    vm.disks.some(({ image }) => image.base !== undefined) &&
    others.length > 0 &&
    steps.length > 1,
);

test('all of a scenario is the scenario, and each of its parts can go', () => {
  for (const scenario of many) {
    const names = namesOf(scenario);
    assert.equal(new Set(names).size, names.length, `seed ${scenario.seed}: ${names.join()}`);
    assert.deepEqual(only(scenario, names), scenario);
    for (const name of names)
      assert.notDeepEqual(
        only(
          scenario,
          names.filter((each) => each !== name),
        ),
        scenario,
        `seed ${scenario.seed} without ${name}`,
      );
  }
});

test('a part that a seed does not have is named', () => {
  assert.throws(() => only(scenarioOf(1), ['vdx']), /seed 1 has no vdx; it has: step/);
});

test('the planted fault is found, and nothing else is left', async () => {
  assert.ok(rich !== undefined);
  const judge = (scenario: Scenario): Promise<readonly string[]> =>
    Promise.resolve(
      scenario.vm.disks.some(({ image }) => chainOf(image).length > 1)
        ? ['vda on host2 does not hold what it held']
        : [],
    );
  const { kept, faults, tries } = await shrink(rich, await judge(rich), judge, 100);
  assert.equal(faults.length, 1);
  assert.ok(tries <= 100);
  const [disk] = kept.filter((name) => name.endsWith('-base'));
  assert.deepEqual(
    kept.filter((name) => !/^step\d$/.test(name)).toSorted(),
    [disk?.replace('-base', ''), disk],
    kept.join(),
  );
  assert.equal(kept.filter((name) => /^step\d$/.test(name)).length, 1, kept.join());
  assert.deepEqual(await judge(only(rich, kept)), faults, 'the printed parts show it again');
});

test('it ends after its number of tries, with the smallest scenario so far', async () => {
  assert.ok(rich !== undefined);
  let judged = 0;
  const { kept, tries } = await shrink(
    rich,
    ['always'],
    () => {
      judged += 1;
      return Promise.resolve(['always']);
    },
    3,
  );
  assert.deepEqual([judged, tries], [3, 3]);
  assert.ok(kept.length < namesOf(rich).length);
});

test('another fault does not count', async () => {
  assert.ok(rich !== undefined);
  const all = namesOf(rich).length;
  const { kept } = await shrink(
    rich,
    ['it does not start on host2: error 7'],
    (scenario) => Promise.resolve(namesOf(scenario).length < all ? ['planned, then failed: x'] : []),
    100,
  );
  assert.equal(kept.length, all);
});

test('faults of one kind differ in names and numbers', () => {
  assert.equal(
    kindOf('vda (inactive) on host2 does not hold what it held: other content'),
    kindOf('vda (inactive) on host3 does not hold what it held: other content'),
  );
  assert.notEqual(kindOf('the move deleted host1:/a/b'), kindOf('the move changed host1:/a/b'));
});
