/** Plans on a file, as a process with no server: what is printed, and every fault of the file in a sentence. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { exitCodes } from '@ferry/api/errors';
import { parseFleetFile } from '../src/fleet-file.ts';
import { yamlOf } from '../src/output/yaml.ts';
import { fakeServer, json, start } from './fake-server.ts';

const folder = mkdtempSync(join(tmpdir(), 'ferry-fleet-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const ferry = (...args: readonly string[]) => start(folder, ...args).ended;

const gib = 1_073_741_824;
const uuidOf = (at: number): string => `00000000-0000-4000-8000-${String(at).padStart(12, '0')}`;
const fleet = {
  version: 1,
  takenAt: '2026-01-01T00:00:00.000Z',
  counts: { hosts: 3, vms: 3 },
  configuration: { version: 1, rules: { spread: { kind: 'apart', strength: 'hard', vms: ['web1', 'web2'] } } },
  hosts: [
    { name: 'host1', uri: 'qemu+tcp://host1/system', freeMemoryBytes: 0 },
    { name: 'host2', uri: 'qemu+tcp://host2/system', freeMemoryBytes: 4 * gib },
    { name: 'host3', uri: 'qemu+tcp://host3/system', freeMemoryBytes: 2 * gib },
  ],
  vms: ['web1', 'web2', 'db'].map((name, at) => ({ uuid: uuidOf(at), name, host: 'host1', memoryBytes: 2 * gib })),
};
const written = (name: string, text: string): string => {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
};
const whole = `${JSON.stringify(fleet)}\n`;
const asJson = written('fleet.json', whole);
const asYaml = written('fleet.yaml', `${yamlOf(fleet)}\n`);

test('one VM and a drain are planned from JSON and YAML', async () => {
  for (const file of [asJson, asYaml]) {
    const plan = await ferry('vm', 'plan', 'db', '--from', file);
    assert.equal(plan.code, 0, plan.stderr);
    assert.match(plan.stdout, /to +host2\n/);
    assert.match(plan.stdout, /as of +2026-01-01/);
    assert.match(plan.stdout, /Not known:\nWhether db has devices/);
    assert.match(plan.stdout, /host3 +fits +not known +target-not-asked/);
  }
  const wide = await ferry('vm', 'plan', 'db', '--from', asJson, '-o', 'wide');
  assert.match(
    wide.stdout,
    /weighs +- +risks 0, soft rules broken 0, disks to copy 0, migrations 0, spare memory 4\.0 GiB/,
  );
  const structured = await ferry('vm', 'plan', 'db', '--from', asJson, '--to', 'host3', '-o', 'json');
  assert.equal((JSON.parse(structured.stdout) as { readonly to: string }).to, 'host3');
  const drain = await ferry('host', 'drain', 'host1', '--plan', '--from', asYaml, '-o', 'json');
  const { members } = JSON.parse(drain.stdout) as { readonly members: readonly { readonly to?: string }[] };
  assert.deepEqual(
    members.map(({ to }) => to),
    ['host3', 'host2', 'host2'],
  );
});

test('a move that no host takes is refused with every reason, a drain needs --plan, and other options are named', async () => {
  const full = written(
    'full.json',
    JSON.stringify({ ...fleet, hosts: fleet.hosts.map((host) => ({ ...host, freeMemoryBytes: 1 })) }),
  );
  const refused = await ferry('vm', 'plan', 'db', '--from', full);
  assert.equal(refused.code, exitCodes.refused, refused.stderr);
  assert.match(refused.stderr, /host2: host2 has 0 MiB free, db needs 2048 MiB/);
  const unknown = await ferry('vm', 'plan', 'nobody', '--from', asJson);
  assert.deepEqual(
    [unknown.code, unknown.stderr.split('\n')[0]],
    [exitCodes.notFound, 'error: There is no VM "nobody".'],
  );
  const options = await ferry('vm', 'plan', 'db', '--from', asJson, '--zero-copy');
  assert.equal(options.code, 2);
  assert.match(options.stderr, /and not --zero-copy\./);
  const drain = await ferry('host', 'drain', 'host1', '--from', asJson);
  assert.equal(drain.code, 2);
  assert.match(drain.stderr, /--from needs --plan/);
});

const fault = (text: string): string => {
  try {
    parseFleetFile(text);
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};

test('a file that is cut off is refused wherever it ends', async () => {
  for (let end = 1; end < whole.trimEnd().length; end += 37)
    assert.notEqual(fault(whole.slice(0, end)), '', String(end));
  assert.match(fault(whole.slice(0, -20)), /^The file is not JSON, or it was cut off: /);
  assert.match(fault(`${yamlOf(fleet)}\n`.slice(0, -5)), /ends in the middle of a line/);
  assert.match(fault('version: 1\nhosts: []\nvms:\n'), /^The file ends without "vms": it was cut off\./);
  const two = written('two.yaml', 'version: 1\ntakenAt: 5\nhosts: many\nvms: few\n');
  assert.match((await ferry('vm', 'plan', 'db', '--from', two)).stderr, /^error: Line 2: .*\nLine 3: .*\nLine 4: /);
});

test('a newer version, wrong types, and what is nested too deeply or too large are refused in a sentence', async () => {
  assert.equal(
    fault(JSON.stringify({ ...fleet, version: 2, something: 'new' })),
    'The file has version 2 of the format, and this Ferry reads version 1: use a newer Ferry.',
  );
  assert.match(fault('version: 3\n'), /has version 3 of the format/);
  assert.match(fault(JSON.stringify({ ...fleet, vms: 'many' })), /^vms: /);
  assert.match(
    fault(JSON.stringify({ ...fleet, hosts: [{ ...fleet.hosts[0], freeMemoryBytes: -1 }] })),
    /^hosts\.0\.freeMemoryBytes: /,
  );
  assert.match(fault(JSON.stringify({ ...fleet, extra: 1 })), /^the file has no field "extra"\.$/);
  assert.match(fault('version: 1\nhosts:\n  - name: a\n    colour: red\n'), /Line 4: hosts\.0 has no field "colour"/);
  assert.notEqual(fault('['.repeat(200_000)), '');
  assert.notEqual(fault(`{"version": ${'['.repeat(500_000)}`), '');
  assert.notEqual(fault(`a: ${'{a: '.repeat(50_000)}\n`), '');
  const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
  assert.match(fault(`{"version": 1, "takenAt": ${deep}, "hosts": [], "vms": []}`), /takenAt: /);
  const missing = await ferry('vm', 'plan', 'db', '--from', join(folder, 'missing'));
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /^error: There is no file /);
});

test('the export is printed as the file', async () => {
  await using server = await fakeServer((request, response) => {
    assert.equal(request.url, '/api/v1/fleet/export');
    json(response, 200, fleet);
  });
  const { stdout } = await start(server.dataDir, 'fleet', 'export').ended;
  assert.deepEqual(parseFleetFile(stdout), fleet);
  const asText = await start(server.dataDir, 'fleet', 'export', '-o', 'json').ended;
  assert.deepEqual(parseFleetFile(asText.stdout), fleet);
});
