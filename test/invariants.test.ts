/** Each invariant finds what breaks it, and is quiet about what a move may do. No lab. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MigrationJson } from './answers.ts';
import { faultsOf, toStart, type Moved } from './invariants.ts';
import type { Domain, HostWorld, World } from './world.ts';

const uuid = '11111111-1111-4111-8111-111111111111';
const disk = '/var/lib/libvirt/images/web.qcow2';
const xml = (more = ''): string =>
  `<domain type='qemu'><name>web</name><uuid>${uuid}</uuid><memory unit='KiB'>1024</memory><devices>` +
  `<disk type='file' device='disk'><driver type='qcow2'/><source file='${disk}'/><target dev='vda'/></disk>` +
  `${more}</devices></domain>`;
const web = (fields: Partial<Domain> = {}): Domain => ({
  uuid,
  name: 'web',
  state: 'running',
  persistent: true,
  autostart: false,
  saved: false,
  live: xml(),
  inactive: xml(),
  ...fields,
});
const { live: _live, ...definedOnly } = web({ state: 'shut off' });
const helper: Domain = { ...definedOnly, uuid: uuid.replaceAll('1', '2'), name: 'ferry-copy', inactive: '<domain/>' };

interface Shown {
  readonly domains?: readonly Domain[];
  readonly files?: readonly string[];
  readonly pools?: readonly string[];
}
const worldOf = (hosts: Readonly<Record<string, Shown>>): World =>
  new Map(
    Object.entries(hosts).map(([host, { domains = [], files = [], pools = [] }]): [string, HostWorld] => [
      host,
      {
        host,
        domains: new Map(domains.map((each) => [each.uuid, each])),
        secrets: new Map(),
        files: new Map(files.map((path) => [path, ''])),
        pools: new Map(pools.map((name) => [name, true])),
      },
    ]),
  );
const start = { host1: { domains: [web()], files: [disk] }, host2: {} };
const end = { host1: { files: [disk] }, host2: { domains: [web()], files: [disk] } };
const migration = (outcome: string, vmIsNow: NonNullable<MigrationJson['vmIsNow']>): MigrationJson => ({
  id: 'm1',
  kind: 'live',
  phase: outcome,
  phases: [],
  outcome,
  from: 'host1',
  to: 'host2',
  vmIsNow,
});
const succeeded = migration('succeeded', { host: 'host2', state: 'running' });
const failed = migration('failed', { host: 'host1', state: 'running' });
const move = (
  before: Readonly<Record<string, Shown>>,
  after: Readonly<Record<string, Shown>>,
  fields: Partial<Moved> = {},
): Moved => ({
  vm: { uuid, name: 'web' },
  options: [],
  migration: succeeded,
  before: worldOf(before),
  after: worldOf(after),
  leftBefore: [],
  left: [{ host: 'host1', path: disk }],
  alone: true,
  ...fields,
});

test('a move that did what it should breaks nothing', () => {
  assert.deepEqual(faultsOf(move(start, end)), []);
  assert.deepEqual(faultsOf(move(start, start, { migration: failed })), []);
});

const broken: readonly (readonly [what: string, moved: Moved, says: RegExp])[] = [
  ['two copies', move(start, { ...end, host1: start.host1 }), /^it is on host1 too$/],
  ['none', move(start, { ...end, host2: {} }), /^it is not on host2$|where it is absent$/],
  [
    'a state that is not so',
    move(start, { ...end, host2: { ...end.host2, domains: [web({ state: 'paused' })] } }),
    /^Ferry says that it is running on host2, where it is paused$/,
  ],
  [
    'a device that only the next start would miss',
    move({ ...start, host1: { ...start.host1, domains: [web({ inactive: xml('<rng model="virtio"/>') })] } }, end),
    /^the inactive definition: - .*rng/,
  ],
  [
    'autostart',
    move(start, { ...end, host2: { ...end.host2, domains: [web({ autostart: true })] } }),
    /^its autostart was false and is true$/,
  ],
  [
    'a file that nobody has',
    move(start, { ...end, host2: { ...end.host2, files: [disk, '/var/lib/libvirt/images/x'] } }),
    /images\/x, which nobody recorded$/,
  ],
  [
    'a helper and a pool',
    move(start, { ...end, host2: { ...end.host2, domains: [web(), helper], pools: ['ferry-look'] } }),
    /^the (domain ferry-copy|pool ferry-look) on host2, which nobody recorded$/,
  ],
  [
    'a file of others that is gone',
    move({ ...start, host2: { files: ['/var/lib/libvirt/images/theirs'] } }, end),
    /^host2:.*theirs is gone, which was not its own$/,
  ],
  [
    'a failed move that left its half',
    move(start, { ...start, host2: { domains: [web({ state: 'shut off' })] } }, { migration: failed }),
    /^it did not move, and is on host2$/,
  ],
  [
    'a failed move that took the VM',
    move(start, { host1: { files: [disk] }, host2: {} }, { migration: failed }),
    /is gone from host1$|where it is absent$/,
  ],
];
for (const [what, moved, says] of broken)
  test(`found: ${what}`, () => {
    const faults = faultsOf(moved);
    assert.ok(faults.length > 0, 'nothing was found');
    for (const fault of faults) assert.match(fault, says);
  });

test('what arrived shut off is to be started, and nothing else', () => {
  const off = (fields: Partial<Domain> = {}) =>
    move(start, { ...end, host2: { ...end.host2, domains: [{ ...definedOnly, ...fields }] } });
  assert.deepEqual(toStart(off()), { host: 'host2', uuid });
  assert.equal(toStart(off({ saved: true })), undefined);
  assert.equal(toStart(move(start, end)), undefined);
  assert.equal(toStart(move(start, start, { migration: failed })), undefined);
});
