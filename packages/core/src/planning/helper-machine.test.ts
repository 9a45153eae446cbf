import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostView } from '../model/host.ts';
import { hostId } from '../model/ids.ts';
import { helperMachine, helperReasons } from './helper-machine.ts';

test('the newest machine type that both hosts know, in whichever direction', () => {
  const old = ['pc-i440fx-7.2', 'pc-i440fx-2.12', 'pc-q35-7.2', 'pc-i440fx-6.2'];
  const current = ['pc-q35-11.1', 'pc-i440fx-11.1', 'pc-i440fx-10.0', 'pc-i440fx-7.2', 'pc-q35-7.2', 'pc-i440fx-6.2'];
  assert.equal(helperMachine(current, old), 'pc-i440fx-7.2');
  assert.equal(helperMachine(old, current), 'pc-i440fx-7.2');
  assert.equal(helperMachine(current, current), 'pc-i440fx-11.1', '11 is newer than 7, and 10');
  assert.equal(
    helperMachine(['pc-i440fx-2.9', 'pc-i440fx-2.12'], ['pc-i440fx-2.12', 'pc-i440fx-2.9']),
    'pc-i440fx-2.12',
  );
  assert.equal(
    helperMachine(
      ['pc-q35-rhel9.2.0', 'pc-q35-rhel9.10.0', 'pc-i440fx-rhel7.6.0'],
      ['pc-q35-rhel9.10.0', 'pc-q35-rhel9.2.0'],
    ),
    'pc-q35-rhel9.10.0',
  );
  assert.equal(helperMachine(['microvm', 'pc-q35-9.0'], ['microvm', 'pc-q35-9.0']), 'pc-q35-9.0');
});

test("hosts that do not report use libvirt's default; those without a common type are refused", () => {
  assert.equal(helperMachine(undefined, ['pc-i440fx-7.2']), 'pc');
  assert.equal(helperMachine(['pc-i440fx-7.2'], []), 'pc');
  const view = (name: string, machines: readonly string[], qemuVersion: string): HostView => ({
    host: { id: hostId(name), name, uri: 'qemu:///system', cluster: 'default', machineUuid: name, addedAt: 0 },
    state: 'connected',
    facts: {
      hostname: name,
      machineUuid: name,
      libvirtVersion: '9.0.0',
      qemuVersion,
      cpu: { arch: 'x86_64', model: '', vendor: '', threads: 1 },
      memoryBytes: 1,
      guests: [{ arch: 'x86_64', emulator: '/q', machines, aliases: [], domainTypes: ['qemu'] }],
    },
  });
  const [reason] = helperReasons('web', view('a', ['pc-i440fx-99.0'], '99.0.0'), view('b', ['pc-i440fx-7.2'], '7.2.0'));
  assert.equal(reason?.code, 'helper-machine');
  assert.match(reason?.message ?? '', /a \(QEMU 99\.0\.0\) and b \(QEMU 7\.2\.0\) have no machine type in common/);
  assert.deepEqual(
    helperReasons('web', view('a', ['pc-i440fx-7.2'], '7.2.0'), view('b', ['pc-i440fx-7.2'], '7.2.0')),
    [],
  );
});
