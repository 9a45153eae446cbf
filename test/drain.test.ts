/**
 * A host is drained and restored on three real hosts, with the control plane killed in the middle: what counts is what
 * virsh shows on each of them. The orders of faults are tested on simulated hosts (packages/engine/src/batch).
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { virsh, waitFor } from '@ferry/lab';
import type { DrainJson } from './answers.ts';
import { watchMigrations } from './api.ts';
import { onlyFull } from './fault-fixture.ts';
import { withFleet, type Fleet, type MigrationJson } from './fleet.ts';

const names = ['a1', 'a2', 'a3'];
const hookDir = mkdtempSync(join(tmpdir(), 'ferry-hooks-'));
after(() => rmSync(hookDir, { recursive: true, force: true }));
/** Writes down what it is told, a line each time. */
const hook = join(hookDir, 'note');
writeFileSync(hook, `#!/bin/sh\ntold=$(cat); printf "%s\\n" "$told" >> ${hookDir}/told\n`);
chmodSync(hook, 0o755);
interface Told {
  readonly stage: string;
  readonly migration?: { readonly id: string; readonly batch?: string };
  readonly host?: { readonly name: string };
}
const told = (): readonly Told[] =>
  readFileSync(join(hookDir, 'told'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Told);
let fleet: Fleet;
withFleet(
  async (made) => {
    fleet = made;
    // of a BIOS that finds nothing to boot: no disk, memory that is sent at once
    for (const name of names) {
      const xml =
        `<domain type='qemu'><name>${name}</name><uuid>${randomUUID()}</uuid><memory unit='MiB'>24</memory>` +
        `<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>`;
      await made.sh(
        'host1',
        `cat > /run/${name}.xml <<'XML'\n${xml}\nXML\nvirsh -q define /run/${name}.xml; virsh -q start ${name}`,
      );
    }
    for (const name of names) await made.seen(name, 'running');
  },
  { hosts: 3, serve: ['--hook-dir', hookDir] },
);

const activeOn = async (host: string): Promise<readonly string[]> =>
  (await virsh(fleet.lab, host, ['list', '--name']))
    .split('\n')
    .filter((name) => name !== '')
    .sort();
const service = async (): Promise<string> =>
  (await fleet.plane.json<{ service: string }>('host', 'show', 'host1')).service;
const ended = (id: string): Promise<DrainJson> =>
  waitFor(
    `the end of ${id}`,
    async () => {
      const drain = await fleet.plane.json<DrainJson>('drain', 'show', id);
      return ['running', 'cancelling'].includes(drain.phase) ? undefined : drain;
    },
    { timeoutMs: 60_000 },
  );

test(
  'what is exported of the fleet is enough to plan on, with the control plane away',
  { timeout: 60_000 },
  async () => {
    const { plane } = fleet;
    const file = join(plane.dataDir, 'fleet.yaml');
    const exported = await plane.ferry('fleet', 'export');
    assert.equal(exported.code, 0, exported.stderr);
    writeFileSync(file, exported.stdout);
    const asked = await plane.json<DrainJson>('host', 'drain', 'host1', '--plan');
    await plane.kill();
    const planned = await plane.json<Pick<DrainJson, 'members'>>('host', 'drain', 'host1', '--plan', '--from', file);
    const moves = ({ members }: Pick<DrainJson, 'members'>) =>
      members
        .map(({ vm, from, to }) => `${vm.name} ${from} ${to !== undefined && to !== 'host1' ? 'leaves' : 'stays'}`)
        .sort();
    assert.deepEqual(moves(planned), moves(asked));
    assert.deepEqual(
      moves(planned),
      names.map((name) => `${name} host1 leaves`),
    );
    const refused = await plane.ferry('vm', 'plan', 'a1', '--from', file, '--to', 'host1');
    assert.match(refused.stderr, /a1 is already on host1\./);
    await plane.start();
    for (const name of names) await fleet.seen(name, 'running');
    assert.deepEqual(await activeOn('host1'), names);
  },
);

test(
  'a plan says when each VM and the whole will have left, or what is not known, and nothing has begun',
  { skip: onlyFull('each guest is measured for 7 s'), timeout: 60_000 },
  async () => {
    const plan = await fleet.plane.json<DrainJson>('host', 'drain', 'host1', '--plan', '--at', '2h');
    assert.equal(plan.phase, 'scheduled');
    assert.equal(plan.pace?.[0]?.host, 'host1', JSON.stringify(plan));
    for (const { vm, expected } of plan.members)
      assert.ok(expected?.unknown !== undefined || Date.parse(expected?.endsAt ?? '') > Date.now(), vm.name);
    assert.notEqual(plan.expected?.text, undefined);
    assert.deepEqual([await activeOn('host1'), await service()], [names, 'schedulable']);
  },
);

test(
  'a host is drained though the control plane is killed in the middle; the hosts show it empty; a restore brings all back',
  { timeout: 150_000 },
  async () => {
    const { plane } = fleet;
    const hooks = ['before', 'after', 'failed'].map((stage) => ({ name: stage, stage, program: hook }));
    await fleet.policy('noted', { hooks });
    await plane.json('cluster', 'set', 'default', '--policy', 'noted');
    const killed = Promise.withResolvers<void>();
    let id = '';
    {
      using _watch = await watchMigrations(plane, ({ phase }) => {
        if (phase === 'transferring') killed.resolve(plane.kill());
      });
      ({ id } = await plane.json<DrainJson>('host', 'drain', 'host1', '--detach'));
      await killed.promise;
    }
    await plane.start();
    const done = await ended(id);
    assert.equal(done.phase, 'done', JSON.stringify(done));
    assert.match(done.pace?.[0]?.why ?? '', /./, 'how many left at once, and why');
    assert.deepEqual(await activeOn('host1'), []);
    assert.deepEqual([...(await activeOn('host2')), ...(await activeOn('host3'))].sort(), names);
    assert.equal(await service(), 'maintenance');
    const items = await plane.json<readonly MigrationJson[]>('migration', 'list');
    assert.ok(items.length >= names.length && items.every(({ name }) => name?.startsWith('drain-host1-') === true));
    // a program is told of each, before and after; one whose answer was lost with the control plane is told twice
    for (const migration of items) {
      assert.deepEqual(
        migration.hooks?.map(({ stage, result }) => `${stage}: ${result}`),
        [migration.outcome === 'succeeded' ? ['before: ok', 'after: ok'] : ['before: ok', 'failed: ok']].flat(),
      );
      const stages = new Set(told().flatMap((each) => (each.migration?.id === migration.id ? [each.stage] : [])));
      assert.deepEqual(
        [...stages],
        migration.hooks?.map(({ stage }) => stage),
      );
    }
    assert.ok(told().every((each) => each.migration?.batch === id));

    const refused = await plane.ferry('vm', 'migrate', 'a1', '--to', 'host1');
    assert.match(refused.stderr, /host1 is in maintenance/);

    const restored = await plane.ferry('host', 'restore', 'host1', '--wait');
    assert.equal(restored.code, 0, restored.stderr);
    assert.deepEqual(
      [await activeOn('host1'), await activeOn('host2'), await activeOn('host3'), await service()],
      [names, [], [], 'schedulable'],
    );
  },
);

test(
  'a rollout empties a host, has its hook work on it once, and brings the VMs back',
  { timeout: 120_000 },
  async () => {
    const { plane } = fleet;
    const before = told().length;
    const ran = await plane.ferry('rollout', 'host1', '--hook', hook, '--return-within', '60s');
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    assert.match(ran.stderr, /host1: working[^]*host1: returning[^]*host1: restoring[^]*host1: done/);
    const worked = told()
      .slice(before)
      .filter(({ stage }) => stage === 'work');
    assert.deepEqual(
      worked.map((each) => each.host?.name),
      ['host1'],
    );
    assert.deepEqual([await activeOn('host1'), await service()], [names, 'schedulable']);
  },
);
