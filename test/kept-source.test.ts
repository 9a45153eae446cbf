/**
 * What the source keeps of a VM that has moved, on real hosts: its definition parked, or its own again when a
 * temporary move ends.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { execCommand, readTicks, run, virsh, vmDelete, vmLog, waitFor, type LabRef } from '@ferry/lab';
import { withFleet, type Fleet } from './fleet.ts';
import { storageOf, type StorageQuestions } from './storage-fixture.ts';

let fleet: Fleet;
let lab: LabRef;
let move: Fleet['move'];
let show: Fleet['show'];
let seen: Fleet['seen'];
let state: Fleet['state'];
let create: StorageQuestions['create'];
let recordsUnbroken: StorageQuestions['recordsUnbroken'];
withFleet((made) => {
  fleet = made;
  ({ lab, move, show, seen, state } = fleet);
  ({ create, recordsUnbroken } = storageOf(fleet));
});

test("temporary: when it shuts down on the target it is its source's again", { timeout: 120_000 }, async () => {
  await create('guest', 'shared');
  const moved = await move('guest', '--temporary');
  assert.deepEqual(moved.vmIsNow, { host: 'host2', state: 'running' });
  const there = await show('guest');
  assert.deepEqual(
    there.instances.map(({ host, role, persistent }) => [host, role, persistent]),
    [
      ['host2', 'authoritative', false],
      ['host1', 'parked', true],
    ],
  );
  await virsh(lab, 'host2', ['destroy', 'guest']);
  await waitFor(
    "it to be host1's again",
    async () => {
      const vm = await show('guest');
      return (vm.host === 'host1' && vm.state === 'shut-off' && vm.instances.length === 1) || undefined;
    },
    { timeoutMs: 10_000 },
  );
  await virsh(lab, 'host1', ['start', 'guest']);
  await recordsUnbroken('guest');
  await vmDelete(lab, 'guest');
});

test(
  'keep-source parks a definition without autostart; configuration moves nothing else; autostart goes along',
  { timeout: 120_000 },
  async () => {
    await create('keep', 'shared', false);
    await virsh(lab, 'host1', ['autostart', 'keep']);
    await seen('keep', 'shut-off');
    const plain = await virsh(lab, 'host1', ['dumpxml', '--inactive', '--security-info', 'keep']);
    assert.equal((await move('keep', '--keep-source')).outcome, 'succeeded');
    const kept = await show('keep');
    assert.deepEqual(
      [kept.host, ...kept.instances.map(({ host, role }) => `${host} ${role}`)],
      ['host2', 'host2 authoritative', 'host1 parked'],
    );
    assert.match(await virsh(lab, 'host1', ['dominfo', 'keep']), /Autostart:\s+disable/);
    assert.match(await virsh(lab, 'host2', ['dominfo', 'keep']), /Autostart:\s+enable/);
    assert.equal(
      await virsh(lab, 'host2', ['dumpxml', '--inactive', '--security-info', 'keep']),
      plain,
      'the definition arrives as it was',
    );
    const back = await move('keep', '--kind', 'configuration');
    assert.deepEqual([back.outcome, back.vmIsNow], ['succeeded', { host: 'host1', state: 'shut-off' }]);
    assert.deepEqual(
      (await show('keep')).instances.map(({ host, role }) => `${host} ${role}`),
      ['host1 authoritative'],
    );
    await vmDelete(lab, 'keep');
  },
);

test(
  'a running guest keeps its source definition parked with --keep-source, and counts on',
  { timeout: 120_000 },
  async () => {
    await create('both', 'shared');
    assert.equal((await move('both', '--keep-source')).outcome, 'succeeded');
    assert.deepEqual(
      (await show('both')).instances.map(({ host, role }) => `${host} ${role}`),
      ['host2 authoritative', 'host1 parked'],
    );
    assert.deepEqual([await state('host1', 'both'), await state('host2', 'both')], ['shut off', 'running']);
    const { boots, contiguous } = readTicks(vmLog(lab, 'both'));
    assert.deepEqual([boots.length, contiguous], [1, true]);
    await vmDelete(lab, 'both');
  },
);

const inactive = (host: string, name: string): Promise<string> =>
  virsh(lab, host, ['dumpxml', '--inactive', '--security-info', name]);
const define = (host: string, xml: string): Promise<string> =>
  run(execCommand(lab, host, ['bash', '-ec', 'cat >/tmp/define.xml; virsh -q define /tmp/define.xml']), { input: xml });
const rolesOf = async (name: string): Promise<readonly string[]> =>
  (await show(name)).instances.map(({ host, role }) => `${host} ${role}`);
const withRoles = (name: string, ...roles: readonly string[]) =>
  waitFor(
    `${name} to be ${roles.join(', ')}`,
    async () => (JSON.stringify(await rolesOf(name).catch(() => [])) === JSON.stringify(roles) ? true : undefined),
    { timeoutMs: 15_000 },
  );
const refusal = async (name: string, ...options: readonly string[]): Promise<string> => {
  const ran = await fleet.plane.ferry('vm', 'migrate', name, ...options);
  assert.equal(ran.code, 4, ran.stdout + ran.stderr);
  return ran.stderr;
};

test(
  'two definitions that are shut off, as after a backup of a host was restored: neither replaces the ' +
    'other until the operator says which one is the VM',
  { timeout: 180_000 },
  async () => {
    await create('twice', 'shared', false);
    const newer = await inactive('host1', 'twice');
    const stale = newer
      .replace('<name>twice</name>', '<name>twice-old</name>')
      .replace(/<on_crash>\w+/, '<on_crash>preserve');
    assert.notEqual(stale.replace('twice-old', 'twice'), newer);
    await define('host2', stale);
    await waitFor(
      'the conflict to be seen',
      async () => ((await show('twice')).instances.some(({ role }) => role === 'conflict') ? true : undefined),
      { timeoutMs: 15_000 },
    );
    const uuid = /<uuid>(.*)<\/uuid>/.exec(newer)?.[1] ?? '';
    for (const name of ['twice', 'twice-old']) {
      assert.equal((await show(name)).uuid, uuid, `${name} finds it`);
      for (const to of ['host1', 'host2'])
        assert.match(
          await refusal(name, '--to', to),
          /is defined on host\d.* and host\d.*shut off on each; Ferry cannot tell which definition is the VM.*vm settle/s,
        );
    }
    assert.match((await fleet.plane.ferry('vm', 'list')).stdout, /twice\S*\s+shut-off, in conflict/);
    const copies = (await fleet.plane.ferry('vm', 'settle', 'twice')).stdout;
    assert.match(copies, /Its name there is twice/);
    assert.match(copies, /Its disk vda is \S+twice\.qcow2/);
    assert.deepEqual(
      [await inactive('host1', 'twice'), await inactive('host2', 'twice-old')],
      [newer, stale],
      'nothing was touched',
    );

    await fleet.plane.json('vm', 'settle', 'twice', '--keep', 'host1');
    await withRoles('twice', 'host1 authoritative', 'host2 parked');
    assert.equal(await inactive('host2', 'twice-old'), stale, 'parked, not undefined');
    assert.match(await refusal('twice'), /host2 has twice under the name twice-old.*virsh domrename twice-old twice/s);
    await virsh(lab, 'host2', ['domrename', 'twice-old', 'twice']);
    await waitFor(
      'the new name to be seen',
      async () => ((await fleet.plane.ferry('vm', 'show', 'twice-old')).code === 6 ? true : undefined),
      { timeoutMs: 15_000 },
    );
    assert.equal((await move('twice')).outcome, 'succeeded');
    assert.deepEqual([await inactive('host2', 'twice'), await state('host1', 'twice')], [newer, 'absent']);

    // next to a running guest it is clear which one is the VM; the other definition is still not replaced
    await virsh(lab, 'host2', ['start', 'twice']);
    await define('host1', stale.replace('twice-old', 'twice'));
    await seen('twice', 'running');
    await withRoles('twice', 'host2 authoritative', 'host1 parked');
    assert.match(await refusal('twice'), /host1 has a definition of twice that Ferry did not leave there/);
    assert.match(await inactive('host1', 'twice'), /<on_crash>preserve/);
    await fleet.plane.json('vm', 'settle', 'twice', '--keep', 'host2');
    assert.equal((await move('twice')).outcome, 'succeeded');
    assert.doesNotMatch(await inactive('host1', 'twice'), /preserve/);

    // its history is found by the name that it had, and by its UUID once it is gone
    await virsh(lab, 'host1', ['destroy', 'twice']);
    await virsh(lab, 'host1', ['undefine', 'twice']);
    await waitFor(
      'it to be gone',
      async () => ((await fleet.plane.ferry('vm', 'show', 'twice')).code === 6 ? true : undefined),
      { timeoutMs: 15_000 },
    );
    for (const ref of [uuid, uuid.toUpperCase(), 'twice'])
      assert.equal((await fleet.plane.json<readonly object[]>('migration', 'list', '--vm', ref)).length, 2, ref);
    assert.equal((await fleet.plane.ferry('migration', 'list', '--vm', 'nobody')).code, 6);
    await vmDelete(lab, 'twice');
  },
);
