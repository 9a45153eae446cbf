/**
 * What the tests on real hosts begin with: a lab of two hosts or more, a control plane that knows them, and the small
 * questions that every file asks of them. Gone when the file's tests are over.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before } from 'node:test';
import {
  credentialsOf,
  execCommand,
  run,
  temporaryLab,
  virsh,
  waitFor,
  type LabRef,
  type TemporaryLab,
  type UpOptions,
} from '@ferry/lab';
import type { MigrationJson, VmJson } from './answers.ts';
import { controlPlaneOn, type ControlPlane, type Machine } from './control-plane.ts';
import { invariantsOf } from './invariants.ts';

export type { MigrationJson, VmJson } from './answers.ts';

export interface Fleet {
  readonly temporary: TemporaryLab;
  readonly lab: LabRef;
  readonly plane: ControlPlane;
  /**
   * `ferry vm migrate`, to its end; where the file asks for it, what must hold after every move has been looked at
   * then.
   */
  readonly move: (vm: string, ...options: readonly string[]) => Promise<MigrationJson>;
  readonly migration: (id: string) => Promise<MigrationJson>;
  /** The migration once it has an outcome. */
  readonly ended: (id: string, timeoutMs?: number) => Promise<MigrationJson>;
  readonly show: (vm: string) => Promise<VmJson>;
  /** Waits until the control plane knows the VM in this state. */
  readonly seen: (vm: string, state: string) => Promise<unknown>;
  /** Stores a policy: the default with other fields. */
  readonly policy: <T>(name: string, fields: object) => Promise<T>;
  /** A shell line on a host. */
  readonly sh: (host: string, command: string) => Promise<string>;
  /** What libvirt on the host says of the VM; `absent` when it has none. */
  readonly state: (host: string, vm: string) => Promise<string>;
}

/** Two hosts when `hosts` is absent; three where a choice between targets is the point. */
export interface FleetOptions extends UpOptions {
  /**
   * A VM that arrived shut off is begun paused and ended, to see that it starts (invariants.ts). Not for tests that
   * count on what that leaves.
   */
  readonly starts?: boolean;
  /** After each `move` the fixture looks at what must hold (invariants.ts). */
  readonly invariants?: boolean;
  /** Of the control plane. */
  readonly machine?: Machine;
}

/** Hands the fleet over before the first test of the file, which waits for what `use` does with it. */
export function withFleet(
  use: (fleet: Fleet) => unknown,
  { starts = false, invariants = false, machine = {}, ...up }: FleetOptions = {},
): void {
  let temporary: TemporaryLab | undefined;
  let plane: ControlPlane | undefined;
  before(async () => {
    const labOfFile = await temporaryLab({ hosts: 2, ...up });
    temporary = labOfFile;
    const planeOfFile = await controlPlaneOn(machine, ...accessTo(labOfFile));
    plane = planeOfFile;
    for (const { uri, name } of labOfFile.status.hosts) await planeOfFile.json('host', 'add', uri, '--name', name);
    await use(fleetOf(labOfFile, planeOfFile, { starts, invariants }));
  });
  after(async () => {
    await plane?.[Symbol.asyncDispose]();
    await temporary?.[Symbol.asyncDispose]();
  });
}

/** A shell line on a host. */
export const onHostOf = (lab: LabRef, host: string, command: string): Promise<string> =>
  run(execCommand(lab, host, ['bash', '-ec', command]));

/** What the control plane proves itself with to the lab's hosts. */
export function accessTo({ lab }: TemporaryLab): readonly string[] {
  const { pki, sshConfig } = credentialsOf(lab);
  return ['--pki-path', pki, '--ssh-config', sshConfig];
}

function fleetOf(
  temporary: TemporaryLab,
  plane: ControlPlane,
  options: Required<Pick<FleetOptions, 'starts' | 'invariants'>>,
): Fleet {
  const { lab } = temporary;
  const invariants = invariantsOf(
    lab,
    plane,
    temporary.status.hosts.map(({ name }) => name),
    options,
  );
  const migration = (id: string) => plane.json<MigrationJson>('migration', 'show', id);
  return {
    temporary,
    lab,
    plane,
    migration,
    async move(vm, ...wishes) {
      const before = options.invariants ? await invariants.before() : undefined;
      const moved = await plane.json<MigrationJson>('vm', 'migrate', vm, ...wishes);
      if (before !== undefined) await invariants.after(before, vm, wishes, moved);
      return moved;
    },
    async ended(id, timeoutMs = 60_000) {
      let last: MigrationJson | undefined;
      const look = async (): Promise<MigrationJson | undefined> =>
        (last = await migration(id)).outcome === undefined ? undefined : last;
      return waitFor(`the end of migration ${id}`, look, { timeoutMs }).catch((error: unknown) => {
        const { phases, progress, attention, decisions } = last ?? {};
        throw new Error(
          `${error instanceof Error ? error.message : String(error)} It says: ` +
            JSON.stringify({ phases, progress, attention, decisions }),
        );
      });
    },
    show: (vm) => plane.json<VmJson>('vm', 'show', vm),
    seen: (vm, state) =>
      waitFor(
        `the control plane to see ${vm} ${state}`,
        async () => {
          const ran = await plane.ferry('vm', 'show', vm, '-o', 'json');
          return (ran.code === 0 && (JSON.parse(ran.stdout) as VmJson).state === state) || undefined;
        },
        { timeoutMs: 10_000 },
      ),
    async policy(name, fields) {
      const file = join(plane.dataDir, `policy-${name}.json`);
      writeFileSync(file, JSON.stringify({ ...(await plane.json<object>('policy', 'show', 'default')), ...fields }));
      return plane.json('policy', 'set', name, file);
    },
    sh: (host, command) => onHostOf(lab, host, command),
    state: async (host, vm) => (await virsh(lab, host, ['domstate', vm]).catch(() => 'absent')).trim(),
  };
}
