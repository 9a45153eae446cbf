/**
 * A host dies: its VMs are started elsewhere from Ferry's own stored definitions, by command and by the operator's
 * word only.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { powerOff, powerOn, readTicks, virsh, vmCheck, vmCreate, vmLog, waitFor, type LabRef } from '@ferry/lab';
import type { ControlPlane } from './control-plane.ts';
import { withFleet, type Fleet, type MigrationJson } from './fleet.ts';

let lab: LabRef;
let plane: ControlPlane;
let move: Fleet['move'];
let show: Fleet['show'];
let accept: Fleet['accept'];
withFleet((fleet) => ({ lab, plane, move, show, accept } = fleet));

const rescue = (name: string, ...more: readonly string[]) =>
  plane.ferry('vm', 'migrate', name, '--rescue-mode', '--host-is-dead', 'I pulled its plug', '-o', 'json', ...more);

test(
  "rescue: by word only, with disks the target has; the dead host's definition is parked when it comes back",
  { timeout: 240_000 },
  async () => {
    await vmCreate(lab, { name: 'saved', host: 'host1', disk: 'shared', workload: 'disk' });
    await vmCreate(lab, { name: 'lost', host: 'host2', disk: 'local', workload: 'disk' });
    await vmCreate(lab, { name: 'unproved', host: 'host2', disk: 'block', workload: 'disk' });
    await vmCreate(lab, { name: 'asleep', host: 'host1', disk: 'shared', workload: 'disk' });
    // this proves the folder shared between the two hosts
    assert.equal((await move('saved', '--to', 'host2')).outcome, 'succeeded');
    await waitFor(
      'all VMs to be seen',
      async () => (await plane.json<readonly unknown[]>('vm', 'list')).length === 4 || undefined,
      { timeoutMs: 10_000 },
    );
    // libvirt does not notice memory that comes without it before it is started again
    await virsh(lab, 'host1', ['managedsave', 'asleep'], { timeoutMs: 60_000 });
    await waitFor('it to be off', async () => (await show('asleep')).state === 'shut-off' || undefined, {
      timeoutMs: 10_000,
    });
    accept(/does not start on host2/, 'a start would use the memory up');
    assert.equal((await move('asleep', '--to', 'host2')).outcome, 'succeeded');
    const early = await rescue('saved');
    assert.equal(early.code, 4);
    assert.match(early.stderr + early.stdout, /rescue-source-answers/);

    await powerOff(lab, 'host2');
    accept(/host2 does not answer/, 'it has no power');
    const silent = () =>
      waitFor(
        'the host to be unreachable',
        async () => (await plane.json<{ state: string }>('host', 'show', 'host2')).state === 'unreachable' || undefined,
        { timeoutMs: 60_000 },
      );
    await silent();
    await plane.kill();
    await plane.start();
    // a control plane that has just begun does not know yet whether the host answers, and rescues nothing until then
    await silent();
    const wordless = await plane.ferry('vm', 'migrate', 'saved', '--rescue-mode');
    assert.equal(wordless.code, 2);
    assert.match(wordless.stderr, /--host-is-dead/);
    const plain = await plane.ferry('vm', 'migrate', 'saved');
    assert.equal(plain.code, 4, 'without the word nothing is started elsewhere');

    const lost = await rescue('lost');
    assert.equal(lost.code, 4);
    assert.match(lost.stderr + lost.stdout, /disk-not-there/);
    const unproved = await rescue('unproved');
    assert.equal(unproved.code, 4);
    assert.match(unproved.stderr + unproved.stdout, /disk-sharing-unknown/);

    const asleep = await rescue('asleep');
    assert.equal(asleep.code, 4);
    assert.match(asleep.stderr + asleep.stdout, /rescue-saved-memory/);
    assert.equal((await virsh(lab, 'host1', ['list', '--all', '--name'])).trim(), '', 'nothing of it is started');
    const givenUp = await rescue('asleep', '--kind', 'cold');
    assert.equal(givenUp.code, 0, givenUp.stderr + givenUp.stdout);
    assert.match(await virsh(lab, 'host1', ['domstate', 'asleep', '--reason']), /running \(booted\)/);

    const records = (await vmCheck(lab, 'saved')).records;
    const ran = await rescue('saved');
    assert.equal(ran.code, 0, ran.stderr + ran.stdout);
    const rescued = JSON.parse(ran.stdout) as MigrationJson;
    assert.deepEqual(
      [rescued.kind, rescued.outcome, rescued.vmIsNow],
      ['evacuation', 'succeeded', { host: 'host1', state: 'running' }],
    );
    assert.deepEqual([rescued.proofOfDeath?.host, rescued.proofOfDeath?.statement], ['host2', 'I pulled its plug']);
    assert.ok((rescued.proofOfDeath?.actor ?? '') !== '' && !Number.isNaN(Date.parse(rescued.proofOfDeath?.at ?? '')));
    await waitFor('the guest to write on', async () => (await vmCheck(lab, 'saved')).records > records || undefined, {
      timeoutMs: 60_000,
    });
    const verdict = await vmCheck(lab, 'saved');
    assert.ok(verdict.contiguous && !verdict.duplicateWriters, JSON.stringify(verdict));
    assert.equal(readTicks(vmLog(lab, 'saved')).boots.length, 2, 'it was started anew');

    await powerOn(lab, 'host2');
    await waitFor(
      'the host to be back',
      async () => (await plane.json<{ state: string }>('host', 'show', 'host2')).state === 'connected' || undefined,
      { timeoutMs: 60_000 },
    );
    const back = await waitFor(
      'its definition to be seen',
      async () => {
        const vm = await show('saved');
        return vm.instances.length === 2 && vm.instances.every(({ role }) => role !== 'incoming') ? vm : undefined;
      },
      { timeoutMs: 20_000 },
    );
    assert.deepEqual(
      back.instances.map(({ host, role }) => `${host} ${role}`),
      ['host1 authoritative', 'host2 parked'],
    );
    await virsh(lab, 'host1', ['destroy', 'saved']);
    await waitFor('it to be off', async () => (await show('saved')).state === 'shut-off' || undefined, {
      timeoutMs: 10_000,
    });
    assert.equal((await show('saved')).host, 'host1', 'also when it is off, the parked definition is not the VM');
  },
);
