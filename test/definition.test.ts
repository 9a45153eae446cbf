/**
 * The definition on its way, on real hosts: names of networks, pools, paths and consoles that differ, what the target
 * lacks, local images of drives, the operator's own definition, other clusters; and that everything else arrives as it
 * was.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { execCommand, run, virsh, vmCreate, waitFor } from '@ferry/lab';
import { withFleet, type Fleet, type MigrationJson } from './fleet.ts';

let fleet: Fleet;
const folder = '/var/lib/libvirt/elsewhere';
const iso = '/var/lib/libvirt/images/seed.iso';

const networkXml = (name: string): string =>
  `<network><name>${name}</name><forward mode='bridge'/><bridge name='br0'/></network>`;
const makeNetwork = (host: string, name: string): Promise<string> =>
  fleet.sh(
    host,
    `echo "${networkXml(name)}" >/tmp/net.xml; virsh -q net-define /tmp/net.xml; virsh -q net-start ${name}`,
  );

withFleet(async (made) => {
  fleet = made;
  await makeNetwork('host1', 'lan');
  await makeNetwork('host2', 'uplink');
  await fleet.sh('host2', `mkdir -p ${folder}; virsh -q pool-create-as elsewhere dir --target ${folder}`);
  await vmCreate(made.lab, { name: 'guest', host: 'host1', disk: 'local', workload: 'disk', until: 'defined' });
  const xml = await inactive('host1');
  const changed = xml
    .replace("<interface type='bridge'>", "<interface type='network'>")
    .replace("<source bridge='br0'/>", "<source network='lan'/>")
    .replace(
      '</devices>',
      "  <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>\n  <video><model type='vga'/></video>\n</devices>",
    )
    .replace('<devices>', '<!-- by hand --><devices>');
  await redefine('host1', changed);
  await virsh(made.lab, 'host1', ['start', 'guest']);
  await fleet.seen('guest', 'running');
});

const inactive = (host: string): Promise<string> =>
  virsh(fleet.lab, host, ['dumpxml', '--inactive', '--security-info', 'guest']);
const redefine = (host: string, xml: string): Promise<string> =>
  run(execCommand(fleet.lab, host, ['bash', '-ec', 'cat >/tmp/define.xml; virsh -q define /tmp/define.xml']), {
    input: xml,
  });
/** What Ferry adds to the VM: its marker in the metadata. */
const withoutMark = (xml: string): string =>
  xml.replace(/\n? *<metadata>\s*<ferry:[\s\S]*?<\/metadata>/, '').replace(/\n? *<ferry:[^\n]*\/>/, '');
const there = ['--map-network', 'lan=uplink', '--map-pool', 'default=elsewhere', '--graphics-listen', '0.0.0.0'];
const back = [
  '--map-network',
  'uplink=lan',
  '--map-path',
  `${folder}=/var/lib/libvirt/images`,
  '--graphics-listen',
  '127.0.0.1',
];
const refusal = async (...options: readonly string[]): Promise<string> => {
  const ran = await fleet.plane.ferry('vm', 'migrate', 'guest', ...options);
  assert.equal(ran.code, 4, ran.stderr + ran.stdout);
  return ran.stderr;
};

test('a missing network, and maps that lead nowhere: each is named with its remedy; nothing is changed', async () => {
  assert.match(
    await refusal('--to', 'host2'),
    /host2 has no network lan, which guest needs\..*--map-network lan=NAME \(host2 has: uplink\)/s,
  );
  assert.match(await refusal('--to', 'host2', '--map-network', 'lan=nosuch'), /host2 has no network nosuch/);
  assert.match(
    await refusal('--to', 'host2', '--map-network', 'lan=uplink', '--map-pool', 'default=nosuch'),
    /host2 has no pool of files named nosuch.*elsewhere/s,
  );
  assert.match(
    await refusal('--to', 'host2', '--map-network', 'lan=uplink', '--map-path', '/var/lib/libvirt/images=/nowhere'),
    /host2 has no storage pool for \/nowhere/,
  );
  assert.equal(await fleet.state('host1', 'guest'), 'running');
  assert.equal(await fleet.state('host2', 'guest'), 'absent');
});

test("a copy of a disk under way: the plan refuses in libvirt's words, with every host, and leaves nothing behind", async () => {
  const plan = async () => {
    const { code, stdout } = await fleet.plane.ferry('vm', 'plan', 'guest', '--to', 'host2', ...there, '-o', 'json');
    const said = JSON.parse(stdout) as {
      readonly reasons?: readonly { readonly code: string; readonly message: string }[];
      readonly hosts: readonly { readonly host: string; readonly verdict: string }[];
    };
    return { exit: code, ...said };
  };
  assert.equal((await plan()).exit, 0);
  const copy = '/var/lib/libvirt/images/copy.qcow2';
  await virsh(fleet.lab, 'host1', ['blockcopy', 'guest', 'vda', '--dest', copy, '--transient-job']);
  try {
    const { exit, reasons = [], hosts } = await plan();
    assert.deepEqual([exit, reasons.map((each) => each.code)], [4, ['source-refuses']]);
    assert.match(reasons[0]?.message ?? '', /domain has active block job/);
    assert.deepEqual(
      hosts.map(({ host }) => host),
      ['host2'],
    );
    const shown = await fleet.plane.ferry('vm', 'plan', 'guest', '--to', 'host2', ...there);
    assert.match(shown.stdout, /host2/, 'the table of hosts');
    assert.match(shown.stderr, /active block job/);
  } finally {
    await virsh(fleet.lab, 'host1', ['blockjob', 'guest', 'vda', '--abort']);
    await fleet.sh('host1', `rm ${copy}`);
  }
  assert.equal((await plan()).exit, 0);
  assert.match(await virsh(fleet.lab, 'host1', ['domjobinfo', 'guest']), /None/);
});

test('the doctor finds what one host has and the other does not, and that clocks and connections are well', async () => {
  const { code, stdout } = await fleet.plane.ferry('host', 'doctor', '-o', 'json');
  const { hosts, findings } = JSON.parse(stdout) as {
    readonly hosts: readonly string[];
    readonly findings: readonly { readonly code: string; readonly verdict: string; readonly host?: string }[];
  };
  assert.deepEqual([code, hosts], [0, ['host1', 'host2']], stdout);
  const found = findings.map((each) => `${each.code} ${each.host ?? ''}`);
  for (const each of ['pool-not-everywhere host1', 'network-not-everywhere host1', 'network-not-everywhere host2'])
    assert.ok(found.includes(each), `${each}: ${stdout}`);
  assert.equal(await fleet.sh('host1', 'ls /var/lib/libvirt/*/ | grep ferry-proof || true'), '', 'nothing is left');
});

test('a network that carries smaller frames there is told before the move, with both values', async () => {
  const warnings = async () =>
    (
      await fleet.plane.json<{ warnings: readonly string[] }>(
        ...(['vm', 'migrate', 'guest', '--to', 'host2', '--dry-run'] as const),
        ...there,
      )
    ).warnings;
  assert.deepEqual(await warnings(), []);
  const bridge = /bridge name='(\S+)'/.exec(await virsh(fleet.lab, 'host2', ['net-dumpxml', 'uplink']))?.[1] ?? '';
  await fleet.sh('host2', `ip link set ${bridge} mtu 1400`);
  try {
    assert.deepEqual(await warnings(), [
      'The MTU of uplink on host2 is 1400, and lan on host1 has one of 1500: larger frames are lost there.',
    ]);
  } finally {
    await fleet.sh('host2', `ip link set ${bridge} mtu 1500`);
  }
});

test('names are shown before the move and changed by it; the rest arrives as it was, and comes back', async () => {
  const before = await inactive('host1');
  const planned = await fleet.plane.json<{ diff: readonly string[]; disks: readonly { targetPath?: string }[] }>(
    'vm',
    'migrate',
    'guest',
    '--to',
    'host2',
    ...there,
    '--dry-run',
  );
  const changes = planned.diff.map((line) => line.replace(/^([-+])\s+/, '$1'));
  assert.equal(planned.diff.length, 8, planned.diff.join('\n'));
  assert.ok(changes.includes("-<source network='lan'/>") && changes.includes("+<source network='uplink'/>"));
  assert.ok(changes.some((line) => line.startsWith(`+<source file='${folder}/guest.qcow2'`)));
  assert.equal(await inactive('host1'), before, 'showing it touches nothing');

  const moved = await fleet.move('guest', '--to', 'host2', ...there);
  assert.equal(moved.outcome, 'succeeded');
  const arrived = await inactive('host2');
  const expected = before
    .replace("network='lan'", "network='uplink'")
    .replace('/var/lib/libvirt/images/guest.qcow2', `${folder}/guest.qcow2`)
    .replaceAll("'127.0.0.1'", "'0.0.0.0'");
  assert.equal(withoutMark(arrived), withoutMark(expected));
  assert.match(await fleet.sh('host2', `ls ${folder}`), /guest\.qcow2/);

  for (const [to, map] of [
    ['host1', back],
    ['host2', there],
    ['host1', back],
  ] as const)
    assert.equal((await fleet.move('guest', '--to', to, ...map, '--direct')).outcome, 'succeeded');
  assert.equal(withoutMark(await inactive('host1')), withoutMark(before));
});

const byTheCluster = [/^the (inactive|live) definition: /, "the cluster's maps change it"] as const;

test('what a cluster says holds for every VM that comes in', async () => {
  await fleet.plane.json('cluster', 'set', 'east', ...there);
  await fleet.plane.json('host', 'set', 'host2', '--cluster', 'east');
  assert.match(await refusal('--to', 'host2'), /belongs to the cluster east.*--to-cluster east/s);
  const ran = await fleet.plane.ferry('cluster', 'remove', 'east');
  assert.match(ran.stderr, /1 host\(s\) belong to the cluster east: host2/);
  const { differences } = await fleet.plane.json<{ differences: readonly string[] }>(
    'vm',
    'migrate',
    'guest',
    '--to-cluster',
    'east',
    '--dry-run',
  );
  assert.deepEqual(differences, [
    'maps for what comes in: none in default, lan = uplink, default = elsewhere, consoles on 0.0.0.0 in east',
  ]);
  fleet.accept(...byTheCluster);
  assert.equal((await fleet.move('guest', '--to-cluster', 'east')).to, 'host2');
  assert.equal((await fleet.move('guest', '--to-cluster', 'default', ...back)).to, 'host1');
});

test('shut off: its disk goes to the mapped pool, its definition says so', async () => {
  await virsh(fleet.lab, 'host1', ['destroy', 'guest']);
  await fleet.seen('guest', 'shut-off');
  fleet.accept(...byTheCluster);
  const moved = await fleet.move('guest', '--to-cluster', 'east', '--auto-start');
  assert.deepEqual([moved.how, moved.vmIsNow], ['helper', { host: 'host2', state: 'running' }]);
  assert.match(await inactive('host2'), new RegExp(`${folder}/guest\\.qcow2`));
  assert.equal((await fleet.move('guest', '--to-cluster', 'default', ...back)).outcome, 'succeeded');
  await fleet.plane.json('host', 'set', 'host2', '--cluster', 'default');
  await fleet.plane.json('cluster', 'remove', 'east');
});

test("the operator's own definition: well-formed and of this VM, or refused; it is what the target has then", async () => {
  const own = (name: string, xml: string): string => {
    const file = join(fleet.plane.dataDir, name);
    writeFileSync(file, xml);
    return file;
  };
  const good = (await inactive('host1'))
    .replace("network='lan'", "network='uplink'")
    .replace('/var/lib/libvirt/images/guest.qcow2', `${folder}/guest.qcow2`);
  const bad: readonly (readonly [name: string, xml: string, says: RegExp])[] = [
    ['half', good.slice(0, -20), /cannot be read: not (well-formed|one complete root element)/],
    ['entity', `<!DOCTYPE d [<!ENTITY a "b">]>${good}`, /cannot be read: not well-formed/],
    ['deep', '<a>'.repeat(5_000), /cannot be read: elements are nested too deeply/],
    [
      'other',
      good.replace(/<uuid>.*<\/uuid>/, '<uuid>11111111-1111-4111-8111-111111111111</uuid>'),
      /is of guest \(11111111-.*not of guest/,
    ],
    ['renamed', good.replace('<name>guest</name>', '<name>other</name>'), /is of other/],
    ['diskless', good.replace(/<disk [\s\S]*?<\/disk>/, ''), /has no disk vda/],
  ];
  for (const [name, xml, says] of bad) assert.match(await refusal('--to', 'host2', '--xml', own(name, xml)), says);
  const moved = await fleet.move(
    'guest',
    '--to',
    'host2',
    '--xml',
    own('good', good.replace('<on_crash>destroy', '<on_crash>restart')),
  );
  assert.equal(moved.outcome, 'succeeded');
  assert.match(await inactive('host2'), /<on_crash>restart/);
  assert.equal((await fleet.move('guest', '--to', 'host1', ...back)).outcome, 'succeeded');
});

test('networks, filters and secrets that the target lacks: refused, or made when asked, and taken back when the move fails', async () => {
  await virsh(fleet.lab, 'host1', ['destroy', 'guest']);
  const secret = '22222222-2222-4222-8222-222222222222';
  const filterXml = "<filter name='guard'><rule action='accept' direction='in'><all/></rule></filter>";
  const usage = "<usage type='volume'><volume>/x</volume></usage>";
  const secretXml = `<secret ephemeral='no' private='no'><uuid>${secret}</uuid>${usage}</secret>`;
  await fleet.sh(
    'host1',
    `echo "${filterXml}" >/tmp/f.xml; virsh -q nwfilter-define /tmp/f.xml
    echo "${secretXml}" >/tmp/s.xml; virsh -q secret-define /tmp/s.xml
    virsh -q secret-set-value ${secret} $(echo hush | base64) 2>/dev/null`,
  );
  const plain = await inactive('host1');
  // the secret of a second, empty encrypted image: only its name matters, since the VM is moved shut off by its
  // definition
  await redefine(
    'host1',
    plain
      .replace(/(<source network='lan'[^>]*\/>)/, "$1\n      <filterref filter='guard'/>")
      .replace(
        '</devices>',
        `<tpm model='tpm-crb'><backend type='emulator' version='2.0'><encryption secret='${secret}'/></backend></tpm></devices>`,
      ),
  );
  await fleet.seen('guest', 'shut-off');
  const refused = await refusal('--to', 'host2', '--kind', 'configuration', '--keep-source');
  for (const what of ['network lan', 'network filter guard', `secret uuid:${secret}`])
    assert.match(refused, new RegExp(`host2 has no ${what}`));
  fleet.accept(/does not start on host2/, 'its disk stayed on host1');
  await fleet.plane.json(
    'vm',
    'migrate',
    'guest',
    '--to',
    'host2',
    '--kind',
    'configuration',
    '--keep-source',
    '--create-missing',
  );
  assert.match(await fleet.sh('host2', 'virsh -q net-list --name; virsh -q nwfilter-list'), /lan[\s\S]*guard/);
  assert.equal((await fleet.sh('host2', `virsh -q secret-get-value ${secret} | base64 -d`)).trim(), 'hush');
  await fleet.sh(
    'host2',
    'virsh -q undefine guest --tpm 2>/dev/null || virsh -q undefine guest; virsh -q net-destroy lan; ' +
      `virsh -q net-undefine lan; virsh -q nwfilter-undefine guard; virsh -q secret-undefine ${secret}`,
  );
  // another VM of this name there: refused before anything is made
  const taken = (await inactive('host1')).replace(
    /<uuid>.*<\/uuid>/,
    '<uuid>33333333-3333-4333-8333-333333333333</uuid>',
  );
  await redefine(
    'host2',
    taken
      .replace(/<tpm[\s\S]*<\/tpm>/, '')
      .replace(/ *<filterref[^\n]*/, '')
      .replace("network='lan'", "network='uplink'"),
  );
  const uuid = /<uuid>(.*)<\/uuid>/.exec(plain)?.[1] ?? '';
  const twoGuests = async (): Promise<true | undefined> =>
    (await fleet.plane.json<readonly { name: string }[]>('vm', 'list')).filter(({ name }) => name === 'guest')
      .length === 2
      ? true
      : undefined;
  await waitFor('the control plane to see both guests', twoGuests, { timeoutMs: 10_000 });
  const inTheWay = await fleet.plane.ferry(
    'vm',
    'migrate',
    uuid,
    '--to',
    'host2',
    '--kind',
    'configuration',
    '--create-missing',
  );
  assert.equal(inTheWay.code, 4, inTheWay.stdout);
  assert.match(inTheWay.stderr, /host2 has another VM named guest \(33333333-.*virsh domrename guest/s);
  const made = async (): Promise<string> =>
    (await fleet.sh('host2', 'virsh -q net-list --all --name; virsh -q nwfilter-list; virsh -q secret-list'))
      .replace('uplink', '')
      .trim();
  assert.equal(await made(), '');
  await virsh(fleet.lab, 'host2', ['undefine', 'guest']);
  // a definition that libvirt cannot keep on the target: what was made is gone again
  await fleet.sh('host2', 'mkdir /etc/libvirt/qemu/guest.xml.new');
  const failed = await fleet.plane.ferry(
    'vm',
    'migrate',
    uuid,
    '--to',
    'host2',
    '--kind',
    'configuration',
    '--create-missing',
    '-o',
    'json',
  );
  assert.equal((JSON.parse(failed.stdout) as MigrationJson).outcome, 'failed', failed.stdout);
  assert.equal(await made(), '');
  await fleet.sh('host2', 'rmdir /etc/libvirt/qemu/guest.xml.new');
  await redefine('host1', plain);
  await virsh(fleet.lab, 'host1', ['start', 'guest']);
  await fleet.seen('guest', 'running');
});

test(
  'what ties a guest to its host: shared folders and memory while it runs, folders, files and secrets that ' +
    'the target lacks when it does not',
  async () => {
    await virsh(fleet.lab, 'host1', ['destroy', 'guest']);
    const plain = await inactive('host1');
    const with_ = (devices: string, os = ''): string =>
      plain.replace('</devices>', `${devices}</devices>`).replace('</os>', `${os}</os>`);
    const refusedBefore = async (xml: string, says: RegExp, ...options: readonly string[]): Promise<void> => {
      await redefine('host1', xml);
      assert.match(await refusal('--to', 'host2', ...there, ...options), says);
      assert.equal(await fleet.state('host2', 'guest'), 'absent');
    };
    await fleet.sh(
      'host1',
      'mkdir -p /var/lib/libvirt/data /var/lib/libvirt/both; echo x >/var/lib/libvirt/data/table.dsl',
    );
    await fleet.sh('host2', 'mkdir -p /var/lib/libvirt/both');
    const share = (path: string): string =>
      `<filesystem type='mount' accessmode='passthrough'><source dir='${path}'/><target dir='data'/></filesystem>`;
    await refusedBefore(
      with_(share('/var/lib/libvirt/data')),
      /host2 has no \/var\/lib\/libvirt\/data \(folder shared as data\), which guest needs to start/,
    );
    await refusedBefore(
      with_('', '<acpi><table type="slic">/var/lib/libvirt/data/table.dsl</table></acpi>'),
      /host2 has no \/var\/lib\/libvirt\/data\/table\.dsl \(ACPI table\)/,
    );
    await redefine('host1', with_(share('/var/lib/libvirt/both')));
    const { unchecked } = await fleet.plane.json<{ unchecked: readonly string[] }>(
      'vm',
      'migrate',
      'guest',
      '--to',
      'host2',
      ...there,
      '--dry-run',
    );
    assert.deepEqual(unchecked, [
      'Ferry cannot tell whether /var/lib/libvirt/both on host2 holds the same (folder shared as data).',
    ]);
    // while it runs
    await redefine(
      'host1',
      with_(
        `${share('/var/lib/libvirt/both')}<shmem name='peers'><model type='ivshmem-plain'/><size unit='M'>4</size></shmem>`,
      ),
    );
    await virsh(fleet.lab, 'host1', ['start', 'guest']);
    await fleet.seen('guest', 'running');
    const told = await refusal('--to', 'host2', ...there);
    assert.match(
      told,
      /guest has a folder of its host \(\/var\/lib\/libvirt\/both, by 9p\), with which QEMU moves no running guest.*move it cold/s,
    );
    assert.match(told, /guest has shared memory of its host \(peers, ivshmem-plain\)/);
    assert.equal(await fleet.state('host1', 'guest'), 'running');
    await virsh(fleet.lab, 'host1', ['destroy', 'guest']);
    await fleet.seen('guest', 'shut-off');

    const secret = '44444444-4444-4444-8444-444444444444';
    const define = (host: string, uuid: string, isPrivate: boolean): Promise<string> =>
      fleet.sh(
        host,
        `echo "<secret ephemeral='no' private='${isPrivate ? 'yes' : 'no'}'><uuid>${uuid}</uuid><usage ` +
          `type='volume'><volume>/y</volume></usage></secret>" >/tmp/s.xml; virsh -q secret-define /tmp/s.xml`,
      );
    const encrypted = with_(
      `<tpm model='tpm-crb'><backend type='emulator' version='2.0'><encryption secret='${secret}'/></backend></tpm>`,
    );
    await define('host1', secret, true);
    await fleet.sh('host1', `virsh -q secret-set-value ${secret} $(echo hush | base64) 2>/dev/null`);
    await refusedBefore(
      encrypted,
      /The secret uuid:4{8}\S* is private on host1: its value cannot be read, so it cannot be made on host2/,
      '--create-missing',
    );
    await define('host2', '55555555-5555-4555-8555-555555555555', false);
    await refusedBefore(
      encrypted,
      /host2 has another secret \(5{8}\S*\) for volume:\/y, and takes only one/,
      '--create-missing',
    );
    await fleet.sh('host2', 'virsh -q secret-undefine 55555555-5555-4555-8555-555555555555');
    await define('host2', secret, false);
    await refusedBefore(encrypted, /The secret uuid:4{8}\S* on host2 has no value/);
    for (const host of ['host1', 'host2']) await fleet.sh(host, `virsh -q secret-undefine ${secret}`);
    await redefine('host1', plain);
    await virsh(fleet.lab, 'host1', ['start', 'guest']);
    await fleet.seen('guest', 'running');
  },
);

test(
  'both definitions: what only the next start has is refused by name where the target lacks it, and ' +
    'arrives where it does not',
  async () => {
    const images = '/var/lib/libvirt/images';
    const shared = '/var/lib/libvirt/shared/later.qcow2';
    const live = (host: string): Promise<string> => virsh(fleet.lab, host, ['dumpxml', '--security-info', 'guest']);
    const sourcesIn = (xml: string): readonly string[] =>
      [...xml.matchAll(/<source (?:file|network)='([^']*)'/g)].map(([, name]) => name ?? '');
    const detach = (host: string, what: string): Promise<string> =>
      virsh(fleet.lab, host, ['detach-disk', 'guest', what, '--config']);
    await fleet.sh(
      'host1',
      `qemu-img create -q -f qcow2 ${images}/later.qcow2 8M; qemu-img create -q -f qcow2 ${shared} 8M`,
    );
    // another VM's disk at that place of the target
    await fleet.sh(
      'host2',
      `qemu-img create -q -f qcow2 ${images}/later.qcow2 8M; qemu-io -c 'write -q -P 0x77 0 1M' ${images}/later.qcow2`,
    );
    const attach = (path: string, target: string, more: readonly string[] = []): Promise<string> =>
      virsh(fleet.lab, 'host1', [
        'attach-disk',
        'guest',
        path,
        target,
        '--driver',
        'qemu',
        '--subdriver',
        'qcow2',
        '--config',
        ...more,
      ]);
    const map = ['--map-network', 'lan=uplink', '--graphics-listen', '0.0.0.0'];
    const plain = await inactive('host1');

    await attach(`${images}/later.qcow2`, 'vdb');
    const told = await refusal('--to', 'host2', ...map);
    assert.match(
      told,
      /guest's disk vdb \(\/var\/lib\/libvirt\/images\/later\.qcow2\) is in its definition for the next/,
    );
    assert.match(told, / for the next start only, and host2 does not have it.*virsh detach-disk guest vdb --config/s);
    assert.equal(await fleet.state('host2', 'guest'), 'absent');
    await detach('host1', 'vdb');
    // another network, and a disk that both hosts have
    await virsh(fleet.lab, 'host1', [
      'attach-interface',
      'guest',
      'network',
      'lan',
      '--mac',
      '52:54:00:aa:bb:cc',
      '--config',
    ]);
    await attach(shared, 'vdb');
    // a disk that only the running guest has
    await fleet.sh('host1', `qemu-img create -q -f qcow2 ${images}/now.qcow2 8M`);
    await virsh(fleet.lab, 'host1', [
      'attach-disk',
      'guest',
      `${images}/now.qcow2`,
      'vdc',
      '--driver',
      'qemu',
      '--subdriver',
      'qcow2',
      '--live',
    ]);
    const before = { live: sourcesIn(await live('host1')), next: await inactive('host1') };
    const planned = await fleet.plane.json<{ disks: readonly { target: string; how: string; when?: string }[] }>(
      'vm',
      'migrate',
      'guest',
      '--to',
      'host2',
      ...there,
      '--dry-run',
    );
    assert.deepEqual(
      planned.disks.map(({ target, how, when }) => [target, how, when]),
      [
        ['vda', 'copy', undefined],
        ['vdc', 'copy', 'now'],
        ['vdb', 'shared', 'next-start'],
      ],
    );
    for (const mode of ['--peer-to-peer', '--direct']) {
      assert.equal((await fleet.move('guest', '--to', 'host2', ...there, mode)).outcome, 'succeeded');
      const mapped = (text: string): string =>
        text
          .replaceAll("network='lan'", "network='uplink'")
          .replaceAll(`${images}/`, `${folder}/`)
          .replaceAll("'127.0.0.1'", "'0.0.0.0'");
      assert.deepEqual(
        sourcesIn(await live('host2')),
        before.live.map((name) => (name === 'lan' ? 'uplink' : name.replace(images, folder))),
      );
      assert.equal(withoutMark(await inactive('host2')), withoutMark(mapped(before.next)));
      assert.equal((await fleet.move('guest', '--to', 'host1', ...back, mode)).outcome, 'succeeded');
      assert.deepEqual(
        [sourcesIn(await live('host1')), withoutMark(await inactive('host1'))],
        [before.live, withoutMark(before.next)],
      );
    }
    // the same device, with another image for the next start
    await virsh(fleet.lab, 'host1', ['detach-disk', 'guest', 'vdc', '--live']);
    await detach('host1', 'vdb');
    await virsh(fleet.lab, 'host1', ['detach-interface', 'guest', 'network', '--mac', '52:54:00:aa:bb:cc', '--config']);
    await redefine('host1', plain.replace(`${images}/guest.qcow2`, shared));
    assert.equal((await fleet.move('guest', '--to', 'host2', ...there)).outcome, 'succeeded');
    assert.deepEqual(
      [sourcesIn(await live('host2'))[0], sourcesIn(await inactive('host2'))[0]],
      [`${folder}/guest.qcow2`, shared],
    );
    assert.equal((await fleet.move('guest', '--to', 'host1', ...back)).outcome, 'succeeded');
    assert.deepEqual(
      [sourcesIn(await live('host1'))[0], sourcesIn(await inactive('host1'))[0]],
      [`${images}/guest.qcow2`, shared],
    );
    await redefine('host1', plain);
    assert.match(
      await fleet.sh('host2', `qemu-io -r -c 'read -P 0x77 0 1M' ${images}/later.qcow2`),
      /^read 1048576/m,
      "the other VM's disk is as it was",
    );
  },
);

test('a local image in a drive: refused, copied when asked, or the drive arrives empty', async () => {
  await fleet.sh('host1', `head -c 3000000 /dev/urandom >${iso}`);
  await virsh(fleet.lab, 'host1', ['destroy', 'guest']);
  const plain = await inactive('host1');
  await redefine(
    'host1',
    plain.replace(
      '</devices>',
      `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='${iso}'/><target ` +
        `dev='sda' bus='sata'/><readonly/></disk></devices>`,
    ),
  );
  await virsh(fleet.lab, 'host1', ['start', 'guest']);
  await fleet.seen('guest', 'running');
  await waitFor(
    'the control plane to see the drive',
    async () =>
      (await fleet.plane.json<{ disks: readonly object[] }>('vm', 'show', 'guest')).disks.length === 2 || undefined,
    { timeoutMs: 15_000 },
  );
  assert.match(
    await refusal('--to', 'host2', ...there),
    /disk sda \(.*seed\.iso\) is read-only and not on host2.*--copy-media, eject it with --eject-media/s,
  );
  assert.equal((await fleet.move('guest', '--to', 'host2', ...there, '--copy-media')).outcome, 'succeeded');
  const [here, copied] = await Promise.all([
    fleet.sh('host1', `sha256sum <${iso}`),
    fleet.sh('host2', `sha256sum <${folder}/seed.iso`),
  ]);
  assert.equal(copied, here);
  const ejected = await fleet.move('guest', '--to', 'host1', ...back, '--eject-media');
  assert.equal(ejected.outcome, 'succeeded');
  assert.doesNotMatch(await inactive('host1'), /seed\.iso/);
  assert.match(await virsh(fleet.lab, 'host1', ['domblklist', 'guest']), /sda\s+-/);
});

test('a host outside of the fleet, by its URI: checked first, known as long as it is needed', async () => {
  await fleet.plane.json('host', 'remove', 'host2');
  // with the host Ferry has forgotten what it left there
  await fleet.sh('host2', `rm -f ${folder}/guest.qcow2`);
  const uri = fleet.temporary.status.hosts.find(({ name }) => name === 'host2')?.uri ?? assert.fail('no host2');
  assert.match(await refusal('--to-uri', uri, '--copy-media'), /host2 has no network lan/);
  const unreachable = await fleet.plane.ferry(
    'vm',
    'migrate',
    'guest',
    '--to-uri',
    uri.replace('/system', ':9/system'),
  );
  assert.equal(unreachable.code, 7, unreachable.stderr);
  const moved = await fleet.move('guest', '--to-uri', uri, ...there);
  assert.equal(moved.outcome, 'succeeded');
  assert.equal(await fleet.state('host2', 'guest'), 'running');
  await waitFor(
    'the host to be forgotten',
    async () => ((await fleet.plane.json<readonly object[]>('host', 'list')).length === 1 ? true : undefined),
    { timeoutMs: 10_000 },
  );
});
