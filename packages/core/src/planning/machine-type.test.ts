import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestSupport, HostView } from '../model/host.ts';
import { hostId } from '../model/ids.ts';
import { emulatorPaths, machineReasons, type MachineNeed } from './machine-type.ts';

const guest: GuestSupport = {
  arch: 'x86_64',
  emulator: '/usr/bin/qemu-system-x86_64',
  machines: ['pc-i440fx-7.2', 'pc-q35-6.2', 'pc-q35-7.2'],
  aliases: ['pc', 'q35'],
  domainTypes: ['qemu', 'kvm'],
};
const view = (name: string, qemuVersion: string, guests?: readonly GuestSupport[]): HostView => ({
  host: { id: hostId(name), name, uri: 'qemu:///system', cluster: 'default', machineUuid: name, addedAt: 0 },
  state: 'connected',
  facts: {
    hostname: name,
    machineUuid: name,
    libvirtVersion: '9.0.0',
    qemuVersion,
    cpu: { arch: 'x86_64', model: '', vendor: '', threads: 1 },
    memoryBytes: 1,
    ...(guests === undefined ? {} : { guests }),
  },
});
const newer = view('new', '11.1.2', [{ ...guest, machines: ['pc-q35-11.1', 'pc-q35-7.2', 'pc-i440fx-11.1'] }]);
const older = view('old', '7.2.0', [guest]);
const need = (more: Partial<MachineNeed> = {}): MachineNeed => ({
  type: 'kvm',
  arch: 'x86_64',
  machine: 'pc-q35-7.2',
  emulator: guest.emulator,
  ...more,
});
const codes = (more: Partial<MachineNeed>, target = older): readonly string[] =>
  machineReasons('web', [need(more)], newer, target).map(({ code }) => code);

test('a machine type that the target does not know is named, with one of its family that both hosts know', () => {
  const [reason] = machineReasons('web', [need({ machine: 'pc-q35-11.1' })], newer, older);
  assert.equal(reason?.code, 'target-machine-unknown');
  assert.match(reason?.message ?? '', /^old \(QEMU 7\.2\.0\) does not have the machine type of web, pc-q35-11\.1\.$/);
  assert.match(reason?.remedy ?? '', /such as pc-q35-7\.2 \(virsh edit web\)\.$/);
  const [none] = machineReasons('web', [need({ machine: 'pc-i440fx-11.1' })], newer, older);
  assert.doesNotMatch(none?.remedy ?? '', /virsh edit/, 'the hosts have none in common');
  assert.deepEqual(codes({}), []);
  assert.deepEqual(codes({ machine: 'q35' }), [], 'every host has its own');
  assert.deepEqual(codes({ machine: '', arch: '' }), [], 'left to the host');
  assert.deepEqual(codes({ machine: 'pc-q35-11.1' }, view('old', '7.2.0')), [], 'it does not tell');
});

test('both definitions are checked against the target, each reason once', () => {
  const needs = [need({ machine: 'pc-q35-11.1' }), need({ machine: 'pc-q35-11.1', type: 'qemu' }), need()];
  assert.equal(machineReasons('web', needs, newer, older).length, 1);
});

test('an architecture that the target does not run, and KVM that it does not have', () => {
  assert.deepEqual(codes({ arch: 'aarch64' }), ['target-arch']);
  const slow = view('slow', '7.2.0', [{ ...guest, domainTypes: ['qemu'] }]);
  assert.deepEqual(codes({}, slow), ['target-no-kvm']);
  assert.deepEqual(codes({ type: 'qemu' }, slow), []);
  assert.deepEqual(codes({ machine: 'pc-q35-11.1' }, slow), ['target-no-kvm', 'target-machine-unknown']);
});

test('an emulator that is not the usual one of the target is looked for, and may know other types', () => {
  const own = need({ emulator: '/opt/qemu', machine: 'own-1.0' });
  assert.deepEqual(
    emulatorPaths([own, need()], older.facts).map(({ path }) => path),
    ['/opt/qemu'],
  );
  assert.deepEqual(emulatorPaths([own], view('old', '7.2.0').facts), []);
  assert.deepEqual(machineReasons('web', [own], newer, older), []);
});

test('a host on which libvirt finds no QEMU takes no VM, whatever it told before', () => {
  const { facts, ...host } = older;
  const { qemuVersion: _, ...rest } = facts ?? assert.fail();
  assert.deepEqual(codes({}, { ...host, facts: rest }), ['target-no-qemu']);
  assert.deepEqual(codes({}, host), [], 'nothing is known of it yet');
});
