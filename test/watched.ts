/**
 * A control plane whose moves are checked: the fixture reads the hosts before and after each `ferry vm migrate`, and
 * fails the call if an invariant is broken (invariants.ts). A detached move is checked when `migration show` first
 * reports its end. A test names what it breaks on purpose.
 */
import assert from 'node:assert/strict';
import { waitFor, type LabRef } from '@ferry/lab';
import { read } from './api.ts';
import { jsonBy, type ControlPlane, type Ran } from './control-plane.ts';
import type { MigrationJson, VmJson } from './answers.ts';
import { faultsOf, startAndEnd, toStart, type LeftoverJson, type Moved } from './invariants.ts';
import { lookAtWorld, type World } from './world.ts';

export interface Watched {
  readonly plane: ControlPlane;
  /** For the rest of the test: faults that match are none, for this reason. A host that "does not answer" is not asked. */
  readonly accept: (...exception: Exception) => void;
  /** A new test begins. */
  readonly reset: () => void;
}
/** A fault that is none, and why. */
export type Exception = readonly [fault: RegExp, why: string];

interface Begun {
  readonly vm: Moved['vm'];
  readonly options: readonly string[];
  readonly before: World;
  readonly leftBefore: readonly LeftoverJson[];
  /** Another move ran at its beginning, or began since. */
  alone: boolean;
}
interface Listed<T> {
  readonly items: readonly T[];
}

/** What a command with `--detach -o json` answered. */
function goesOn({ code, stdout }: Ran): MigrationJson | undefined {
  const answer = code === 0 && stdout.startsWith('{') ? (JSON.parse(stdout) as MigrationJson) : undefined;
  return answer?.outcome === undefined ? answer : undefined;
}

const lends = (world: World): boolean =>
  [...world.values()].some(({ pools }) => [...pools.keys()].some((name) => name.startsWith('ferry-look-')));

/** `always` is accepted in each test. */
export function watched(
  lab: LabRef,
  plane: ControlPlane,
  hosts: readonly string[],
  always: readonly Exception[] = [],
): Watched {
  const accepted: RegExp[] = [];
  const running = new Set<Begun>();
  const detached = new Map<string, Begun>();
  const looking = new Map<string, Promise<void>>();
  const accepts = (fault: string): boolean =>
    [...accepted, ...always.map(([each]) => each)].some((each) => each.test(fault));

  const look = async (
    of: readonly string[],
  ): Promise<{ readonly world: World; readonly silent: readonly string[] }> => {
    const silent: string[] = [];
    const worlds = await Promise.all(
      of
        .filter((host) => !accepts(`${host} does not answer`))
        .map((host) =>
          lookAtWorld(lab, [host]).catch((error: unknown): World => {
            silent.push(`${host} does not answer: ${error instanceof Error ? error.message : String(error)}`);
            return new Map();
          }),
        ),
    );
    return { world: new Map(worlds.flatMap((each) => [...each])), silent };
  };
  const leftovers = async (): Promise<readonly LeftoverJson[]> =>
    (await read<Listed<LeftoverJson>>(plane, 'volumes/leftovers'))?.items ?? [];

  const begin = async ({ uuid, name }: Moved['vm'], options: readonly string[]): Promise<Begun> => {
    const [{ world, silent }, leftBefore] = await Promise.all([look(hosts), leftovers()]);
    assert.deepEqual(silent, [], `before the move of ${name}`);
    const begun: Begun = {
      vm: { uuid, name },
      options,
      before: world,
      leftBefore,
      alone: running.size === 0,
    };
    for (const other of running) other.alone = false;
    running.add(begun);
    return begun;
  };
  const end = async (begun: Begun, migration: MigrationJson | undefined): Promise<void> => {
    running.delete(begun);
    const asked = [...begun.before.keys()];
    let seen = await look(asked);
    // whoever looks into a folder has such a pool for that moment; one that stays is a fault
    for (const until = Date.now() + 10_000; lends(seen.world) && Date.now() < until;) seen = await look(asked);
    const { world, silent } = seen;
    const left = await leftovers();
    const moved: Moved = { ...begun, after: world, left, ...(migration === undefined ? {} : { migration }) };
    const faults = [...faultsOf(moved), ...silent];
    const shutOff = toStart(moved);
    if (shutOff !== undefined && !accepts(`it does not start on ${shutOff.host}`)) {
      await startAndEnd(lab, shutOff.host, shutOff.uuid).catch((error: unknown) =>
        faults.push(`it does not start on ${shutOff.host}: ${error instanceof Error ? error.message : String(error)}`),
      );
      await waitFor(
        `the control plane to see ${begun.vm.name} shut off again`,
        async () => (await read<VmJson>(plane, `vms/${begun.vm.uuid}`))?.state === 'shut-off' || undefined,
        { timeoutMs: 10_000 },
      );
    }
    assert.deepEqual(
      faults.filter((fault) => !accepts(fault)),
      [],
      migration === undefined
        ? `the move of ${begun.vm.name} was refused`
        : `after migration ${migration.id} of ${begun.vm.name}, which ${migration.outcome ?? 'did not end'}`,
    );
  };
  const newestOf = async (uuid: string): Promise<MigrationJson | undefined> =>
    (await read<Listed<MigrationJson>>(plane, `migrations?vm=${uuid}&limit=1`))?.items[0];

  const ferry = async (...args: readonly string[]): Promise<Ran> => {
    const [noun, verb, ref = '', ...options] = args;
    if (noun === 'migration' && verb === 'show') {
      const ran = await plane.ferry(...args);
      await told(ref, ran);
      return ran;
    }
    if (noun !== 'vm' || verb !== 'migrate' || options.includes('--dry-run')) return plane.ferry(...args);
    const vm = await read<VmJson>(plane, `vms/${encodeURIComponent(ref)}`);
    const last = vm === undefined ? undefined : await newestOf(vm.uuid);
    // nobody's name or that of several; or a second move while one runs
    if (vm === undefined || (last !== undefined && last.outcome === undefined)) return plane.ferry(...args);
    const begun = await begin(vm, options);
    const ran = await plane.ferry(...args).finally(() => running.delete(begun));
    // one that goes on is in the answer: its test may kill the control plane at any moment
    const newest = goesOn(ran) ?? (await newestOf(vm.uuid));
    const migration = newest?.id === last?.id ? undefined : newest;
    if (migration !== undefined && migration.outcome === undefined) {
      running.add(begun);
      detached.set(migration.id, begun);
    } else await end(begun, migration);
    return ran;
  };
  const told = async (id: string, { code, stdout }: Ran): Promise<void> => {
    const begun = detached.get(id);
    if (begun !== undefined && code === 0 && stdout.startsWith('{')) {
      const migration = JSON.parse(stdout) as MigrationJson;
      if (migration.outcome === undefined) return;
      detached.delete(id);
      looking.set(id, end(begun, migration));
    }
    await looking.get(id);
  };
  return {
    plane: {
      ...plane,
      ferry,
      json: jsonBy(ferry, () => plane.log()),
    },
    accept: (fault) => accepted.push(fault),
    reset: () => {
      accepted.length = 0;
      running.clear();
      detached.clear();
      looking.clear();
    },
  };
}
