/** Every scenario folder gives its recorded log again, to the last line; a folder that is none is named in one sentence. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { liveScenario, NoScenario, readScenario } from './scenario.ts';

const folders = join(import.meta.dirname, '../../scenarios');

for (const name of readdirSync(folders))
  test(`scenario ${name}: what happens is what was recorded`, async () => {
    const scenario = readScenario(join(folders, name));
    const { log, broken } = await liveScenario(scenario);
    assert.deepEqual(broken, []);
    assert.equal(`${log.join('\n')}\n`, scenario.log);
  });

for (const [what, spoil, sentence] of [
  [
    'a folder that lacks a file',
    (folder: string) => rmSync(join(folder, 'steps.json')),
    /has no steps\.json; it needs README\.md, fleet\.json, steps\.json and log\.txt\.$/,
  ],
  [
    'a host that is not there',
    (folder: string) =>
      writeFileSync(join(folder, 'steps.json'), '[{"atMs":1,"do":"power-cut","host":"h9","forMs":1}]'),
    /steps\.json names the host h9, and the fleet has only h1, h2\.$/,
  ],
  ['JSON that is none', (folder: string) => writeFileSync(join(folder, 'fleet.json'), '{'), /fleet\.json is no JSON: /],
] as const)
  test(`${what} is named in one sentence`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'ferry-scenario-'));
    try {
      cpSync(join(folders, 'word-lost'), folder, { recursive: true });
      spoil(folder);
      assert.throws(
        () => readScenario(folder),
        (error) => error instanceof NoScenario && sentence.test(error.message),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
