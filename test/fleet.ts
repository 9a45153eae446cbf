/**
 * The fixture for tests on real hosts: a lab of two hosts or more, a control plane that knows them, and small helpers.
 * It is removed after the file's tests.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach } from 'node:test';
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
import { watched, type Exception, type Watched } from './watched.ts';

export type { MigrationJson, VmJson } from './answers.ts';

export interface Fleet {
  readonly temporary: TemporaryLab;
  readonly lab: LabRef;
  readonly plane: ControlPlane;
  /** What must hold after every move has been looked at whenever this control plane was asked for one (watched.ts). */
  readonly accept: Watched['accept'];
  /** `ferry vm migrate`, to its end. */
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

export interface FleetOptions extends UpOptions {
  /** Of the control plane. */
  readonly machine?: Machine;
  /** More options of `ferry serve`. */
  readonly serve?: readonly string[];
  /** Faults of moves that are none in this file. */
  readonly accepted?: readonly Exception[];
  /** Why the fixture does not look at the moves of this file. */
  readonly unwatched?: string;
}

/**
 * Hands the fleet over before the first test of the file, which waits for what `use` does with it. Two hosts when
 * `hosts` is absent; three where a choice between targets is the point.
 */
export function withFleet(
  use: (fleet: Fleet) => unknown,
  { accepted = [], unwatched, machine = {}, serve = [], ...up }: FleetOptions = {},
): void {
  let temporary: TemporaryLab | undefined;
  let plane: ControlPlane | undefined;
  let watch: Watched | undefined;
  before(async () => {
    const labOfFile = await temporaryLab({ hosts: 2, ...up });
    temporary = labOfFile;
    const planeOfFile = await controlPlaneOn(machine, ...accessTo(labOfFile), ...serve);
    plane = planeOfFile;
    for (const { uri, name } of labOfFile.status.hosts) await planeOfFile.json('host', 'add', uri, '--name', name);
    const names = labOfFile.status.hosts.map(({ name }) => name);
    watch = watched(labOfFile.lab, planeOfFile, names, accepted);
    await use(fleetOf(labOfFile, unwatched === undefined ? watch : { ...watch, plane: planeOfFile }));
  });
  beforeEach(() => watch?.reset());
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

function fleetOf(temporary: TemporaryLab, { plane, accept }: Watched): Fleet {
  const { lab } = temporary;
  const migration = (id: string) => plane.json<MigrationJson>('migration', 'show', id);
  return {
    temporary,
    lab,
    plane,
    migration,
    accept,
    move: (vm, ...options) => plane.json<MigrationJson>('vm', 'migrate', vm, ...options),
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
