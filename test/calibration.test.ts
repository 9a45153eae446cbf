/**
 * The simulated fleet held against real hosts: the same moves in both come to the same phases in the same order, and the
 * transfers take the same time within a fifth. What a guest holds is measured once, by a first move; all others are
 * foretold from that.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { vmCreate } from '@ferry/lab';
import { onlyFull } from './fault-fixture.ts';
import { withFleet, type Fleet, type MigrationJson } from './fleet.ts';

const skip = onlyFull('each move takes the time that its bandwidth gives it');
const mib = 1_048_576;
const share = 0.2;

let fleet: Fleet;
const held = new Map<string, number>();
const guests = { idle: 0, writer: 4 } as const;
type Guest = keyof typeof guests;

if (skip === false)
  withFleet(async (made) => {
    fleet = made;
    await vmCreate(made.lab, { name: 'idle', host: 'host1' });
    await vmCreate(made.lab, { name: 'writer', host: 'host1', workload: `dirty:${guests.writer}` });
    for (const name of Object.keys(guests)) await made.seen(name, 'running');
  });

/** Phases with the time in seconds at which each began, the outcome last. */
type Course = readonly (readonly [phase: string, seconds: number])[];

const courseOf = ({ phases }: MigrationJson): Course =>
  phases.map(({ phase, at }) => [phase, (Date.parse(at) - Date.parse(phases[0]?.at ?? at)) / 1_000]);

const other = (host: string): string => (host === 'host1' ? 'host2' : 'host1');

async function onHosts(vm: Guest, mibPerSecond: number): Promise<MigrationJson> {
  const { host } = await fleet.show(vm);
  return fleet.move(vm, '--to', other(host), '--max-bandwidth-mb', String(mibPerSecond));
}

/** The same in the simulated fleet, as its log tells it. */
function simulated(vm: Guest, mibPerSecond: number): Course {
  const folder = mkdtempSync(join(tmpdir(), 'ferry-calibration-'));
  try {
    const bytes = held.get(vm) ?? assert.fail(`what ${vm} holds is not known`);
    const dirtyBytesPerSecond = guests[vm] * mib;
    const fleetOf = {
      hosts: ['h1', 'h2'].map((name) => ({ name, sharedFolders: [] })),
      guests: [
        {
          uuid: 'aaaaaaaa-0000-4000-8000-000000000001',
          name: vm,
          host: 'h1',
          memory: {
            totalBytes: bytes,
            // larger than what it writes in the longest pass of a move here
            sets: dirtyBytesPerSecond === 0 ? [] : [{ bytes: 16 * mib, dirtyBytesPerSecond }],
          },
        },
      ],
      mibPerSecond: 1_000,
    };
    const options = { maxBandwidthMiBPerSecond: mibPerSecond };
    const steps = [{ atMs: 1_000, do: 'migrate', vm, to: 'h2', options }];
    for (const [file, text] of [
      ['README.md', ''],
      ['fleet.json', JSON.stringify(fleetOf)],
      ['steps.json', JSON.stringify(steps)],
      ['log.txt', ''],
    ] as const)
      writeFileSync(join(folder, file), text);
    const main = join(import.meta.dirname, '../packages/simulation/src/days/main.ts');
    const { stdout, stderr } = spawnSync(process.execPath, [main, '--scenario', folder], { encoding: 'utf8' });
    const lines = stdout.split('\n').flatMap((line) => {
      const [, at, phase, ended] = /^ *(\S+) migration of \S+ (?:\S+ > \S+: (\S+)|(\S+?),)/.exec(line) ?? [];
      const what = phase ?? ended;
      return what === undefined ? [] : [[what, Number(at)] as const];
    });
    const first = lines[0]?.[1] ?? assert.fail(`${stdout}\n${stderr}`);
    return lines.map(([what, at]) => [what, at - first]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** From the begin of the transfer to the next phase. */
const transferSeconds = (course: Course): number => {
  const at = course.findIndex(([phase]) => phase === 'transferring');
  return (course[at + 1]?.[1] ?? 0) - (course[at]?.[1] ?? 0);
};

function assertAlike(real: Course, told: Course): void {
  const order = (course: Course): readonly string[] => course.map(([phase]) => phase);
  assert.deepEqual(order(told), order(real), JSON.stringify({ real, told }));
  const [took, foretold] = [transferSeconds(real), transferSeconds(told)];
  assert.ok(Math.abs(foretold - took) <= share * took, `it took ${took} s and was foretold as ${foretold} s`);
}

for (const vm of Object.keys(guests) as Guest[])
  test(`what ${vm} holds is measured`, { skip, timeout: 120_000 }, async () => {
    const { outcome, transferredBytes = 0 } = await onHosts(vm, 16);
    assert.equal(outcome, 'succeeded');
    held.set(vm, transferredBytes);
  });

for (const [vm, mibPerSecond] of [
  ['idle', 4],
  ['idle', 8],
  ['writer', 12],
] as const)
  test(`${vm} at ${mibPerSecond} MiB/s`, { skip, timeout: 180_000 }, async () => {
    const real = await onHosts(vm, mibPerSecond);
    assert.equal(real.outcome, 'succeeded');
    assertAlike(courseOf(real), simulated(vm, mibPerSecond));
  });
