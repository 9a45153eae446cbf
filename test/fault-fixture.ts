/**
 * What all tests of faults do: bring a guest whose disk no lock protects, begin a move that takes its time, and ask
 * afterwards whether the VM is intact in exactly one place and the stored end is true.
 */
import assert from 'node:assert/strict';
import {
  heldFinishes,
  holdFinish,
  readTicks,
  shortenPatience,
  vmCheck,
  vmCreate,
  vmList,
  vmLog,
  virsh,
  waitFor,
  type DiskKind,
} from '@ferry/lab';
import type { Fleet, MigrationJson } from './fleet.ts';

/** For the tests that take minutes; said where they are left out. */
export const onlyFull = (why: string): string | false =>
  (process.env['FERRY_TEST_FULL'] ?? '') !== '' ? false : `only with script/test --full: ${why}`;

export const other = (host: string): string => (host === 'host1' ? 'host2' : 'host1');

/** All daemons give a silent peer up after 5 s. */
export async function shortPatience({ lab }: Fleet): Promise<void> {
  for (const host of ['host1', 'host2']) await shortenPatience(lab, host);
}

/**
 * A guest that writes numbered records; `block` is a LUN with a device of its own on each host, which two running
 * copies would both write to.
 */
export async function guestWithRecords(fleet: Fleet, name: string, disk: DiskKind = 'block'): Promise<void> {
  await vmCreate(fleet.lab, { name, host: 'host1', disk, workload: 'disk', diskMib: 32 });
  await fleet.seen(name, 'running');
}

/** A move that has begun. */
export interface Begun {
  readonly id: string;
  readonly vm: string;
  readonly from: string;
  readonly to: string;
  /** Boots of the guest before it. */
  readonly boots: number;
}

/** Ferry cannot prove that both hosts have a LUN; a copied disk must be on one host only. */
const options = ['--assume-shared', '--delete-source-disks'];
const ticksOf = ({ lab }: Fleet, vm: string) => readTicks(vmLog(lab, vm));

/** Where a move of the VM would begin and end. */
export async function place(fleet: Fleet, vm: string): Promise<Omit<Begun, 'id'>> {
  await fleet.seen(vm, 'running');
  const { host: from } = await fleet.show(vm);
  return { vm, from, to: other(from), boots: ticksOf(fleet, vm).boots.length };
}

/** Begins a move to the other host at this speed in MiB/s, and waits until this share of it has been done. */
export async function begin(
  fleet: Fleet,
  vm: string,
  {
    mib = 4,
    percent = 1,
    more = [],
  }: { readonly mib?: number; readonly percent?: number; readonly more?: readonly string[] } = {},
): Promise<Begun> {
  const where = await place(fleet, vm);
  const { id } = await fleet.plane.json<MigrationJson>(
    'vm',
    'migrate',
    vm,
    '--to',
    where.to,
    '--max-bandwidth-mb',
    String(mib),
    '--detach',
    ...options,
    ...more,
  );
  if (percent > 0) {
    await waitFor(
      `${percent} % of ${id}`,
      async () => {
        const now = await fleet.migration(id);
        assert.equal(now.outcome, undefined, `it ended before the fault: ${JSON.stringify(now.error)}`);
        return (now.progress?.percent ?? 0) >= percent || undefined;
      },
      { timeoutMs: 60_000 },
    );
  }
  return { ...where, id };
}

/** Begins a move and holds it where the guest is paused for the switchover. The test ends this with `releaseFinish`. */
export async function beginHeld(fleet: Fleet, vm: string): Promise<Begun> {
  const { host } = await fleet.show(vm);
  await holdFinish(fleet.lab, other(host));
  const begun = await begin(fleet, vm, { mib: 100, percent: 0 });
  await waitFor('the switchover', async () => (await heldFinishes(fleet.lab, begun.to)) > 0 || undefined, {
    timeoutMs: 60_000,
  });
  return begun;
}

export async function countsOn(fleet: Fleet, vm: string): Promise<void> {
  const before = ticksOf(fleet, vm).last;
  await waitFor(`${vm} to count on`, () => (ticksOf(fleet, vm).last > before + 1 ? true : undefined), {
    timeoutMs: 30_000,
  });
}

export interface Expected {
  readonly at: string;
  readonly outcome: 'succeeded' | 'failed' | 'cancelled';
  /** As libvirt says it; `running` when absent. */
  readonly state?: 'running' | 'shut off' | 'paused';
  /** How often the guest may have booted since the move began; only where the fault is a reboot. */
  readonly newBoots?: number;
  readonly error?: RegExp;
  readonly timeoutMs?: number;
}

/**
 * Waits for the end of the move, then looks at everything it can have broken. The VM is on the other host afterwards:
 * it has moved once more.
 */
export async function intact(
  fleet: Fleet,
  { id, vm, from, to, boots }: Begun,
  { at, outcome, state = 'running', newBoots = 0, error, timeoutMs = 60_000 }: Expected,
): Promise<MigrationJson> {
  const ended = await fleet.ended(id, timeoutMs);
  const told = JSON.stringify({
    outcome: ended.outcome,
    error: ended.error,
    vmIsNow: ended.vmIsNow,
    phases: ended.phases.map(({ phase }) => phase),
  });
  await inOnePlace(fleet, vm, at, state, told);

  // the stored end is true
  assert.equal(ended.outcome, outcome, told);
  assert.deepEqual(ended.vmIsNow, { host: at, state: state === 'shut off' ? 'shut-off' : state }, told);
  assert.deepEqual([ended.from, ended.to], [from, to]);
  assert.equal(ended.phase, outcome);
  assert.equal(ended.phases.at(-1)?.phase, outcome);
  const times = ended.phases.map((each) => Date.parse(each.at));
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
    told,
  );
  assert.equal(ended.error !== undefined, outcome === 'failed', told);
  if (error !== undefined) assert.match(ended.error?.message ?? '', error);
  assert.deepEqual(await fleet.migration(id), ended, 'what has ended does not change');

  if (state === 'shut off') await virsh(fleet.lab, at, ['start', vm]);
  if (state === 'paused') await virsh(fleet.lab, at, ['resume', vm]);
  await fleet.seen(vm, 'running');
  await runsAsItDid(fleet, vm, boots + newBoots + (state === 'shut off' ? 1 : 0));
  const second = await fleet.move(vm, '--to', other(at), ...options);
  assert.deepEqual(
    [second.outcome, second.vmIsNow],
    ['succeeded', { host: other(at), state: 'running' }],
    JSON.stringify(second.error),
  );
  await inOnePlace(fleet, vm, other(at), 'running', 'the second move');
  await runsAsItDid(fleet, vm, boots + newBoots + (state === 'shut off' ? 1 : 0));
  return ended;
}

async function inOnePlace(fleet: Fleet, vm: string, at: string, state: string, told: string): Promise<void> {
  assert.deepEqual(
    [await fleet.state(at, vm), await fleet.state(other(at), vm)],
    [state, 'absent'],
    `${vm} on ${at}: ${told}`,
  );
  for (const host of ['host1', 'host2']) {
    const domains = (await virsh(fleet.lab, host, ['list', '--all', '--name']))
      .split('\n')
      .filter((name) => name.startsWith('ferry-'));
    assert.deepEqual(domains, [], `helpers left on ${host}`);
  }
  assert.equal(
    await fleet.sh(other(at), `ls /var/lib/libvirt/images | grep '^${vm}\\.' || true`),
    '',
    `volumes left on ${other(at)}: ${told}`,
  );
}

async function runsAsItDid(fleet: Fleet, vm: string, boots: number): Promise<void> {
  if (boots > ticksOf(fleet, vm).boots.length)
    await waitFor(
      `the boot of ${vm}`,
      () => (ticksOf(fleet, vm).boots.length >= boots && ticksOf(fleet, vm).last > 0) || undefined,
      { timeoutMs: 60_000 },
    );
  await countsOn(fleet, vm);
  const { boots: seen, contiguous } = ticksOf(fleet, vm);
  assert.equal(seen.length, boots, `boots of the guest: ${vmLog(fleet.lab, vm).slice(-6_000)}`);
  assert.ok(contiguous, 'a number of the counter is missing or comes twice');
  if ((await vmList(fleet.lab)).find(({ name }) => name === vm)?.workload !== 'disk') return;
  const records = await vmCheck(fleet.lab, vm);
  assert.ok(records.contiguous && records.corrupt === 0 && !records.duplicateWriters, JSON.stringify(records));
  await waitFor(`${vm} to write on`, async () => (await vmCheck(fleet.lab, vm)).last > records.last || undefined, {
    timeoutMs: 30_000,
  });
}
