/**
 * What must hold after every move of the lab, looked at by the fixture itself and not by each test: the VM is where
 * Ferry says, in one place, and says of itself what it said before, in both definitions; no domain, pool or file is
 * there that nobody recorded, and none is gone that was not the VM's; what is shut off starts. A move that failed or
 * was refused leaves all as it was. It compares what hosts show (world.ts); of Ferry it takes only the records that it
 * holds against that.
 */
import { normalize } from 'node:path/posix';
import { execCommand, run, type LabRef } from '@ferry/lab';
import { differencesOf, disksOf } from './definitions.ts';
import type { MigrationJson } from './answers.ts';
import type { Domain, HostWorld, World } from './world.ts';

export interface LeftoverJson {
  readonly host: string;
  readonly path: string;
}
/** One `vm migrate`, and the hosts before and after it. */
export interface Moved {
  readonly vm: { readonly uuid: string; readonly name: string };
  readonly options: readonly string[];
  /** None where the move was refused. */
  readonly migration?: MigrationJson;
  readonly before: World;
  readonly after: World;
  readonly leftBefore: readonly LeftoverJson[];
  readonly left: readonly LeftoverJson[];
  /** Nothing else moved meanwhile: files that came or went are of this move. */
  readonly alone: boolean;
}

/** Options by which the definition changes on purpose. */
const changing = [
  '--xml',
  '--map-network',
  '--map-pool',
  '--map-path',
  '--graphics-listen',
  '--eject-media',
  '--create-missing',
];
/** Options by which the source keeps a definition. */
const keeping = ['--keep-source', '--temporary'];

/** What does not hold, a sentence each. */
export function faultsOf(moved: Moved): readonly string[] {
  return [
    ...whereFerrySays(moved),
    ...(moved.migration?.outcome === 'succeeded' ? arrived(moved, moved.migration) : stayed(moved)),
    ...(moved.alone ? [...unrecorded(moved), ...lost(moved)] : []),
  ];
}

/** The VM to begin on its target, to see that it starts there. */
export function toStart({ vm, migration, after }: Moved): { readonly host: string; readonly uuid: string } | undefined {
  if (migration?.outcome !== 'succeeded' || migration.to === undefined) return undefined;
  const there = after.get(migration.to)?.domains.get(vm.uuid);
  return there?.state === 'shut off' && !there.saved ? { host: migration.to, uuid: vm.uuid } : undefined;
}

/** Runs the VM for a moment, too short for its guest to boot. Rejects with what libvirt says when it does not start. */
export const startAndEnd = (lab: LabRef, host: string, uuid: string): Promise<string> => {
  const virsh = 'virsh -q -c qemu:///system';
  return run(
    execCommand(lab, host, [
      'bash',
      '-ec',
      `${virsh} start --paused ${uuid}; trap '${virsh} destroy ${uuid}' EXIT; ` +
        `${virsh} resume ${uuid}; ${virsh} domstate ${uuid} | grep -qx running`,
    ]),
  );
};

const asked = ({ options }: Moved, names: readonly string[]): boolean =>
  options.some((option) => names.includes(option));

function whereFerrySays({ vm, migration, after }: Moved): readonly string[] {
  const says = migration?.vmIsNow;
  const there = says === undefined ? undefined : after.get(says.host);
  if (says === undefined || there === undefined) return [];
  const is = there.domains.get(vm.uuid)?.state.replace(' ', '-') ?? 'absent';
  return is === says.state ? [] : [`Ferry says that it is ${says.state} on ${says.host}, where it is ${is}`];
}

function arrived(moved: Moved, { from, to = '' }: MigrationJson): readonly string[] {
  const { before, after, vm } = moved;
  const was = before.get(from)?.domains.get(vm.uuid);
  const is = after.get(to)?.domains.get(vm.uuid);
  // a host of another lab or fleet
  if (!after.has(to)) return [];
  if (is === undefined) return [`it is not on ${to}`];
  const elsewhere = [...after.keys()].filter(
    (host) =>
      host !== to &&
      after.get(host)?.domains.has(vm.uuid) === true &&
      before.get(host)?.domains.get(vm.uuid)?.state !== 'shut off',
  );
  const twice = asked(moved, keeping)
    ? elsewhere.filter((host) => after.get(host)?.domains.get(vm.uuid)?.state !== 'shut off')
    : elsewhere;
  return [
    ...twice.map((host) => `it is on ${host} too`),
    ...(was === undefined || asked(moved, changing) ? [] : said(was, is)),
    ...(was === undefined || asked(moved, ['--temporary']) || was.autostart === is.autostart
      ? []
      : [`its autostart was ${was.autostart} and is ${is.autostart}`]),
    ...(was === undefined || asked(moved, ['--auto-start']) || was.saved === is.saved
      ? []
      : [was.saved ? 'its saved memory did not come with it' : 'it is saved and was not']),
  ];
}

/** Both definitions say what they said; the chain of an image may have been joined on its way. */
function said(was: Domain, is: Domain): readonly string[] {
  const changed = (which: string, before: string, after: string): readonly string[] =>
    differencesOf(before, after)
      .filter((line) => !line.includes('/backingStore'))
      .map((line) => `the ${which} definition: ${line}`);
  return [
    ...(is.persistent && was.persistent ? changed('inactive', was.inactive, is.inactive) : []),
    ...(was.live === undefined || is.live === undefined ? [] : changed('live', was.live, is.live)),
  ];
}

/** It did not move: each host has of it what it had. That it runs is for the test to say, whose faults may end it. */
function stayed(moved: Moved): readonly string[] {
  const { before, after, vm, migration } = moved;
  // it ended badly with the VM on its target
  if (migration?.vmIsNow !== undefined && migration.vmIsNow.host !== migration.from) return [];
  return [...after].flatMap(([host, { domains }]) => {
    const was = before.get(host)?.domains.get(vm.uuid);
    const is = domains.get(vm.uuid);
    if (was === undefined || is === undefined) {
      if ((was === undefined) === (is === undefined) || !before.has(host)) return [];
      if (is !== undefined && asked(moved, ['--keep-dest-guest-on-failed'])) return [];
      return [was === undefined ? `it did not move, and is on ${host}` : `it did not move, and is gone from ${host}`];
    }
    return said(was, is);
  });
}

function unrecorded(moved: Moved): readonly string[] {
  const { vm, before, after, left } = moved;
  return [...after].flatMap(([host, world]) => {
    const known = before.get(host);
    if (known === undefined) return [];
    const { domains, pools, files } = world;
    const named = namedOn(world);
    const isListed = (path: string): boolean => left.some((each) => each.host === host && each.path === path);
    return [
      ...[...domains.values()]
        .filter(({ name, uuid }) => name.startsWith('ferry-') && uuid !== vm.uuid && !known.domains.has(uuid))
        .map(({ name }) => `the domain ${name} on ${host}, which nobody recorded`),
      ...[...pools.keys()]
        .filter((name) => !known.pools.has(name))
        .map((name) => `the pool ${name} on ${host}, which nobody recorded`),
      ...(asked(moved, ['--keep-dest-guest-on-failed'])
        ? []
        : [...files.keys()]
            .filter((path) => !known.files.has(path) && !named(path) && !isListed(path))
            .map((path) => `${host}:${path}, which nobody recorded`)),
    ];
  });
}

/** Only what was the VM's own, or recorded as left behind, may go. */
function lost({ vm, before, after, leftBefore }: Moved): readonly string[] {
  return [...before].flatMap(([host, { domains, files }]) => {
    const now = after.get(host);
    if (now === undefined) return [];
    const own = domains.get(vm.uuid);
    const wasOwn = namedOn({ domains: new Map(own === undefined ? [] : [[vm.uuid, own]]) });
    return [...files.keys()]
      .filter(
        (path) =>
          !now.files.has(path) && !wasOwn(path) && !leftBefore.some((each) => each.host === host && each.path === path),
      )
      .map((path) => `${host}:${path} is gone, which was not its own`);
  });
}

/** Whether a domain there has the file: by a definition, or by where libvirt keeps what belongs to it. */
function namedOn({ domains }: Pick<HostWorld, 'domains'>): (path: string) => boolean {
  const named = new Set(
    [...domains.values()].flatMap(({ name, live, inactive, memory }) => [
      `/var/lib/libvirt/qemu/save/${name}.save`,
      ...[inactive, live, memory].flatMap((xml) => (xml === undefined ? [] : pathsIn(xml))),
    ]),
  );
  const volumes = [...named].filter((source) => !source.startsWith('/')).map((source) => source.replace(/^[^/]*/, ''));
  return (path) =>
    named.has(path) ||
    volumes.some((volume) => path.endsWith(volume)) ||
    [...domains.keys()].some((uuid) => path.includes(`/swtpm/${uuid}/`));
}

/** Every path that a definition names, bases of its images included. */
const pathsIn = (xml: string): readonly string[] => [
  ...disksOf(xml).flatMap(({ source, chain }) => [
    ...(source === undefined ? [] : [normalize(source)]),
    ...(chain ?? []).flatMap((link) => (link === 'end' ? [] : [link.source])),
  ]),
  ...[...xml.matchAll(/>(\/[^<]+)</g)].map(([, path]) => path ?? ''),
];
