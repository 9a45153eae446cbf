import assert from 'node:assert/strict';
// eslint-disable-next-line no-restricted-imports -- the page that shows the table
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { doctorTable } from '../model/doctor.ts';
import type { Host, HostFacts, HostView } from '../model/host.ts';
import { hostId } from '../model/ids.ts';
import { examine, type Examination, type HostExamined } from './doctor.ts';

const view = (name: string, facts: Partial<HostFacts> = {}, host: Partial<Host> = {}): HostView => ({
  host: {
    id: hostId(name),
    name,
    uri: `qemu+tls://${name}/system`,
    cluster: 'racks',
    machineUuid: name,
    addedAt: 0,
    ...host,
  },
  state: 'connected',
  facts: {
    hostname: name,
    machineUuid: name,
    libvirtVersion: '13.0.0',
    qemuVersion: '11.1.0',
    cpu: { arch: 'x86_64', model: 'EPYC', vendor: 'AMD', threads: 8 },
    memoryBytes: 1,
    ...facts,
  },
});
const pool = (name: string, active = true, path = `/pools/${name}`) => ({ name, path, active, availableBytes: 1 });
const nothing = { networks: new Map<string, boolean>(), filters: new Set<string>(), secrets: new Map() };
const examined = (of: HostView, more: Partial<HostExamined> = {}): HostExamined => ({ view: of, silent: [], ...more });
const day = 24 * 3_600_000;
const now = 1_000 * day;
const codes = (hosts: readonly HostExamined[], more: Partial<Examination> = {}): readonly string[] =>
  all(hosts, more).map(({ code, host, to, cluster }) => [code, host ?? cluster, to].filter(Boolean).join(' '));
const all = (hosts: readonly HostExamined[], more: Partial<Examination> = {}) =>
  examine({
    hosts,
    fleet: hosts.map((each) => each.view),
    clusters: new Map(),
    refusals: new Map(),
    now,
    ...more,
  });

test('hosts that are well: nothing is said', () => {
  assert.deepEqual(
    codes([
      examined(view('h1'), { pools: [pool('default')], resources: { ...nothing, networks: new Map([['lan', true]]) } }),
      examined(view('h2'), {
        pools: [pool('default')],
        resources: { ...nothing, networks: new Map([['lan', true]]) },
        clock: { aheadMs: 1_500, withinMs: 100 },
        certificateUntil: now + 31 * day,
      }),
    ]),
    [],
  );
});

test('a host alone: away, full, without QEMU or KVM, a name that leads nowhere, an old libvirt', () => {
  assert.deepEqual(codes([examined({ ...view('h1'), state: 'unreachable' })]), ['host-away h1']);
  assert.deepEqual(codes([examined(view('h1'), { full: 'it waits' })]), ['host-connections h1']);
  const { qemuVersion: _, ...without } = view('h1').facts ?? assert.fail();
  assert.deepEqual(codes([examined({ ...view('h1'), facts: without })]), ['host-qemu h1']);
  const guests = [{ arch: 'x86_64', emulator: '/q', machines: [], aliases: [], domainTypes: ['qemu'] }];
  assert.deepEqual(codes([examined(view('h1', { guests }))]), ['host-kvm h1']);
  assert.deepEqual(codes([examined(view('h1', { hostname: 'localhost.localdomain' }))]), ['host-name-local h1']);
  assert.deepEqual(codes([examined(view('h1'))], { fleet: [view('h1'), view('h2', { hostname: 'h1' })] }), [
    'host-name-shared h1',
  ]);
  assert.deepEqual(codes([examined(view('h1', {}, { uri: 'qemu:///system' }))]), ['host-uri-local h1']);
  const [defect] = all([examined(view('h1', { libvirtVersion: '11.3.0' }))]);
  const amd = { cpu: { arch: 'x86_64', model: 'EPYC', vendor: 'AMD', threads: 8 }, libvirtVersion: '12.4.0' };
  const ids = (facts: object) =>
    all([examined(view('h1', facts))]).map(({ message }) => /, ([a-z-]+)\)\.$/.exec(message)?.[1]);
  assert.deepEqual(ids({ ...amd, qemuVersion: '10.0.0' }), ['virtio-video-model']);
  assert.deepEqual(ids({ ...amd, qemuVersion: '10.1.0' }), ['amd-arch-capabilities', 'virtio-video-model']);
  assert.match(defect?.message ?? '', /libvirt 11\.3\.0 on h1: its daemon crashes when an interrupted post-copy/);
});

test('its migration address, its clock, its certificate, its pools, networks and secrets', () => {
  const racks = new Map([['racks', { name: 'racks', migrationNetwork: '10.1.0.0/16' }]]);
  assert.deepEqual(codes([examined(view('h1'))], { clusters: racks }), ['host-migration-address h1']);
  assert.deepEqual(codes([examined(view('h1', {}, { migrationAddress: '10.1.0.1' }))], { clusters: racks }), []);
  const [late] = all([examined(view('h1'), { clock: { aheadMs: -7_000, withinMs: 100 } })]);
  assert.deepEqual([late?.code, late?.verdict], ['host-clock', 'mend']);
  assert.match(late?.message ?? '', /7 s behind ours/);
  assert.deepEqual(
    codes([examined(view('h1'), { clock: { aheadMs: 3_000, withinMs: 2_000 } })]),
    [],
    'it is not exact',
  );
  const until = (ms: number) => all([examined(view('h1'), { certificateUntil: now + ms })])[0]?.message;
  assert.deepEqual(
    [until(3 * day), until(-day)],
    ['The certificate of h1 expires in 3 day(s).', 'The certificate of h1 has expired.'],
  );
  const secrets = new Map([
    ['uuid:u1', { uuid: 'u1', value: 'none' as const }],
    ['iscsi:x', { uuid: 'u1', value: 'none' as const }],
    ['uuid:u2', { uuid: 'u2', value: 'there' as const }],
  ]);
  assert.deepEqual(
    codes([
      examined(view('h1'), {
        pools: [pool('default', false)],
        resources: { ...nothing, networks: new Map([['lan', false]]), secrets },
        silent: [{ what: 'a question', why: 'late' }],
      }),
    ]),
    ['host-question-silent h1', 'pool-inactive h1', 'network-stopped h1', 'secret-empty h1'],
  );
});

test('within a cluster: other versions, CPUs and systems, and what one host lacks; other clusters do not count', () => {
  const one = examined(view('h1', {}, { labels: ['os=debian-12'] }), {
    pools: [pool('default')],
    resources: { ...nothing, networks: new Map([['lan', true]]) },
  });
  const two = (cluster: string) =>
    examined(
      view(
        'h2',
        { qemuVersion: '10.0.0', cpu: { arch: 'x86_64', model: 'Opteron', vendor: 'AMD', threads: 8 } },
        { cluster, labels: ['os=debian-13'] },
      ),
      { pools: [pool('fast')], resources: nothing },
    );
  assert.deepEqual(codes([one, two('racks')]), [
    'cluster-versions racks',
    'cluster-cpus racks',
    'cluster-systems racks',
    'pool-not-everywhere h1',
    'pool-not-everywhere h2',
    'network-not-everywhere h2',
  ]);
  assert.deepEqual(codes([one, two('others')]), []);
  assert.deepEqual(
    codes([examined(view('h1'), { pools: [pool('a')] }), examined(view('h2'), { pools: [pool('a', true, '/x')] })]),
    ['pool-elsewhere h2'],
  );
});

test('a daemon that did not reach another is told for that pair, and not for a host that is not examined', () => {
  const refusals = new Map([
    [
      hostId('h1'),
      new Map([
        [hostId('h2'), 'no route.'],
        [hostId('h3'), 'no route.'],
      ]),
    ],
  ]);
  const [found, ...more] = all([examined(view('h1')), examined(view('h2'))], { refusals });
  assert.deepEqual([found?.code, found?.host, found?.to, more], ['pair-not-reached', 'h1', 'h2', []]);
  assert.match(found?.message ?? '', /no route\. Ferry drives/);
});

test('the page of hosts and the table are in step', () => {
  const page = readFileSync(new URL('../../../../docs/hosts.md', import.meta.url), 'utf8');
  const shown = [...page.matchAll(/^\| `((?:host|pool|network|secret|pair|cluster)-[a-z-]+)` \| (\w+) \| (.+) \|$/gm)];
  assert.deepEqual(
    shown.map(([, code, verdict, meaning]) => `${code} ${verdict} ${meaning}`),
    Object.entries(doctorTable).map(([code, { verdict, meaning }]) => `${code} ${verdict} ${meaning}`),
  );
});
