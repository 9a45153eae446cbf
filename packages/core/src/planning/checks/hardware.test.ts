/** What a guest has of its host: each finding, what is said of it, and that nothing is said where it does not matter. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestHardware } from '../../model/hardware.ts';
import type { HostCpu, HostFacts, HostView } from '../../model/host.ts';
import { hostId, vmUuid } from '../../model/ids.ts';
import type { Vm } from '../../model/vm.ts';
import { presets } from '../../policy/presets.ts';
import { noFacts, type CheckInput, type VmFacts } from '../check-input.ts';
import { cpuSetOf, cpuSetText } from '../cpu-set.ts';
import { checkMigration } from '../placement.ts';

const gib = 1_073_741_824;
const host = (
  name: string,
  { cpu, labels = [], ...facts }: Partial<Omit<HostFacts, 'cpu'>> & { cpu?: Partial<HostCpu>; labels?: string[] } = {},
): HostView => ({
  host: {
    id: hostId(name),
    name,
    uri: `qemu+tcp://${name}/system`,
    cluster: 'default',
    machineUuid: name,
    addedAt: 0,
    labels,
  },
  state: 'connected',
  facts: {
    hostname: name,
    machineUuid: name,
    libvirtVersion: '9.0.0',
    qemuVersion: '7.2.0',
    cpu: { arch: 'x86_64', model: 'EPYC', vendor: 'AMD', threads: 8, ...cpu },
    memoryBytes: 8 * gib,
    ...facts,
  },
  freeMemoryBytes: 4 * gib,
});
const vm: Vm = {
  uuid: vmUuid('a'),
  name: 'web',
  hostId: hostId('h1'),
  state: 'running',
  memoryBytes: gib,
  vcpus: 1,
  disks: [],
  instances: [],
};
const [from, to] = [host('h1'), host('h2')];
const off: Vm = { ...vm, state: 'shut-off' };

interface Given extends Partial<CheckInput> {
  readonly hardware?: Partial<GuestHardware>;
  readonly more?: Partial<VmFacts>;
}
const result = ({ hardware, more, ...input }: Given) =>
  checkMigration({
    vm,
    hosts: [from, to],
    request: {},
    loadOf: () => 0,
    facts: { ...noFacts, ...more, hardware: { devices: [], ...hardware } },
    ...input,
  });
/** Verdict and code of everything that is said, of the VM and of h2. */
const found = (given: Given): readonly string[] => {
  const said = result(given);
  const general = said.kind === 'refused' ? said.reasons.filter((each) => each.host === undefined) : [];
  const answers = (said.answers ?? []).flatMap(({ findings }) => findings);
  return [...general.map(({ code }) => `refuse ${code}`), ...answers.map(({ verdict, code }) => `${verdict} ${code}`)];
};
const message = (given: Given): string => {
  const said = result(given);
  const reasons = said.kind === 'refused' ? said.reasons : [];
  return [...reasons, ...(said.answers ?? []).flatMap(({ findings }) => findings)]
    .map((each) => each.message)
    .join(' ');
};
const policy = (name: string) => presets.get(name) ?? assert.fail();

test('PCI, USB and SCSI devices keep a running guest where it is; teaming and mediated ones do not by themselves', () => {
  const pci = { kind: 'pci', name: '0000:81:00.1' } as const;
  assert.deepEqual(found({ hardware: { devices: [pci] } }), [
    'refuse vm-host-devices',
    'unknown target-devices-unknown',
  ]);
  assert.match(message({ hardware: { devices: [pci] } }), /moves? .*PCI device 0000:81:00\.1|PCI device 0000:81:00\.1/);
  assert.deepEqual(found({ hardware: { devices: [{ ...pci, teaming: true }] } }), [
    'unknown target-devices-unknown',
    'warn vm-teaming',
  ]);
  assert.deepEqual(
    found({ vm: off, hardware: { devices: [pci] } }),
    ['unknown target-devices-unknown'],
    'it moves cold',
  );
});

test('a mediated device must be on the target under its UUID; how many of its type could be made is said', () => {
  const hardware = { devices: [{ kind: 'mdev', name: 'u1' }] } as const;
  const on = (there: readonly (readonly [string, string])[], free: readonly (readonly [string, number])[]) =>
    new Map([
      [hostId('h1'), { there: new Map([['u1', 'nvidia-11']]), free: new Map() }],
      [hostId('h2'), { there: new Map(there), free: new Map(free) }],
    ]);
  const refused = (mediated: CheckInput['mediated']) =>
    found({ hardware, ...(mediated === undefined ? {} : { mediated }) }).includes('refuse target-mediated');
  assert.deepEqual(
    [refused(on([], [['nvidia-11', 2]])), refused(on([['u1', 'nvidia-11']], [])), refused(undefined)],
    [true, false, false],
  );
  assert.match(
    message({ hardware, mediated: on([], [['nvidia-11', 2]]) }),
    /type nvidia-11.*2 of that type can be made/,
  );
});

test('encrypted memory and a time stamp counter without a frequency keep a running guest; a shut-off one moves', () => {
  assert.deepEqual(found({ hardware: { launchSecurity: 'sev' } }), ['refuse vm-launch-security']);
  assert.match(message({ hardware: { launchSecurity: 'sev' } }), /AMD SEV/);
  assert.deepEqual(found({ vm: off, hardware: { launchSecurity: 'tdx' } }), ['unknown launch-security-unknown']);
  const cpu = { xml: '<cpu/>', passthrough: true, type: 'kvm', arch: 'x86_64', invtsc: true as const };
  assert.deepEqual(found({ more: { cpu } }), ['refuse vm-invtsc']);
  assert.deepEqual(found({ more: { cpu }, hardware: { tscHz: 2e9 } }), []);
});

test('a promised frequency: the same, one that can be scaled, or another one', () => {
  const at = (hz: number, scaling: boolean) =>
    found({ hosts: [from, host('h2', { cpu: { tsc: { hz, scaling } } })], hardware: { tscHz: 2e9 } });
  assert.deepEqual([at(2e9 + 1e5, false), at(3e9, true), at(3e9, false)], [[], [], ['warn target-tsc']]);
});

test('what libvirt on the source says is a reason in its words; what it does not say is not known', () => {
  const why = "cannot migrate domain: 0000:00:02.0: VFIO device doesn't support migration";
  assert.deepEqual(found({ mayLeave: { answer: 'refused', why } }), ['refuse source-refuses']);
  assert.match(message({ mayLeave: { answer: 'refused', why } }), /VFIO device doesn't support migration/);
  assert.deepEqual(found({ mayLeave: { answer: 'unknown', why: 'late' } }), ['unknown source-refuses-unknown']);
  assert.equal(result({ mayLeave: { answer: 'may' } }).kind, 'chosen');
  const strict = { ...policy('default'), checks: { 'source-refuses-unknown': 'refuse' } as const };
  assert.equal(result({ mayLeave: { answer: 'unknown', why: 'late' }, policy: strict }).kind, 'refused');
});

test('huge pages: as many as the guest has memory, of its size, on the nodes that it must have', () => {
  const of = (count: number, node = 0) => new Map([[hostId('h2'), [{ node, sizeKiB: 2_048, count }]]]);
  const hardware = { hugePages: [{ sizeKiB: 2_048 }] };
  assert.deepEqual(found({ hardware, pages: of(512) }), []);
  assert.deepEqual(found({ hardware, pages: of(511) }), ['refuse target-huge-pages']);
  assert.deepEqual(found({ hardware: { hugePages: [{ sizeKiB: 1_048_576 }] }, pages: of(512) }), [
    'refuse target-huge-pages',
  ]);
  const bound = (nodes: Partial<GuestHardware>) => found({ hardware: { ...hardware, ...nodes }, pages: of(512) });
  assert.deepEqual(bound({ nodeSets: ['1'], strictNodes: ['1'] }), ['refuse target-huge-pages']);
  assert.deepEqual(bound({ nodeSets: ['1'] }), [], 'other nodes may do');
  assert.deepEqual(found({ vm: off, hardware, pages: of(0) }), [], 'it does not run there');
});

test('huge pages of a part of the memory: one is asked for; of a size that the host chooses: not known', () => {
  const of = (count: number) => new Map([[hostId('h2'), [{ node: 0, sizeKiB: 2_048, count }]]]);
  const part = { hugePages: [{ sizeKiB: 2_048, part: true as const }] };
  assert.deepEqual(found({ hardware: part, pages: of(1) }), []);
  assert.deepEqual(found({ hardware: part, pages: of(0) }), ['refuse target-huge-pages']);
  assert.deepEqual(found({ hardware: { hugePages: [{}] }, pages: of(0) }), ['unknown target-huge-pages-unknown']);
  assert.deepEqual(found({ vm: off, hardware: { hugePages: [{}] } }), []);
});

test('CPUs and nodes that a guest is bound to: those that the target lacks, and other ones of the same number', () => {
  const with_ = (...cpus: readonly string[]) => ({ nodes: cpus.map((each, id) => ({ id, cpus: each })) });
  const bound = { cpuSets: ['0-3', '6'], nodeSets: ['0'] };
  const on = (there: readonly string[], hardware: Partial<GuestHardware> = bound) =>
    found({ hosts: [host('h1', with_('0-3', '4-7')), host('h2', with_(...there))], hardware });
  assert.deepEqual(on(['0-3', '4-7']), []);
  assert.deepEqual(on(['0-3']), ['warn target-pinning']);
  assert.deepEqual(on(['0-7']), ['warn target-numa']);
  assert.deepEqual(on(['0-7'], {}), [], 'it is bound to nothing');
  const rhel = { hosts: [host('h1', with_('0-3', '4-7')), host('h2', with_('0-7'))], policy: policy('rhel') };
  assert.deepEqual(found({ ...rhel, hardware: bound }), ['refuse target-numa']);
});

test('exact CPU, microcode and firmware are told; cloudpods refuses them, and --skip-cpu-check lifts that', () => {
  const cpu = (model: string, microcode: string) => ({
    cpu: { model, microcode },
    firmware: 'A 1',
    labels: ['kernel=6.1'],
  });
  const hosts = (model: string, microcode: string) => [host('h1', cpu('EPYC', '1')), host('h2', cpu(model, microcode))];
  assert.deepEqual(found({ hosts: hosts('EPYC', '1') }), []);
  assert.deepEqual(found({ hosts: hosts('EPYC', '2') }), ['warn target-microcode']);
  assert.deepEqual(found({ hosts: hosts('EPYC-Rome', '2') }), ['warn target-cpu-model'], 'its microcode says nothing');
  assert.deepEqual(found({ hosts: [from, to].map((each, at) => host(each.host.name, { firmware: `A ${at}` })) }), [
    'warn target-firmware',
  ]);
  const signed = (name: string, model: string) => host(name, { cpu: { model, signature: '6/85/7' } });
  assert.deepEqual(found({ hosts: [signed('h1', 'A'), signed('h2', 'B')] }), [], 'two names of one CPU');
  const strict = { hosts: hosts('EPYC', '2'), policy: policy('cloudpods') };
  assert.deepEqual(found(strict), ['refuse target-microcode']);
  assert.deepEqual(found({ ...strict, request: { skipCpuCheck: true } }), ['warn target-microcode']);
  assert.deepEqual(found({ ...strict, request: { skipKernelCheck: true } }), ['refuse target-microcode']);
});

test('operating system and kernel are what the labels say; unknown is said where somebody cares', () => {
  const hosts = (here: string[], there: string[]) => [host('h1', { labels: here }), host('h2', { labels: there })];
  const [jammy, noble] = ['os=ubuntu-22.04', 'os=ubuntu-24.04'];
  assert.deepEqual(found({ hosts: hosts([], []) }), [], 'nobody cares');
  assert.deepEqual(found({ hosts: hosts([], []), policy: policy('pcd') }), ['unknown target-os-unknown']);
  assert.deepEqual(found({ hosts: hosts([jammy], []) }), ['unknown target-os-unknown']);
  assert.deepEqual(found({ hosts: hosts([jammy], [jammy]) }), []);
  assert.deepEqual(found({ hosts: hosts([jammy], [noble]) }), ['warn target-os-differs']);
  assert.deepEqual(found({ hosts: hosts([jammy], [noble]), policy: policy('pcd') }), ['refuse target-os-differs']);
  assert.deepEqual(found({ hosts: hosts([jammy], [noble]), vm: off }), ['warn target-os-differs'], 'also cold');
  const kernels = { hosts: hosts(['kernel=6.1'], ['kernel=6.8']), policy: policy('cloudpods') };
  assert.deepEqual(found(kernels), ['refuse target-kernel-differs']);
  assert.deepEqual(found({ ...kernels, request: { skipKernelCheck: true } }), ['warn target-kernel-differs']);
  assert.deepEqual(found({ ...kernels, vm: off }), [], 'it starts anew there');
});

test('vmmanager wants the same versions both ways; the default says nothing of a newer target', () => {
  const hosts = [from, host('h2', { libvirtVersion: '11.3.0', qemuVersion: '10.0.2' })];
  assert.deepEqual(found({ hosts }), []);
  assert.deepEqual(found({ hosts, policy: policy('vmmanager') }), [
    'refuse target-newer-libvirt',
    'refuse target-newer-qemu',
  ]);
});

test('host-model gives another CPU at the next start, named features and one replica are told; harvester refuses', () => {
  const cpu = { xml: '<cpu/>', passthrough: false, type: 'kvm', arch: 'x86_64' };
  const cpus = new Map([[hostId('h2'), { answer: 'fits' } as const]]);
  const hosts = [from, host('h2', { cpu: { model: 'EPYC-Rome' } })];
  const model = { cpus, hosts, more: { cpu: { ...cpu, hostModel: true as const } } };
  assert.deepEqual(found(model), ['warn target-cpu-model', 'warn target-cpu-next-start']);
  assert.deepEqual(found({ ...model, policy: policy('harvester') }), [
    'warn target-cpu-model',
    'refuse target-cpu-next-start',
  ]);
  const said = result({ labels: ['replicas=1'], policy: policy('harvester') });
  assert.deepEqual(said.kind === 'refused' && said.reasons.map(({ code }) => code), ['vm-one-replica']);
  assert.deepEqual(found({ labels: ['replicas=1'] }), ['warn vm-one-replica']);
  const nested = { cpus, more: { cpu: { ...cpu, asked: ['vmx'] } } };
  assert.deepEqual(found(nested), ['warn vm-nested']);
});

test('a known defect is told with its version and source where the move meets it, and nowhere else', () => {
  const at = (libvirtVersion: string, qemuVersion = '10.0.2') => [from, host('h2', { libvirtVersion, qemuVersion })];
  const threads = { hardware: { threadsPerCore: 2 } };
  assert.deepEqual(found({ hosts: at('11.3.0'), ...threads }), ['warn known-defect']);
  assert.match(message({ hosts: at('11.3.0'), ...threads }), /libvirt 11\.3\.0 on h2: .*extra features: ht.*11\.10/);
  assert.deepEqual(found({ hosts: at('11.10.0'), ...threads }), [], 'repaired');
  assert.deepEqual(found({ hosts: at('11.3.0') }), [], 'one thread');
  assert.deepEqual(found({ hosts: at('11.3.0'), ...threads, vm: off }), [], 'it starts anew there');
});

test('a set of CPUs is read as libvirt writes it, and written so; what is no set is empty', () => {
  assert.deepEqual([...cpuSetOf('0-3,^2,8')], [0, 1, 3, 8]);
  assert.equal(cpuSetText([8, 3, 1, 0, 1]), '0-1,3,8');
  assert.deepEqual([...cpuSetOf('x,,-1,1-')], []);
  assert.equal(cpuSetOf('0-99999').size, 8_193, 'a hostile range is cut');
});
