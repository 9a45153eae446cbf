/**
 * What must hold after every move of the lab, looked at by the fixture itself and not by each test: the VM is in one
 * place and says of itself what it said before, in both definitions; no domain, pool or file is there that nobody
 * recorded; what is shut off starts, where the test lets it.
 */
import assert from 'node:assert/strict';
import { execCommand, run, waitFor, type LabRef } from '@ferry/lab';
import type { ControlPlane } from './control-plane.ts';
import { differencesOf, disksOf } from './definitions.ts';
import type { MigrationJson, VmJson } from './answers.ts';
import { lookAtWorld, type Domain, type World } from './world.ts';

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

export interface Invariants {
  readonly before: () => Promise<World>;
  /** Rejects with all that does not hold. */
  readonly after: (before: World, vm: string, options: readonly string[], migration: MigrationJson) => Promise<void>;
}

/** `starts`: a VM that arrived shut off is begun paused and ended at once. */
export function invariantsOf(
  lab: LabRef,
  plane: ControlPlane,
  hosts: readonly string[],
  { starts }: { readonly starts: boolean },
): Invariants {
  return {
    before: () => lookAtWorld(lab, hosts),
    async after(before, ref, options, migration) {
      if (migration.outcome !== 'succeeded') return;
      const world = await lookAtWorld(lab, hosts);
      const { uuid } = await plane.json<VmJson>('vm', 'show', ref);
      const left = await plane.json<readonly { readonly host: string; readonly path: string }[]>('volume', 'leftovers');
      const broken = [
        ...place(before, world, uuid, options, migration),
        ...unrecorded(before, world, (host, path) => left.some((each) => each.host === host && each.path === path)),
      ];
      const there = world.get(migration.to ?? '')?.domains.get(uuid);
      if (starts && broken.length === 0 && there?.state === 'shut off' && !there.saved)
        await start(lab, plane, migration.to ?? '', there);
      assert.deepEqual(broken, [], `after migration ${migration.id} of ${ref}`);
    },
  };
}

function place(
  before: World,
  after: World,
  uuid: string,
  options: readonly string[],
  { from, to = '' }: MigrationJson,
): readonly string[] {
  const was = before.get(from)?.domains.get(uuid);
  const is = after.get(to)?.domains.get(uuid);
  // a host of another lab or fleet
  if (!after.has(to)) return [];
  if (is === undefined) return [`it is not on ${to}`];
  const elsewhere = [...after.keys()].filter(
    (host) =>
      host !== to &&
      after.get(host)?.domains.has(uuid) === true &&
      before.get(host)?.domains.get(uuid)?.state !== 'shut off',
  );
  const twice = options.some((option) => keeping.includes(option))
    ? elsewhere.filter((host) => after.get(host)?.domains.get(uuid)?.state !== 'shut off')
    : elsewhere;
  return [
    ...twice.map((host) => `it is on ${host} too`),
    ...(was === undefined || options.some((option) => changing.includes(option)) ? [] : said(was, is)),
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

function unrecorded(before: World, after: World, isListed: (host: string, path: string) => boolean): readonly string[] {
  return [...after].flatMap(([host, { domains, pools, files }]) => {
    const known = before.get(host);
    const named = new Set(
      [...domains.values()].flatMap(({ live, inactive }) =>
        [inactive, ...(live === undefined ? [] : [live])].flatMap((xml) => pathsIn(xml)),
      ),
    );
    const saved = new Set([...domains.values()].map(({ name }) => `/var/lib/libvirt/qemu/save/${name}.save`));
    return [
      ...[...domains.values()]
        .filter(({ name, uuid }) => name.startsWith('ferry-') && known?.domains.has(uuid) !== true)
        .map(({ name }) => `the domain ${name} on ${host}`),
      ...[...pools.keys()]
        .filter((name) => known?.pools.has(name) !== true)
        .map((name) => `the pool ${name} on ${host}`),
      ...[...files.keys()]
        .filter(
          (path) => known?.files.has(path) !== true && !named.has(path) && !saved.has(path) && !isListed(host, path),
        )
        .map((path) => `${host}:${path}, which nobody recorded`),
    ];
  });
}

/** Every path that a definition names, bases of its images included. */
const pathsIn = (xml: string): readonly string[] => [
  ...disksOf(xml).flatMap(({ source, chain }) => [
    ...(source === undefined ? [] : [source]),
    ...(chain ?? []).flatMap((link) => (link === 'end' ? [] : [link.source])),
  ]),
  ...[...xml.matchAll(/>(\/[^<]+)</g)].map(([, path]) => path ?? ''),
];

async function start(lab: LabRef, plane: ControlPlane, host: string, { uuid, name }: Domain): Promise<void> {
  const virsh = (...args: readonly string[]): Promise<string> =>
    run(execCommand(lab, host, ['virsh', '-q', '-c', 'qemu:///system', ...args]));
  await virsh('start', '--paused', uuid);
  await virsh('destroy', uuid);
  await waitFor(
    `the control plane to see ${name} shut off`,
    async () => {
      const ran = await plane.ferry('vm', 'show', uuid, '-o', 'json');
      return (ran.code === 0 && (JSON.parse(ran.stdout) as VmJson).state === 'shut-off') || undefined;
    },
    { timeoutMs: 10_000 },
  );
}
