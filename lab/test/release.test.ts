// Hosts of another Debian release: they run that release's programs on a root that they cannot change, and guests
// move to and from them.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  execCommand,
  labUp,
  machineRelease,
  powerOff,
  powerOn,
  readTicks,
  run,
  temporaryLab,
  virsh,
  vmCreate,
  vmLog,
  waitFor,
} from '../src/index.ts';
import type { LabRef, Release, TemporaryLab } from '../src/index.ts';
import { hostPaths, requireHost } from '../src/lab.ts';

const other: Release = machineRelease() === 'trixie' ? 'bookworm' : 'trixie';
let temporary: TemporaryLab;
let lab: LabRef;

before(async () => {
  temporary = await temporaryLab({ hosts: 2, releases: { host2: other } });
  lab = temporary.lab;
});

after(async () => {
  await temporary[Symbol.asyncDispose]();
});

const sh = (host: string, command: string): Promise<string> => run(execCommand(lab, host, ['bash', '-ec', command]));

test('each host runs the programs of its release', async () => {
  assert.deepEqual(
    temporary.status.hosts.map(({ release }) => release),
    [machineRelease(), other],
  );
  assert.match(await sh('host2', 'cat /etc/os-release'), new RegExp(`VERSION_CODENAME=${other}`));
  const [own, theirs] = await Promise.all(['host1', 'host2'].map((host) => virsh(lab, host, ['version'])));
  const preloads = await Promise.all(
    ['host1', 'host2'].map((host) => sh(host, 'cat /etc/ld.so.preload 2>/dev/null || true')),
  );
  assert.deepEqual(
    preloads.map((text) => text.includes('tlb-fix')),
    [machineRelease(), other].map((release) => release === 'bookworm'),
    'what mends QEMU 7.2 is for QEMU 7.2 only',
  );
  assert.notEqual(/Running hypervisor: (.*)/.exec(own ?? '')?.[1], /Running hypervisor: (.*)/.exec(theirs ?? '')?.[1]);
  await assert.rejects(labUp(lab, { releases: { host1: other } }), /its host1 runs/);
});

test('what a host writes stays with it, over a power cut too, and the root is as it was', async () => {
  const root = requireHost(lab, 'host2').root ?? assert.fail('host2 has no root');
  await sh('host2', 'echo here >/usr/mark; echo here >/etc/mark; rm /usr/bin/qemu-img');
  assert.ok(
    existsSync(join(root, 'usr/bin/qemu-img')) &&
      !existsSync(join(root, 'usr/mark')) &&
      !existsSync(join(root, 'etc/mark')) &&
      !existsSync('/usr/mark'),
  );
  await powerOff(lab, 'host2');
  await powerOn(lab, 'host2');
  assert.equal(await sh('host2', 'cat /usr/mark /etc/mark'), 'here\nhere\n');
  assert.equal(readFileSync(join(hostPaths(lab, 'host2').etc, 'mark'), 'utf8'), 'here\n');
  assert.equal(await sh('host2', 'ls /mnt'), '', 'the machine is out of reach');
});

test('a guest moves to the other release and back', async () => {
  await vmCreate(lab, { name: 'traveller', host: 'host1', workload: 'dirty:4' });
  for (const [from, to] of [
    ['host1', 'host2'],
    ['host2', 'host1'],
  ] as const) {
    await virsh(
      lab,
      from,
      ['migrate', '--live', '--p2p', '--persistent', '--undefinesource', 'traveller', `qemu+tcp://${to}/system`],
      { timeoutMs: 120_000 },
    );
    const { last } = readTicks(vmLog(lab, 'traveller'));
    await waitFor('the guest to count on', () => readTicks(vmLog(lab, 'traveller')).last > last + 4 || undefined, {
      timeoutMs: 30_000,
    });
  }
  const { boots, contiguous } = readTicks(vmLog(lab, 'traveller'));
  assert.ok(contiguous && boots.length === 1, 'it booted again, or a number is missing');
});
