/** On XML as libvirt of such hosts writes it: the lab has none of this hardware. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LibvirtError, parseXml, VIR_ERR, type DomainRef, type HostSession } from '@ferry/libvirt';
import { guestCpuOf } from './cpu.ts';
import { hardwareOf } from './hardware.ts';
import { inventoryOf } from './inventory.ts';
import { mayLeave } from './transfer.ts';
import { factsOf, firmwareOf } from './translate.ts';

const of = (inside: string) => hardwareOf(parseXml(`<domain type='kvm'><name>a</name>${inside}</domain>`));
const pciAddress = "<source><address type='pci' domain='0x0000' bus='0x81' slot='0x02' function='0x1'/></source>";

test('devices of the host, each with its address; teaming pairs are marked', () => {
  const { devices } = of(`<devices>
    <hostdev mode='subsystem' type='pci' managed='yes'>${pciAddress.replace("type='pci' ", '')}</hostdev>
    <hostdev mode='subsystem' type='mdev' model='vfio-pci' display='off'>
      <source><address uuid='C2177883-F1BB-47F0-914D-32A22E3A8804'/></source></hostdev>
    <hostdev mode='subsystem' type='usb'><source><vendor id='0x046d'/><product id='0xc31c'/></source></hostdev>
    <hostdev mode='subsystem' type='usb'><source><address bus='1' device='4'/></source></hostdev>
    <hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/></source></hostdev>
    <hostdev mode='capabilities' type='misc'/>
    <interface type='hostdev' managed='yes'>${pciAddress}<teaming type='transient' persistent='ua-backup0'/></interface>
    <interface type='network'><teaming type='persistent'/><alias name='ua-backup0'/></interface>
    <disk type='file' device='disk'/></devices>`);
  assert.deepEqual(devices, [
    { kind: 'pci', name: '0000:81:02.1' },
    { kind: 'mdev', name: 'c2177883-f1bb-47f0-914d-32a22e3a8804' },
    { kind: 'usb', name: '046d:c31c' },
    { kind: 'usb', name: 'bus 1, device 4' },
    { kind: 'scsi', name: 'scsi_host0' },
    { kind: 'other', name: 'misc' },
    { kind: 'pci', name: '0000:81:02.1', teaming: true },
  ]);
});

test('what a guest is bound to, and what it was promised', () => {
  assert.deepEqual(
    of(`<memoryBacking><hugepages><page size='1' unit='G' nodeset='0'/><page size='2048' unit='KiB'/></hugepages>
      </memoryBacking><vcpu placement='static' cpuset='0-7'>2</vcpu>
      <cputune><vcpupin vcpu='0' cpuset='2'/><emulatorpin cpuset='0-1'/></cputune>
      <numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='1'/></numatune>
      <features><hyperv mode='passthrough'/></features><cpu><topology sockets='1' cores='1' threads='2'/></cpu>
      <clock offset='utc'><timer name='tsc' frequency='2394446000'/></clock><launchSecurity type='sev'/>
      <devices><video><model type='virtio'/></video></devices>`),
    {
      devices: [],
      launchSecurity: 'sev',
      hugePages: [{ sizeKiB: 1_048_576, part: true }, { sizeKiB: 2_048 }],
      cpuSets: ['0-7', '2', '0-1'],
      nodeSets: ['0', '1'],
      strictNodes: ['0', '1'],
      threadsPerCore: 2,
      tscHz: 2_394_446_000,
      hypervPassthrough: true,
      virtioVideo: true,
    },
  );
  assert.deepEqual(of('<memoryBacking><hugepages/></memoryBacking><devices/>').hugePages, [{}]);
  const strict = (numatune: string) => of(`<numatune>${numatune}</numatune>`).strictNodes;
  assert.deepEqual(strict("<memory nodeset='0-1'/>"), ['0-1']);
  for (const loose of [
    "<memory mode='preferred' nodeset='0'/>",
    "<memory mode='strict' nodeset='0'/><memnode cellid='0' mode='interleave' nodeset='1'/>",
    "<memnode cellid='0' mode='strict' nodeset='1'/>",
    "<memory mode='strict' placement='auto'/>",
  ])
    assert.equal(strict(loose), undefined, loose);
  assert.deepEqual(of('<cpu><topology threads="1"/></cpu><clock><timer name="tsc"/></clock>'), { devices: [] });
});

test('the CPU of a running guest, and what its next start asks for', () => {
  const running =
    "<domain type='kvm'><os><type arch='x86_64'>hvm</type></os><cpu mode='custom'><model>EPYC</model>" +
    "<feature policy='require' name='invtsc'/><feature policy='disable' name='svm'/></cpu></domain>";
  const next = "<domain><cpu mode='host-model'><feature policy='require' name='svm'/></cpu></domain>";
  const { xml: _, ...cpu } = guestCpuOf(running, parseXml(running), parseXml(next)) ?? assert.fail();
  assert.deepEqual(cpu, {
    passthrough: false,
    type: 'kvm',
    arch: 'x86_64',
    invtsc: true,
    hostModel: true,
    asked: ['svm'],
  });
});

test('what tells two machines of one model apart, as capabilities and SMBIOS say it', () => {
  const facts = factsOf(
    'h1',
    `<capabilities><host><uuid>u</uuid><cpu><arch>x86_64</arch><model>Cascadelake-Server</model><vendor>Intel</vendor>
      <microcode version='83898371'/><signature family='6' model='85' stepping='7'/>
      <counter name='tsc' frequency='2394446000' scaling='no'/></cpu>
      <topology><cells num='2'><cell id='0'><cpus num='3'><cpu id='0'/><cpu id='1'/><cpu id='8'/></cpus></cell>
      <cell id='1'><cpus num='1'><cpu id='2'/></cpus></cell></cells></topology></host></capabilities>`,
    { libvirt: '9.0.0', qemu: '7.2.0' },
    { cpus: 4, memoryBytes: 1 },
  );
  assert.deepEqual(facts.cpu, {
    arch: 'x86_64',
    model: 'Cascadelake-Server',
    vendor: 'Intel',
    threads: 4,
    signature: '6/85/7',
    microcode: '83898371',
    tsc: { hz: 2_394_446_000, scaling: false },
  });
  assert.deepEqual(facts.nodes, [
    { id: 0, cpus: '0-1,8' },
    { id: 1, cpus: '2' },
  ]);
  const bios =
    "<entry name='vendor'>Dell Inc.</entry><entry name='version'>2.19.1</entry><entry name='date'>06/04/2023</entry>";
  assert.equal(firmwareOf(`<sysinfo type='smbios'><bios>${bios}</bios></sysinfo>`), 'Dell Inc. 2.19.1 06/04/2023');
  assert.equal(firmwareOf("<sysinfo type='fwcfg'/>"), undefined);
});

const refusal = (code: number, message = 'no'): LibvirtError =>
  new LibvirtError('X', { code, message } as ConstructorParameters<typeof LibvirtError>[1]);
const within = AbortSignal.timeout(10_000);

test('mediated devices and free pages of a host; what it does not have is none', async () => {
  const devices: Readonly<Record<string, string>> = {
    mdev_1: `<device><name>mdev_1</name><capability type='mdev'><type id='nvidia-11'/><uuid>C2177883-F1BB</uuid></capability></device>`,
    pci_1: `<device><name>pci_1</name><capability type='pci'><capability type='mdev_types'><type id='nvidia-11'>
      <name>GRID M60-0B</name><availableInstances>16</availableInstances></type></capability></capability></device>`,
    pci_2: `<device><name>pci_2</name><capability type='pci'><capability type='mdev_types'><type id='nvidia-11'>
      <availableInstances>2</availableInstances></type></capability></capability></device>`,
  };
  const inventory = inventoryOf({
    nodeDevices: async () => Object.keys(devices),
    nodeDeviceXml: async (name: string) => devices[name],
    freePages: async (sizeKiB: number) => {
      if (sizeKiB === 2_048) return [10n, 20n];
      throw refusal(VIR_ERR.OPERATION_FAILED);
    },
  } as unknown as HostSession);
  const { there, free } = await inventory.mediated(within);
  assert.deepEqual([[...there], [...free]], [[['c2177883-f1bb', 'nvidia-11']], [['nvidia-11', 18]]]);
  assert.deepEqual(await inventory.freePages([2_048, 1_048_576], within), [
    { node: 0, sizeKiB: 2_048, count: 10 },
    { node: 1, sizeKiB: 2_048, count: 20 },
  ]);
});

test("what libvirt says of a guest's leaving: nothing, a refusal in its words, or no answer to the question", async () => {
  const ask = (answer?: Error, runs = true) =>
    mayLeave(
      {
        domainIsActive: async () => runs,
        domainMayMigrate: async () => (answer === undefined ? undefined : Promise.reject(answer)),
      } as unknown as HostSession,
      {} as DomainRef,
      within,
    );
  assert.deepEqual(
    [
      await ask(),
      await ask(refusal(VIR_ERR.OPERATION_INVALID, 'domain has active block job.')),
      await ask(refusal(VIR_ERR.OPERATION_TIMEOUT, 'cannot acquire state change lock')),
    ],
    [
      { answer: 'may' },
      { answer: 'refused', why: 'domain has active block job' },
      { answer: 'unknown', why: 'cannot acquire state change lock' },
    ],
  );
  assert.equal((await ask(refusal(VIR_ERR.OPERATION_INVALID, 'domain is not running'), false)).answer, 'unknown');
  await assert.rejects(ask(new Error('gone')), /gone/);
});
