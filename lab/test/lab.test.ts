// The lab itself, for real: two hosts, guests that move between them, faults, and that nothing is left behind. Tests
// run in order on one lab; each guest is made by the test that uses it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  LabError,
  changeLink,
  changeRate,
  execCommand,
  labDown,
  labRef,
  labStatus,
  labUp,
  powerOff,
  powerOn,
  readTicks,
  run,
  temporaryLab,
  tryRun,
  virsh,
  vmCheck,
  vmCreate,
  vmDelete,
  vmList,
  vmLog,
  waitFor,
} from '../src/index.ts';
import type { DiskKind, LabRef, LabStatus, TemporaryLab } from '../src/index.ts';
import { markedProcesses } from '../src/processes.ts';

let temporary: TemporaryLab;
let lab: LabRef;
let status: LabStatus;

before(async () => {
  temporary = await temporaryLab({ hosts: 2 });
  ({ lab, status } = temporary);
});

after(async () => {
  await temporary[Symbol.asyncDispose]();
});

function uri(host: string, of: LabStatus = status): string {
  return of.hosts.find((each) => each.name === host)?.uri ?? assert.fail(`no host ${host}`);
}

/** A process may end between being listed and being read (ENOENT, ESRCH). */
function commandLineOf(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return undefined;
  }
}

/** What a lab could leave on the machine. */
async function traces(of: LabRef, uplink: string): Promise<readonly string[]> {
  const processes = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      const line = commandLineOf(pid);
      return line === undefined ? [] : [`process ${pid} ${line}`];
    })
    .filter((line) => line.includes(`${of.directory}/`));
  const loops = (await run(['losetup', '--list', '--noheadings', '--output', 'NAME,BACK-FILE']))
    .split('\n')
    .filter((line) => line.includes(`${of.directory}/`));
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(of.directory));
  const links = (await run(['ip', '-brief', 'link'])).split('\n').filter((line) => line.startsWith(`${uplink}@`));
  return [
    ...processes,
    ...markedProcesses(of.directory).map((each) => `marked process ${each.pid}`),
    ...loops,
    ...mounts,
    ...links,
    ...(existsSync(of.directory) ? [of.directory] : []),
  ];
}

function uplinkOf(of: LabStatus): string {
  return `ferrylab${of.subnet?.split('.')[2] ?? assert.fail('no subnet')}`;
}

async function migrate(name: string, from: string, to: string, flags: readonly string[] = []): Promise<void> {
  await virsh(lab, from, ['migrate', '--live', '--p2p', '--persistent', '--undefinesource', ...flags, name, uri(to)], {
    timeoutMs: 60_000,
  });
}

async function untilTicksPass(name: string, count: number): Promise<void> {
  const start = readTicks(vmLog(lab, name)).last;
  await waitFor(
    `${count} more ticks of ${name}`,
    () => (readTicks(vmLog(lab, name)).last >= start + count ? true : undefined),
    { timeoutMs: 30_000 },
  );
}

async function untilRecordsPass(name: string, count: number): Promise<void> {
  const start = (await vmCheck(lab, name)).last;
  await waitFor(
    `${count} more records of ${name}`,
    async () => ((await vmCheck(lab, name)).last >= start + count ? true : undefined),
    { timeoutMs: 30_000, intervalMs: 200 },
  );
}

test('hosts are hosts of their own: libvirt answers from outside, UUIDs differ, they know each other by name', async () => {
  assert.equal(status.state, 'up');
  assert.deepEqual(
    status.hosts.map(({ name, state, link }) => [name, state, link]),
    [
      ['host1', 'up', 'up'],
      ['host2', 'up', 'up'],
    ],
  );
  const uuids = new Set<string>();
  for (const host of status.hosts) {
    assert.equal((await run(['virsh', '-q', '-c', host.uri, 'hostname'])).trim(), host.name);
    const capabilities = await run(['virsh', '-q', '-c', host.uri, 'capabilities']);
    uuids.add(/<host>\s*<uuid>([\w-]+)</.exec(capabilities)?.[1] ?? '');
  }
  assert.equal(uuids.size, 2);
  await run(execCommand(lab, 'host1', ['ping', '-c', '1', '-W', '2', 'host2']));
});

test('the command line: JSON status, an exit code that passes through, and one for bad usage', async () => {
  const main = join(import.meta.dirname, '..', 'src', 'main.ts');
  const call = async (...args: string[]) => await tryRun([process.execPath, main, '--lab', lab.name, ...args]);
  assert.deepEqual(JSON.parse((await call('status', '--json')).stdout), labStatus(lab));
  const exec = await call('exec', 'host2', '--', 'sh', '-c', 'hostname; exit 7');
  assert.deepEqual([exec.stdout, exec.code], ['host2\n', 7]);
  for (const args of [
    ['vm', 'create', 'x'],
    ['exec', 'host1'],
    ['nothing'],
    ['up', '--hosts', '0'],
    ['status', '--wrong'],
    ['vm', 'create', 'x', '--host', 'host1', '--workload', 'disk', '--disk', 'none'],
  ]) {
    const bad = await call(...args);
    assert.equal(bad.code, 2, `${args.join(' ')}: ${bad.stderr}`);
    assert.match(bad.stderr, /^lab: .+\n$/);
  }
  const unknown = await call('power-off', 'host9');
  assert.deepEqual(
    [unknown.code, unknown.stderr],
    [1, `lab: The lab "${lab.name}" has no host "host9"; it has host1, host2.\n`],
  );
});

for (const [disk, flags] of [
  ['shared', []],
  ['local', ['--copy-storage-all']],
  ['block', []],
  ['nbd', []],
] as const satisfies readonly (readonly [DiskKind, readonly string[]])[]) {
  test(`a guest with a ${disk} disk moves live: ping answers, no tick and no record is missing`, async () => {
    const name = `on-${disk}`;
    const vm = await vmCreate(lab, { name, host: 'host1', disk, workload: 'disk', memoryMib: 96 });
    await run(['ping', '-c', '1', '-W', '5', vm.address]);
    await untilRecordsPass(name, 20);
    await migrate(name, 'host1', 'host2', flags);
    assert.match(
      await run(execCommand(lab, 'host2', ['sh', '-c', `cat /proc/$(cat /run/libvirt/qemu/${name}.pid)/maps`])),
      /tlb-fix\.so/,
      'QEMU is mended',
    );
    await untilTicksPass(name, 3);
    await untilRecordsPass(name, 20);
    await run(['ping', '-c', '1', '-W', '5', vm.address]);
    assert.deepEqual(
      (await vmList(lab)).filter((each) => each.name === name).map((each) => [each.host, each.state]),
      [['host2', 'running']],
    );
    const ticks = readTicks(vmLog(lab, name));
    assert.deepEqual([ticks.contiguous, ticks.boots.length], [true, 1]);
    const verdict = await vmCheck(lab, name);
    assert.deepEqual(
      [verdict.contiguous, verdict.corrupt, verdict.duplicateWriters, verdict.first, verdict.boots.length],
      [true, 0, false, 1, 1],
    );
    if (disk !== 'block') await vmDelete(lab, name);
  });
}

test('a guest that runs on two hosts at once is found by its disk', async () => {
  const definition = await virsh(lab, 'host2', ['dumpxml', '--inactive', 'on-block']);
  await run(execCommand(lab, 'host1', ['sh', '-c', 'cat >/run/twin.xml']), { input: definition });
  await virsh(lab, 'host1', ['define', '/run/twin.xml']);
  await virsh(lab, 'host1', ['start', 'on-block']);
  await waitFor(
    'The discovery of the second writer',
    async () => ((await vmCheck(lab, 'on-block')).duplicateWriters ? true : undefined),
    { timeoutMs: 30_000, intervalMs: 200 },
  );
  assert.deepEqual(
    (await vmList(lab)).map(({ name, host, state }) => [name, host, state]),
    [
      ['on-block', 'host1', 'running'],
      ['on-block', 'host2', 'running'],
    ],
  );
  await vmDelete(lab, 'on-block');
  assert.deepEqual(await vmList(lab), []);
});

test('the workload "dirty" keeps near its rate', async () => {
  await vmCreate(lab, { name: 'dirty', host: 'host1', workload: 'dirty:12' });
  const rate = await waitFor(
    'The first report of the rate',
    () => /^dirty mib_per_second=([\d.]+)$/m.exec(vmLog(lab, 'dirty'))?.[1],
    { timeoutMs: 30_000 },
  );
  // a busy machine may give the guest less; it never does more
  assert.ok(Number(rate) > 6 && Number(rate) < 13.5, rate);
  await vmDelete(lab, 'dirty');
});

test('a power cut ends the host and its guests; after power on the definitions are there', async () => {
  const vm = await vmCreate(lab, { name: 'cut', host: 'host2', disk: 'local', workload: 'disk' });
  await untilRecordsPass('cut', 10);
  await powerOff(lab, 'host2');
  assert.equal(labStatus(lab).hosts[1]?.state, 'off');
  assert.notEqual((await tryRun(['ping', '-c', '1', '-W', '1', vm.address])).code, 0);
  await assert.rejects(
    virsh(lab, 'host2', ['list']),
    (error) => error instanceof LabError && error.message.includes('power-on host2'),
  );
  const records = (await vmCheck(lab, 'cut')).last;
  await powerOn(lab, 'host2');
  assert.deepEqual(
    (await vmList(lab)).map(({ name, host, state }) => [name, host, state]),
    [['cut', 'host2', 'shut off']],
  );
  await virsh(lab, 'host2', ['start', 'cut']);
  const verdict = await waitFor(
    'The first record of the second boot',
    async () => {
      const now = await vmCheck(lab, 'cut');
      return now.last > records ? now : undefined;
    },
    { timeoutMs: 30_000, intervalMs: 200 },
  );
  assert.deepEqual([verdict.contiguous, verdict.duplicateWriters, verdict.boots.length], [true, false, 2]);
  assert.equal(readTicks(vmLog(lab, 'cut')).contiguous, true);
  // the power button: the guest obeys
  await virsh(lab, 'host2', ['shutdown', 'cut']);
  await waitFor(
    "The guest's own shutdown",
    async () => ((await vmList(lab))[0]?.state === 'shut off' ? true : undefined),
    { timeoutMs: 30_000 },
  );
  await vmDelete(lab, 'cut');
});

test('a cut link is silent and can be restored; the status shows a rate', async () => {
  const address = status.hosts[1]?.address ?? '';
  await changeLink(lab, 'host2', false);
  assert.notEqual((await tryRun(['ping', '-c', '1', '-W', '1', address])).code, 0);
  assert.equal((await virsh(lab, 'host2', ['hostname'])).trim(), 'host2');
  await changeLink(lab, 'host2', true);
  await run(['ping', '-c', '1', '-w', '5', address]);
  await changeRate(lab, 'host2', 50);
  assert.equal(labStatus(lab).hosts[1]?.rateMbit, 50);
  assert.match(await run(execCommand(lab, 'host2', ['tc', 'qdisc', 'show', 'dev', 'eth0'])), /tbf .*rate 50Mbit/);
  await changeRate(lab, 'host2', undefined);
  assert.doesNotMatch(await run(execCommand(lab, 'host2', ['tc', 'qdisc', 'show', 'dev', 'eth0'])), /tbf/);
});

test('two labs at once have subnets, names and guests of their own, and one goes without the other', async () => {
  await using second = await temporaryLab({ hosts: 1, linkMbit: 200 });
  assert.notEqual(second.status.subnet, status.subnet);
  await vmCreate(second.lab, { name: 'same', host: 'host1', until: 'started' });
  await vmCreate(lab, { name: 'same', host: 'host1', until: 'defined' });
  assert.deepEqual(
    (await vmList(second.lab)).map(({ name, state }) => [name, state]),
    [['same', 'running']],
  );
  assert.deepEqual(
    (await vmList(lab)).map(({ name, state }) => [name, state]),
    [['same', 'shut off']],
  );
  await labDown(second.lab);
  assert.deepEqual(await traces(second.lab, uplinkOf(second.status)), []);
  assert.equal((await run(['virsh', '-q', '-c', uri('host1'), 'hostname'])).trim(), 'host1');
  await vmDelete(lab, 'same');
});

test('a start that is killed half-way leaves nothing after "down", and "up" makes it whole', async () => {
  const half = labRef(`${lab.name}-half`);
  const uplink = `ferrylab${status.subnet?.split('.')[2]}-none`;
  try {
    for (const landmark of ['keeper.pid', 'hosts/host1/init.pid']) {
      const child = spawn(
        process.execPath,
        [join(import.meta.dirname, '..', 'src', 'main.ts'), '--lab', half.name, 'up', '--hosts', '2'],
        { stdio: 'ignore' },
      );
      await waitFor(`The landmark ${landmark}`, () => (existsSync(join(half.directory, landmark)) ? true : undefined), {
        timeoutMs: 30_000,
        intervalMs: 1,
      });
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
      assert.equal(labStatus(half).state, 'partial');
      assert.ok(markedProcesses(half.directory).length > 0);
      await labDown(half);
      assert.deepEqual(await traces(half, uplink), []);
    }
    const whole = await labUp(half, { hosts: 1 });
    assert.equal(whole.state, 'up');
    // as it is, when it is there
    assert.deepEqual(await labUp(half), whole);
    await assert.rejects(labUp(half, { hosts: 2 }), LabError);
  } finally {
    await labDown(half);
  }
});

test('a process with two labs that is interrupted twice leaves nothing, and ends as by the signal', async () => {
  const program = `import { temporaryLab } from '@ferry/lab';
    const labs = await Promise.all([1, 2].map(() => temporaryLab({ hosts: 1 })));
    console.log(JSON.stringify(labs.map(({ status }) => status)));
    setInterval(() => undefined, 1_000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.once('exit', (_, signal) => resolve(signal)));
  let told = '';
  child.stdout.on('data', (text: Buffer) => (told += text.toString()));
  const labs = await waitFor('Two labs', () => (told.endsWith('\n') ? (JSON.parse(told) as LabStatus[]) : undefined), {
    timeoutMs: 60_000,
  });
  const tracesOfBoth = async () =>
    (
      await Promise.all(labs.map((each) => traces({ name: each.lab, directory: each.directory }, uplinkOf(each))))
    ).flat();
  const before = (await tracesOfBoth()).length;
  child.kill('SIGINT');
  await waitFor('The first that is gone', async () => ((await tracesOfBoth()).length < before ? true : undefined), {
    timeoutMs: 30_000,
  });
  child.kill('SIGINT');
  assert.equal(await ended, 'SIGINT');
  assert.deepEqual(await tracesOfBoth(), []);
});

test('"down" leaves nothing behind, with guests on every kind of disk running, and may be said twice', async () => {
  for (const disk of ['local', 'shared', 'block', 'nbd'] as const)
    await vmCreate(lab, { name: `last-${disk}`, host: 'host1', disk, workload: 'disk', until: 'started' });
  assert.ok((await traces(lab, uplinkOf(status))).length > 4);
  await labDown(lab);
  assert.deepEqual(await traces(lab, uplinkOf(status)), []);
  await labDown(lab);
  assert.equal(labStatus(lab).state, 'down');
});
