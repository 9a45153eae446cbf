/** The file of `ferry apply`: each fault with its line, and the same document from its YAML as before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseConfiguration } from '../src/configuration-file.ts';
import { yamlOf } from '../src/output/yaml.ts';

const faults = async (text: string): Promise<string> => {
  try {
    await parseConfiguration(text);
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};

test('unknown fields, wrong values and broken YAML are named with their lines', async () => {
  const file = [
    'version: 1',
    'clusters:',
    '  racks:',
    '    migrationPorts: { first: -1, last: 70000 }',
    '    colour: red',
    'rules:',
    '  spread:',
    '    kind: apart',
    '    strength: hardly',
    '    vms: [a, b]',
    'extra: 1',
    '',
  ].join('\n');
  const told = await faults(file);
  for (const words of [
    /Line 4: clusters\.racks\.migrationPorts\.first/,
    /Line 4: clusters\.racks\.migrationPorts\.last/,
    /Line 5: clusters\.racks has no field "colour"/,
    /Line 9: rules\.spread\.strength/,
    /Line 11: the file has no field "extra"/,
  ])
    assert.match(told, words);
  assert.equal(await faults(`version: 1\nhostLabels:\n  ${'h.'.repeat(100)}x: [a=1]\n`), '', 'a host with a long name');
  assert.match(await faults('version: 2\n'), /Line 1: version/);
  assert.match(await faults('version: 1\nrules: [\n'), /Line \d+: it is not YAML/);
  assert.match(await faults('version: 1\nversion: 1\n'), /Line 2: it is not YAML: Map keys must be unique/);
  assert.match(
    await faults('version: 1\nbindings: {}\nrules:\n  a:\n    kind: apart\n'),
    /Line 4: rules\.a\.strength|strength/,
  );
  assert.match(await faults('just text\n'), /Line 1: the file/);
  assert.match(await faults('\n'), /Line 1: the file/);
});

test('a file that is cut off, or that aliases make endless, is refused', async () => {
  assert.match(await faults('version: 1\nvmLabels:\n  web: [a=1]\nhostLabels:\n  h1'), /may be cut off/);
  assert.equal(await faults('{"version": 1}'), '', 'JSON says itself where it ends');
  const bomb = Array.from({ length: 12 }, (_, n) => `a${n}: &a${n} [${`*a${n - 1},`.repeat(n === 0 ? 0 : 9)}x]`);
  assert.match(await faults(`version: 1\n${bomb.join('\n')}\n`), /cannot be read|has no field/);
  assert.match(await faults(`version: 1 #${'x'.repeat(9 * 1024 * 1024)}\n`), /larger than 8 MiB/);
});

test('a name that would be left out without a word is refused with its line', async () => {
  const says = /vmLabels: nothing can have the name "__proto__"\.$/;
  const wanted = `{"version": 1, "vmLabels": {"__proto__": ["a=1"]}}`;
  assert.match(await faults('version: 1\nvmLabels:\n  web: [a=1]\n  __proto__: [a=1]\n'), /^Line 4: vmLabels: nothing/);
  assert.match(await faults(wanted), says);
});

test('property: a document is the same after YAML, whatever its texts are', async () => {
  const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });
  const rule = fc
    .tuple(text, fc.array(text))
    .map(([description, vms]) => ({ kind: 'apart', strength: 'soft', description, vms }));
  // the one name that is refused, in a test of its own
  const name = text.filter((each) => each !== '__proto__');
  await fc.assert(
    fc.asyncProperty(rule, name, async (each, vm) => {
      const wanted = { version: 1, vmLabels: { [vm]: ['a=1'] }, rules: { r: each } };
      assert.deepEqual(await parseConfiguration(`${yamlOf(wanted)}\n`), wanted);
      assert.deepEqual(await parseConfiguration(JSON.stringify(wanted)), wanted);
    }),
  );
});
