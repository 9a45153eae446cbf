/** Rules and the configuration file on the command line, against a small server that speaks the contract. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { fakeServer, json, start } from './fake-server.ts';

const rule = {
  name: 'spread',
  revision: 3,
  kind: 'apart',
  strength: 'soft',
  vms: ['web1'],
  vmSelector: 'tier=db',
  matches: { vms: 2, hosts: [] },
  warnings: ['There is no VM web1 in the fleet.'],
};
const configuration = {
  version: 1,
  rules: {
    spread: {
      kind: 'apart',
      strength: 'soft',
      description: 'a\u001b[2Jb\n  c',
      vms: ['null', '1'],
      vmSelector: 'tier=db',
    },
  },
};
const change = { section: 'rules', name: 'spread', change: 'create', diff: ['+ kind: apart'] };

/** What was asked, with its body, beside the command line. */
async function withServer() {
  const asked: string[] = [];
  const server = await fakeServer((request, response, body) => {
    asked.push(`${request.method ?? ''} ${(request.url ?? '').replace('/api/v1', '')} ${body}`.trim());
    if (request.method === 'DELETE') return response.writeHead(204).end();
    if (request.url?.endsWith('/configuration') !== true)
      return json(response, 200, request.url?.includes('/rules?') === true ? { items: [rule], events: '1' } : rule);
    if (request.method === 'GET') return json(response, 200, configuration);
    const { dryRun } = JSON.parse(body) as { dryRun: boolean };
    return json(response, 200, { applied: !dryRun, changes: [change], warnings: [] });
  });
  const file = join(server.dataDir, 'ferry.yaml');
  return {
    asked,
    file,
    write: (text: string) => writeFileSync(file, text),
    ferry: (...args: readonly string[]) => start(server.dataDir, ...args).ended,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

test('a rule is set by what is named, and shown with what means nobody', async () => {
  await using server = await withServer();
  const set = await server.ferry('rule', 'set', 'spread', '--soft', '--vm', 'web1', 'web2', '--vm-selector', '');
  assert.equal(set.code, 0, set.stderr);
  assert.match(set.stdout, /vms +web1, \[tier=db\][\s\S]*Warning: There is no VM web1/);
  assert.equal(server.asked[0], 'PATCH /rules/spread {"strength":"soft","vms":["web1","web2"],"vmSelector":null}');
  assert.equal((await server.ferry('rule', 'list', '-o', 'name')).stdout, 'spread\n');
  assert.match(
    (await server.ferry('rule', 'list', '-o', 'csv')).stdout,
    /^name,kind,strength,vms,.*\nspread,apart,soft,/,
  );
  assert.equal((await server.ferry('rule', 'delete', 'spread')).code, 0);
  const asked = server.asked.length;
  assert.equal((await server.ferry('rule', 'set', 'spread', '--hard', '--soft')).code, 2);
  assert.equal((await server.ferry('rule', 'set', 'spread', '--kind', 'near')).code, 2);
  assert.equal((await server.ferry('rule', 'set', 'spread')).code, 2, 'it names nothing');
  assert.equal(server.asked.length, asked);
});

test('an export is the file that apply takes; without --yes nothing is changed', async () => {
  await using server = await withServer();
  const exported = await server.ferry('export');
  assert.deepEqual(parse(exported.stdout), configuration);
  assert.ok(!exported.stdout.includes('\u001b'));
  server.write(exported.stdout);
  const shown = await server.ferry('apply', '-f', server.file);
  assert.match(shown.stdout, /create rule spread\n {2}\+ kind: apart\n1 change\(s\); nothing is changed yet.*--yes/);
  assert.match((await server.ferry('apply', '-f', server.file, '--yes')).stdout, /1 change\(s\) applied/);
  assert.deepEqual(
    server.asked.slice(1).map((each) => each.replace(/^.* \{/, '{')),
    [true, false].map((dryRun) => JSON.stringify({ configuration, dryRun })),
  );
});

test('a file that is wrong is refused with the line, and the control plane is not asked', async () => {
  await using server = await withServer();
  server.write('version: 1\nrules:\n  spread:\n    kind: apart\n    strength: soft\n    vm: [web1]\n');
  const wrong = await server.ferry('apply', '-f', server.file, '--yes');
  assert.notEqual(wrong.code, 0);
  assert.match(wrong.stderr, /Line 6: rules\.spread has no field "vm"/);
  assert.match(
    (await server.ferry('apply', '-f', join(server.file, 'none'))).stderr,
    /^error: There is no file .*none\.$/m,
  );
  assert.deepEqual(server.asked, []);
});
