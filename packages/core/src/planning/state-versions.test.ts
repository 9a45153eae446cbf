import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostView } from '../model/host.ts';
import { hostId } from '../model/ids.ts';
import { stateRemedy, stateRisks, type GuestState } from './state-versions.ts';

const view = (name: string, libvirtVersion: string, qemuVersion: string): HostView => ({
  host: { id: hostId(name), name, uri: 'qemu:///system', cluster: 'default', machineUuid: name, addedAt: 0 },
  state: 'connected',
  facts: {
    hostname: name,
    machineUuid: name,
    libvirtVersion,
    qemuVersion,
    cpu: { arch: 'x86_64', model: '', vendor: '', threads: 1 },
    memoryBytes: 1,
  },
});
const bookworm = view('bookworm', '9.0.0', '7.2.22');
const trixie = view('trixie', '11.3.0', '10.0.13');
const testing = view('testing', '12.8.0', '11.1.2');
const risks = (state: GuestState, from: HostView, to: HostView): readonly string[] =>
  stateRisks('web', state, from, to).map(({ of }) => of);

test('virtio queues: from a QEMU that makes them longer than asked for to one that refuses such', () => {
  assert.deepEqual(risks({ virtio: true }, trixie, testing), ['memory']);
  assert.deepEqual(risks({ virtio: true }, view('other', '11.3.0', '11.0.3'), testing), ['memory']);
  assert.deepEqual(risks({}, trixie, testing), [], 'no virtio device');
  assert.deepEqual(risks({ virtio: true }, trixie, bookworm), []);
  assert.deepEqual(risks({ virtio: true }, view('other', '11.3.0', '10.0.8'), testing), []);
  assert.deepEqual(risks({ virtio: true }, testing, testing), []);
  assert.deepEqual(risks({ virtio: true }, bookworm, testing), []);
});

test('TPM state: to an older host, unless every libtpms reads it', () => {
  assert.deepEqual(risks({ tpmProfile: 'default-v1' }, testing, trixie), ['tpm']);
  assert.deepEqual(risks({ tpmProfile: 'default-v1' }, testing, testing), []);
  assert.deepEqual(risks({ tpmProfile: 'null' }, testing, bookworm), []);
  assert.deepEqual(risks({}, testing, bookworm), []);
});

test('what QEMU says of state that it does not take gets the reason that was known; other errors do not', () => {
  const known = stateRisks('web', { tpmProfile: 'default-v1' }, testing, trixie);
  assert.match(
    stateRemedy('job failed: load of migration failed: Input/output error', known),
    /^ Known of these two hosts: the TPM state of web was made with the profile default-v1.* Upgrade libtpms and swtpm on trixie/,
  );
  assert.equal(stateRemedy('Address already in use', known), '');
  assert.equal(stateRemedy('load of migration failed', undefined), '');
});
