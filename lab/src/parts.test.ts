import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { cpioArchive } from './cpio.ts';
import { domainXml } from './domain-xml.ts';
import { LabError } from './errors.ts';
import { checkName, labRef } from './lab.ts';
import { overlaps } from './network.ts';
import { readTicks } from './serial-log.ts';

test('subnets overlap when one holds the other, and never with the default route', () => {
  assert.equal(overlaps('10.213.7.0/24', '10.213.7.9/32'), true);
  assert.equal(overlaps('10.0.0.0/8', '10.213.7.0/24'), true);
  assert.equal(overlaps('10.213.8.0/24', '10.213.7.0/24'), false);
  assert.equal(overlaps('0.0.0.0/0', '10.213.7.0/24'), false);
  assert.equal(overlaps('192.168.255.1/16', '192.168.0.0/24'), true);
});

test('the counter is contiguous through boots and moves, and not when a number is missing or comes twice', () => {
  const boot = 'boot name=web host=host1 address=- workload=idle boot_id=x';
  const ticks = (...numbers: number[]): string =>
    numbers.map((number) => `tick ${number} uptime_ms=${number * 250}`).join('\n');
  assert.deepEqual(
    readTicks(`[0.1] kernel\n${boot}\n${ticks(1, 2, 3)}\ndisk record=9\n${ticks(4)}\n${boot}\n${ticks(1)}\n`),
    { boots: [[1, 2, 3, 4], [1]], last: 1, contiguous: true },
  );
  assert.equal(readTicks(`${boot}\n${ticks(1, 2, 4)}`).contiguous, false);
  assert.equal(readTicks(`${boot}\n${ticks(1, 2, 2, 3)}`).contiguous, false);
  assert.equal(readTicks('').last, 0);
});

test('the archive is one that cpio reads', () => {
  const archive = cpioArchive([
    { path: 'modules' },
    { path: 'modules/odd', content: Buffer.from('odd') },
    { path: 'init', content: Buffer.from('#!'), executable: true },
  ]);
  const listed = execFileSync('busybox', ['cpio', '-t', '-v'], {
    input: archive,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  assert.match(listed, /^drwxr-xr-x .* modules$/m);
  assert.match(listed, /^-rw-r--r-- .* 3 .* modules\/odd$/m);
  assert.match(listed, /^-rwxr-xr-x .* init$/m);
});

test('what goes into a definition is escaped', () => {
  const xml = domainXml({
    name: "a'<&>",
    uuid: 'u',
    memoryMib: 128,
    accelerator: 'tcg',
    machineType: 'q35',
    mac: '52:54:00:00:00:01',
    boot: { type: 'kernel', options: { workload: '"<x>' }, initrd: 'initrd' },
    disk: undefined,
    agent: false,
  });
  assert.match(xml, /<name>a&apos;&lt;&amp;&gt;<\/name>/);
  assert.match(xml, /ferry\.workload=&quot;&lt;x&gt;<\/cmdline>/);
});

test('names that a tool could take for something else are refused as wrong usage', () => {
  for (const name of ['', '-rf', 'a b', '../x', 'A', 'x'.repeat(33), 'a-', 'ä']) {
    assert.throws(
      () => checkName('VM', name),
      (error) => error instanceof LabError && error.exitCode === 2,
    );
    assert.throws(() => labRef(name), LabError);
  }
  assert.equal(checkName('VM', 'web-1'), 'web-1');
});
