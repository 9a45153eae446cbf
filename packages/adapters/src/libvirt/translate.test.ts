import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ConnectError,
  ConnectionLostError,
  InvalidArgumentError,
  LibvirtError,
  LibvirtUriError,
  VIR_DOMAIN_STATE,
} from '@ferry/libvirt';
import { describeDefinition } from './definitions.ts';
import { helperXml } from './power.ts';
import { withoutNamedWatchdog } from './snapshots.ts';
import { callFailure, connectFailure } from './failure.ts';
import { backingOf, fileFactsOf, poolOf, sizesOf, volumeOf, volumeXml } from './storage-xml.ts';
import { cardAddressOf, definitionOf, factsOf, linkSpeedOf, stateOf } from './translate.ts';
import { vmUuid } from '@ferry/core';

const domain = (devices: string, os = ''): string =>
  `<domain type='kvm'><name>a</name><memory unit='KiB'>2048</memory><vcpu current='2'>4</vcpu><os>` +
  `<type>hvm</type>${os}</os><devices>${devices}</devices></domain>`;

test('states and the reasons that decisions depend on; what libvirt may invent is not taken for something else', () => {
  assert.deepEqual(stateOf(VIR_DOMAIN_STATE.RUNNING, 2), { state: 'running', reason: 'migrated' });
  assert.deepEqual(stateOf(VIR_DOMAIN_STATE.PAUSED, 2), { state: 'paused', reason: 'migration' });
  assert.deepEqual(stateOf(VIR_DOMAIN_STATE.PAUSED, 12), { state: 'paused', reason: 'post-copy' });
  assert.deepEqual(stateOf(VIR_DOMAIN_STATE.SHUTOFF, 4), { state: 'shut-off', reason: 'migrated' });
  assert.deepEqual(stateOf(99, 99), { state: 'no-state', reason: 'other' });
});

test('disks of every type', () => {
  const { disks, memoryBytes, vcpus } = definitionOf(
    domain(`
      <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a&amp;b.qcow2'/><target dev='vda'/></disk>
      <disk type='block'><source dev='/dev/sdb'/><target dev='vdb'/></disk>
      <disk type='network' device='disk'><source protocol='rbd' name='pool/img'/><target dev='vdc'/></disk>
      <disk type='volume' device='disk'><source pool='default' volume='v'/><target dev='vdd'/></disk>
      <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>`),
  );
  assert.deepEqual([memoryBytes, vcpus], [2_097_152, 2]);
  assert.deepEqual(
    disks.map(({ target, device, source, readOnly }) => [target, device, source, readOnly]),
    [
      ['vda', 'disk', '/a&b.qcow2', false],
      ['vdb', 'disk', '/dev/sdb', false],
      ['vdc', 'disk', 'rbd:pool/img', false],
      ['vdd', 'disk', 'default/v', false],
      ['sda', 'cdrom', undefined, true],
    ],
  );
});

test('what names the same storage on every host, and what only looks like it', () => {
  const identity = (disk: string) => describeDefinition(domain(disk)).disks[0]?.identity;
  assert.equal(
    identity(
      "<disk type='network'><source protocol='nbd' name='x'><host name='10.0.0.1' port='10809'/></source><target dev='vda'/></disk>",
    ),
    'nbd:10.0.0.1:10809/x',
  );
  assert.equal(
    identity(
      "<disk type='network'><source protocol='nbd' name='x'><host name='localhost' port='10809'/></source><target dev='vda'/></disk>",
    ),
    undefined,
  );
  assert.equal(
    identity(
      "<disk type='network'><source protocol='nbd' name='x'><host transport='unix' socket='/s'/></source><target dev='vda'/></disk>",
    ),
    undefined,
  );
  assert.equal(
    identity("<disk type='block'><source dev='/dev/disk/by-id/wwn-0x5000c500a1b2c3d4'/><target dev='vda'/></disk>"),
    'wwn-0x5000c500a1b2c3d4',
  );
  assert.equal(identity("<disk type='block'><source dev='/dev/sdb'/><target dev='vda'/></disk>"), undefined);
  assert.equal(
    identity("<disk type='block'><source dev='/dev/disk/by-path/pci-0'/><target dev='vda'/></disk>"),
    undefined,
  );
});

test('devices of the host and UEFI variables are seen in a definition', () => {
  const facts = describeDefinition(
    domain(
      "<hostdev mode='subsystem' type='pci'/><interface type='hostdev'/><interface type='bridge'/>",
      '<nvram>/n</nvram>',
    ),
  );
  assert.deepEqual([facts.hardware.devices.length, facts.nvram], [2, true]);
});

test('the machine that a definition asks for, virtio devices, and the profile of TPM state', () => {
  const described = (devices: string) => {
    const { needs, virtio, tpmProfile } = describeDefinition(domain(devices));
    return [needs.machines, virtio, tpmProfile];
  };
  assert.deepEqual(described("<emulator>/q</emulator><memballoon model='none'/><input type='tablet' bus='usb'/>"), [
    [{ type: 'kvm', arch: '', machine: '', emulator: '/q' }],
    undefined,
    undefined,
  ]);
  for (const device of [
    "<disk type='file'><target dev='vda' bus='virtio'/></disk>",
    "<interface type='bridge'><model type='virtio'/></interface>",
    "<memballoon model='virtio'/>",
    "<controller type='scsi' model='virtio-scsi'/>",
    "<controller type='virtio-serial'/>",
    "<rng model='virtio-non-transitional'/>",
    "<video><model type='virtio'/></video>",
  ])
    assert.equal(described(device)[1], true, device);
  assert.equal(
    described("<tpm><backend type='emulator'><profile name='default-v1'/></backend></tpm>")[2],
    'default-v1',
  );
});

test('what a host runs: by architecture, with its own names for machine types apart', () => {
  const { guests } = factsOf(
    'a',
    "<capabilities><host><cpu><arch>x86_64</arch></cpu></host><guest><os_type>hvm</os_type><arch name='x86_64'>" +
      "<emulator>/q</emulator><machine>pc-q35-7.2</machine><machine canonical='pc-q35-7.2'>q35</machine>" +
      "<domain type='qemu'/><domain type='kvm'/></arch></guest><guest><os_type>exe</os_type></guest></capabilities>",
    { libvirt: '9.0.0', qemu: '7.2.0' },
    { cpus: 1, memoryBytes: 1 },
  );
  assert.deepEqual(guests, [
    { arch: 'x86_64', emulator: '/q', machines: ['pc-q35-7.2'], aliases: ['q35'], domainTypes: ['qemu', 'kvm'] },
  ]);
});

test('the helper holds what it is given, escaped, and nothing that could run', () => {
  const xml = helperXml(
    {
      uuid: vmUuid('u'),
      name: 'ferry-x',
      vm: vmUuid('v'),
      disks: [
        { target: 'sda', path: "/a'<&>.img", format: 'raw', sizeBytes: 4096 },
        { target: 'sdb', path: '/b', format: 'raw', sizeBytes: 4608 },
      ],
    },
    { installation: "i'", migration: 'm', epoch: 1 },
    'none',
    [domain('')],
  );
  assert.match(xml, /<source file='\/a&apos;&lt;&amp;&gt;\.img'\/>/);
  assert.match(xml, /installation='i&apos;'/);
  assert.doesNotMatch(xml, /<interface|<kernel|virtio/);
  assert.deepEqual(
    [...xml.matchAll(/cache='(\w+)'/g)].map(([, cache]) => cache),
    ['none', 'writeback'],
    'direct I/O where the length allows it',
  );
});

test('of two definitions with one device, the helper takes what is said of the file that it holds', () => {
  const own = (path: string, base: string): string =>
    domain(
      `<disk type='file'><source file='${path}'/><backingStore type='file'><source file='${base}'/></backingStore>` +
        "<target dev='vda'/></disk>",
    );
  const xml = helperXml(
    {
      uuid: vmUuid('u'),
      name: 'x',
      vm: vmUuid('v'),
      disks: [
        { target: 'sda', of: 'vda', path: '/new', format: 'qcow2', sizeBytes: 1 },
        { target: 'sdb', of: 'vda', path: '/old', format: 'qcow2', sizeBytes: 1 },
      ],
    },
    { installation: 'i', migration: 'm', epoch: 1 },
    'none',
    [own('/old', '/of-old'), own('/new', '/of-new')],
  );
  assert.deepEqual(
    [...xml.matchAll(/<backingStore[^]*?file='([^']+)'/g)].map(([, path]) => path),
    ['/of-new', '/of-old'],
  );
});

test("the helper sees the images below a disk as the VM's definition names them; a file that travels as it is has none", () => {
  const own = domain(
    "<disk type='file'><source file='/a'/><backingStore type='file'><format type='raw'/><source " +
      "file='/b'/></backingStore><target dev='vda'/></disk>",
  );
  const xml = helperXml(
    {
      uuid: vmUuid('u'),
      name: 'x',
      vm: vmUuid('v'),
      disks: [
        { target: 'sda', of: 'vda', path: '/a', format: 'qcow2', sizeBytes: 1 },
        { target: 'sdb', path: '/a', format: 'raw', sizeBytes: 1 },
      ],
    },
    { installation: 'i', migration: 'm', epoch: 1 },
    'none',
    [own],
  );
  assert.deepEqual(
    [...xml.matchAll(/<backingStore[^]*?(?=<target)/g)].map(([text]) => text),
    ["<backingStore type='file'><format type='raw'/><source file='/b'/></backingStore>"],
  );
});

test('pools and volumes', () => {
  assert.deepEqual(poolOf("<pool type='dir'><name>d</name><target><path>/a/b/</path></target></pool>"), {
    name: 'd',
    ofFiles: true,
    path: '/a/b',
  });
  assert.deepEqual(poolOf("<pool type='logical'><name>vg</name><target><path>/dev/vg</path></target></pool>"), {
    name: 'vg',
    ofFiles: false,
  });
  const volume =
    "<volume type='file'><name>v</name><capacity unit='bytes'>10</capacity><allocation " +
    "unit='bytes'>5</allocation><physical unit='bytes'>7</physical><target><path>/p/v</path><format " +
    "type='qcow2'/><permissions><mode>0640</mode><owner>1</owner><group>2</group></permissions>" +
    '<timestamps><mtime>5.25</mtime></timestamps></target><backingStore><path>/p/base</path>' +
    '</backingStore></volume>';
  assert.deepEqual(volumeOf('d', volume), {
    pool: 'd',
    name: 'v',
    path: '/p/v',
    format: 'qcow2',
    capacityBytes: 10,
    allocationBytes: 5,
    modified: '5.25',
    backing: { path: '/p/base' },
  });
  assert.deepEqual(fileFactsOf(volume), {
    sizeBytes: 7,
    owner: 1,
    group: 2,
    mode: '0640',
    allocationBytes: 5,
    modified: '5.25',
  });
  assert.deepEqual(backingOf(volume), { path: '/p/base' });
  assert.deepEqual(sizesOf(volume), { capacityBytes: 10, allocationBytes: 5, fileBytes: 7 });
});

test('a volume is made like the image that is copied into it', () => {
  const made = (more: object): string =>
    volumeXml({ pool: 'd', name: 'v', format: 'qcow2', capacityBytes: 1, ...more });
  assert.match(made({}), /<target><format type='qcow2'\/><compat>1\.1<\/compat><\/target>/);
  assert.match(
    made({ layout: { clusterBytes: 512, compat: '0.10', lazyRefcounts: false, extendedL2: false } }),
    /<compat>0\.10<\/compat><clusterSize unit='B'>512<\/clusterSize><\/target>/,
  );
  assert.match(
    made({ layout: { clusterBytes: 16384, compat: '1.1', lazyRefcounts: true, extendedL2: true } }),
    /<features><lazy_refcounts\/><extended_l2\/><\/features>/,
  );
  assert.match(
    made({ format: 'raw', encryption: { format: 'luks', secretUuid: 's' } }),
    /<format type='raw'\/><encryption format='luks'><secret type='passphrase' uuid='s'\/><\/encryption><\/target>/,
  );
  assert.match(made({ encryption: { format: 'luks', secretUsage: '/u' } }), / usage='\/u'\/>/);
  assert.match(
    made({ backing: { path: '/b', format: 'raw' } }),
    /<\/target><backingStore><path>\/b<\/path><format type='raw'\/><\/backingStore><\/volume>/,
  );
});

test('failures: each its code; refused only where nothing can still be on its way', () => {
  assert.equal(connectFailure('u', new LibvirtUriError('x')).code, 'uri-invalid');
  assert.equal(connectFailure('u', new LibvirtUriError('x', { unsupported: true })).code, 'uri-unsupported');
  assert.equal(connectFailure('u', new ConnectError('not-libvirt', 'x')).code, 'host-not-libvirt');
  assert.equal(connectFailure('u', new ConnectError('auth', 'x')).code, 'host-auth-refused');
  for (const kind of ['refused', 'unreachable', 'not-found', 'timeout', 'open-refused', 'cancelled', 'other'] as const)
    assert.equal(connectFailure('u', new ConnectError(kind, 'x')).code, 'host-unreachable');
  assert.equal(connectFailure('u', new Error('x')).code, 'host-unreachable');
  const no = new LibvirtError('X', {
    code: 42,
    domain: 10,
    message: 'no',
    level: 2,
    str1: undefined,
    str2: undefined,
    str3: undefined,
    int1: -1,
    int2: -1,
  });
  assert.deepEqual(callFailure(no), { outcome: 'refused', message: no.message });
  assert.equal(callFailure(new InvalidArgumentError('x')).outcome, 'refused');
  assert.equal(callFailure(new ConnectionLostError('not-started', 'closed', 'x')).outcome, 'refused');
  assert.equal(callFailure(new ConnectionLostError('unknown', 'closed', 'x')).outcome, 'unknown');
  assert.equal(callFailure(new Error('x')).outcome, 'unknown');
});

test('the speed of a network card that is up, and the address of one that is no virtual one', () => {
  const card = (link: string): string =>
    `<device><name>net_eth0</name><capability type='net'><interface>eth0</interface>${link}</capability></device>`;
  assert.equal(linkSpeedOf(card("<link speed='25000' state='up'/>")), 25_000);
  for (const link of [
    "<link speed='25000' state='down'/>",
    "<link state='unknown'/>",
    "<link speed='x' state='up'/>",
    '',
  ])
    assert.equal(linkSpeedOf(card(link)), undefined);
  const address = (parent: string): string =>
    `<device><parent>${parent}</parent><capability type='net'><address>52:54:00:AA:bb:01</address></capability></device>`;
  assert.deepEqual(
    [cardAddressOf(address('pci_0000_00_03_0')), cardAddressOf(address('computer')), cardAddressOf('<device/>')],
    ['52:54:00:aa:bb:01', undefined, undefined],
  );
});

test(
  'the metadata of a snapshot without the watchdog of q35, which an older libvirt does not know by name; ' +
    'one that somebody configured stays',
  () => {
    const metadata = (watchdog: string) =>
      `<domainsnapshot><domain><devices>\n  <disk/>${watchdog}\n</devices></domain><inactiveDomain>` +
      `<devices>${watchdog}</devices></inactiveDomain></domainsnapshot>`;
    assert.equal(withoutNamedWatchdog(metadata("\n  <watchdog model='itco' action='reset'/>")), metadata(''));
    const own = metadata("<watchdog model='itco' action='poweroff'/>");
    assert.equal(withoutNamedWatchdog(own), own);
  },
);
