/**
 * The generator without hosts: a seed always gives the same scenario, scenarios are valid, and each corner is frequent
 * enough.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scenarioOf } from './generate.ts';
import { chainOf, diskKib, pathOf, torturedHosts, type Scenario } from './scenario.ts';

const many = Array.from({ length: 2_000 }, (_, seed) => scenarioOf(seed));

test('the same seed is the same scenario, another one is another', () => {
  for (const seed of [0, 1, 17, 4_294_967_295]) assert.deepEqual(scenarioOf(seed), scenarioOf(seed));
  assert.equal(new Set(many.map((each) => JSON.stringify(each))).size, many.length);
});

test('a scenario can be built: writes lie inside the disk, targets and paths are used once, moves lead elsewhere', () => {
  for (const { seed, vm, others, foreign, steps } of many) {
    for (const { disks } of [vm, ...others]) {
      assert.equal(new Set(disks.map(({ target }) => target)).size, disks.length, `seed ${seed}`);
      for (const { image } of disks)
        for (const { writes } of chainOf(image))
          for (const { fromKib, kib } of writes) assert.ok(fromKib + kib <= diskKib, `seed ${seed}`);
    }
    const there = [
      ...foreign.map(({ host, path }) => `${host} ${path}`),
      ...[vm, ...others].flatMap(({ host, disks }) => disks.map(({ image }) => `${host} ${pathOf(image)}`)),
    ];
    const twice = there.filter((each, index) => there.indexOf(each) !== index);
    const meant = [vm, ...others].flatMap(({ disks }) =>
      disks.filter(({ shareable }) => shareable).map(({ image }) => pathOf(image)),
    );
    assert.deepEqual(
      twice.filter((each) => !meant.includes(each.slice(each.indexOf(' ') + 1))),
      [],
      `seed ${seed}`,
    );
    let from: string = vm.host;
    for (const { to } of steps) {
      assert.notEqual(to, from, `seed ${seed}`);
      assert.ok(torturedHosts.includes(to));
      from = to;
    }
  }
});

const corners: Readonly<Record<string, (scenario: Scenario) => boolean>> = {
  'a chain that the definition names, other content where its base would be': ({ vm, foreign }) =>
    vm.disks.some(
      ({ image, chainWritten }) =>
        chainWritten && foreign.some(({ path }) => image.base !== undefined && path === pathOf(image.base)),
    ),
  'two saved VMs of one name': ({ vm, others }) =>
    vm.state === 'saved' && others.some((other) => other.name === vm.name && other.state === 'saved'),
  'one file of firmware variables for two VMs': ({ vm, others }) =>
    vm.nvram !== undefined && others.some(({ nvram }) => nvram === vm.nvram),
  'a medium to be copied where somebody has a file and no pool is': ({ vm, foreign, steps }) =>
    vm.media.some((medium) => medium.folder === 'bare' && foreign.some(({ path }) => path === pathOf(medium))) &&
    steps.some(({ options }) => options.includes('--copy-media')),
  'a disk of the inactive definition only, where another VM has its own': ({ vm, others }) =>
    vm.disks.some(
      (disk) =>
        disk.in === 'inactive' &&
        others.some(
          ({ host, disks }) => host !== vm.host && disks.some(({ image }) => pathOf(image) === pathOf(disk.image)),
        ),
    ),
  'a file that two VMs write to': ({ vm, others }) =>
    vm.disks.some(
      ({ image, shareable }) =>
        shareable &&
        others.some(
          ({ host, disks }) => host === 'host1' && disks.some((disk) => pathOf(disk.image) === pathOf(image)),
        ),
    ),
  'a base of two VMs, and the source to be deleted': ({ vm, others, steps }) =>
    vm.disks.some(
      ({ image }) =>
        image.base !== undefined &&
        others.some(({ disks }) => disks.some((disk) => disk.image.base?.file === image.base?.file)),
    ) && steps.some(({ options, purge }) => purge || options.includes('--delete-source-disks')),
  'two definitions of one UUID': ({ vm, others }) => others.some(({ uuid }) => uuid === vm.uuid),
  'a pool that is not started on the source, and the advice to assume': ({ vm, awake, steps }) =>
    vm.disks.some(({ image }) => image.folder === 'asleep') &&
    !awake.includes('host1') &&
    steps.some(({ options }) => options.includes('--assume-shared')),
  'a link on the shared file system to a file of one host': ({ vm }) =>
    vm.disks.some(({ image }) => image.folder === 'shared' && image.linkedTo !== undefined),
  'the shared file system gone from the target': ({ steps }) =>
    steps.some(({ unmountShared }) => unmountShared === true),
  'a writable floppy of a running VM': ({ vm }) =>
    vm.state === 'running' && vm.media.some(({ device }) => device === 'floppy'),
  'back after a copied medium': ({ vm, steps }) =>
    vm.media.length > 0 &&
    steps.some(
      ({ options }, index) =>
        options.includes('--copy-media') && steps[index + 1]?.to === (index === 0 ? 'host1' : steps[index - 1]?.to),
    ),
  'a fault': ({ steps }) => steps.some(({ fault }) => fault !== undefined),
};
for (const [name, is] of Object.entries(corners)) {
  test(`it comes up: ${name}`, () => {
    const count = many.filter(is).length;
    assert.ok(count >= 4, `in ${count} of ${many.length} scenarios`);
  });
}

test("the seeds of the README's table stand in the corners that show what was taken out", () => {
  const shown = {
    1: 'a disk of this VM that is a base of another',
    15: 'the shared file system gone from the target since the last move',
    27: 'a chain that its definition names, other content where its base would be',
    28: 'a file that two VMs write to',
    30: 'firmware variables of somebody where its own would be',
    43: 'a disk of the next start only, where another VM has its own',
    45: 'a medium where somebody has a file and no pool is',
    48: 'saved memory of two VMs of one name',
    100: 'a link on the shared file system to a file of one host',
    116: 'two definitions of one UUID',
    139: 'a pool that is not started on the source',
  };
  const table = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8').matchAll(/^\| \d: .* \| (\d+) \| /gm);
  assert.deepEqual(
    [...new Set([...table].map(([, seed]) => seed))].toSorted((a, b) => Number(a) - Number(b)),
    Object.keys(shown),
  );
  for (const [seed, corner] of Object.entries(shown)) assert.equal(scenarioOf(Number(seed)).corner, corner, seed);
});

test('each kind beside files comes up, in each state of the VM', () => {
  const kinds: Readonly<Record<string, (scenario: Scenario) => boolean>> = {
    'an encrypted disk, and a target that lacks the secret': ({ secret }) =>
      secret !== undefined && Object.values(secret.on).includes('missing'),
    'a TPM': ({ vm }) => vm.tpm === true,
    'an export': ({ vm }) => vm.disks.some(({ by }) => by === 'nbd'),
    'a block device': ({ vm }) => vm.disks.some(({ by }) => by === 'block'),
    'a target without room': ({ small }) => small !== undefined,
    'a map': ({ steps }) => steps.some(({ options }) => options.some((option) => option.startsWith('--map-'))),
  };
  for (const [kind, is] of Object.entries(kinds)) {
    const states = new Set(many.filter(is).map(({ vm }) => vm.state));
    assert.deepEqual([...states].toSorted(), ['paused', 'running', 'saved', 'shut-off'], kind);
  }
});
