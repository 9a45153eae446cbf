/**
 * Corners in which data was once lost, each alone. By chance a seed reaches some of them in one scenario out of
 * hundreds, and then often with something that is refused first. So a corner removes everything else unusual from its
 * scenario.
 */
import type { Random } from './random.ts';
import {
  folders,
  nvramPath,
  pathOf,
  torturedHosts,
  type Disk,
  type ForeignFile,
  type HostName,
  type Image,
  type Scenario,
  type Step,
  type TorturedVm,
} from './scenario.ts';

interface Place {
  readonly seed: number;
  readonly random: Random;
  /** Nothing odd is in it, and it goes to `to` first. */
  readonly plain: Scenario;
  readonly vm: TorturedVm;
  readonly to: HostName;
}

const image = (file: string, more: Partial<Image> = {}): Image => ({
  folder: 'images',
  file,
  format: 'qcow2',
  writes: [
    { op: 'data', byte: 0x51, fromKib: 0, kib: 512 },
    { op: 'zero', byte: 0, fromKib: 256, kib: 64 },
  ],
  create: [],
  ...more,
});
export const plainDisk = (target: string, of: Image): Disk => ({
  target,
  bus: 'virtio',
  image: of,
  in: 'both',
  spelled: 'plain',
  chainWritten: false,
  shareable: false,
  cache: 'none',
});
export const otherVm = (
  { seed, random }: Pick<Place, 'seed' | 'random'>,
  host: HostName,
  disks: readonly Disk[],
): TorturedVm => ({
  name: `b${seed}`,
  uuid: random.uuid(),
  host,
  state: random.pick(['shut-off', 'shut-off', 'running']),
  disks,
  media: [],
  snapshot: false,
  share: false,
  autostart: false,
  title: 'bystander',
});
const foreign = (host: HostName, path: string, why: string): ForeignFile => ({ host, path, byte: 0x6e, why });
/** The first step has these options too. */
const first = (steps: readonly Step[], options: readonly string[]): readonly Step[] =>
  steps.map((step, index) => (index === 0 ? { ...step, options: [...step.options, ...options] } : step));

const corners: Readonly<Record<string, (place: Place) => Scenario>> = {
  'a chain that its definition names, other content where its base would be': ({ seed, plain, vm, to }: Place) => {
    const base = image(`t${seed}-base.qcow2`, { folder: 'bare' });
    return {
      ...plain,
      vm: { ...vm, disks: [{ ...plainDisk('vda', image(`t${seed}.qcow2`, { base })), chainWritten: true }] },
      foreign: [foreign(to, pathOf(base), 'where a base would be')],
    };
  },
  'saved memory of two VMs of one name': ({ seed, random, plain, vm, to }: Place) => ({
    ...plain,
    vm: { ...vm, state: 'saved' as const },
    others: [
      {
        ...otherVm({ seed, random }, to, [plainDisk('vda', image(`b${seed}.qcow2`))]),
        name: vm.name,
        state: 'saved' as const,
      },
    ],
  }),
  'firmware variables of somebody where its own would be': ({ plain, vm, to }: Place) => ({
    ...plain,
    vm: { ...vm, nvram: `${vm.name}_VARS.fd` },
    foreign: [foreign(to, nvramPath(`${vm.name}_VARS.fd`), 'variables of a firmware')],
  }),
  'a medium where somebody has a file and no pool is': ({ seed, plain, vm, to }: Place) => {
    const medium = { device: 'cdrom', folder: 'bare', file: `t${seed}.iso`, byte: 0x21 } as const;
    return {
      ...plain,
      vm: { ...vm, media: [medium] },
      foreign: [foreign(to, pathOf(medium), 'where a medium would arrive')],
      steps: first(plain.steps, ['--copy-media']),
    };
  },
  'a disk of the next start only, where another VM has its own': ({ seed, random, plain, vm, to }: Place) => {
    const later = { ...plainDisk('vdb', image(`t${seed}-later.qcow2`)), in: 'inactive' as const };
    return {
      ...plain,
      vm: { ...vm, state: 'running' as const, disks: [...vm.disks, later] },
      others: random.chance(50)
        ? [otherVm({ seed, random }, to, [plainDisk('vda', image(`t${seed}-later.qcow2`, { writes: [] }))])]
        : [],
    };
  },
  'a file that two VMs write to': ({ seed, random, plain, vm }: Place) => {
    const shared = { ...plainDisk('vda', image(`t${seed}.raw`, { format: 'raw' })), shareable: true };
    return {
      ...plain,
      vm: { ...vm, disks: [shared] },
      others: [otherVm({ seed, random }, 'host1', [shared])],
    };
  },
  'a disk of this VM that is a base of another': ({ seed, random, plain, vm }: Place) => ({
    ...plain,
    others: [
      {
        ...otherVm({ seed, random }, 'host1', [
          plainDisk('vda', image(`b${seed}.qcow2`, { base: vm.disks[0]?.image ?? image('none') })),
        ]),
        state: 'shut-off' as const,
      },
    ],
    vm: { ...vm, state: 'shut-off' as const },
    steps: plain.steps.map((step) => ({ ...step, options: ['--delete-source-disks'], purge: true })),
  }),
  // on storage that all hosts have, so that nothing but the two definitions is in the way
  'two definitions of one UUID': ({ seed, random, plain, vm, to }: Place) => {
    const newer: TorturedVm = {
      ...vm,
      state: 'shut-off',
      disks: [plainDisk('vda', image(`t${seed}.qcow2`, { folder: 'shared' }))],
    };
    const host = random.chance(70) ? to : random.pick<HostName>(['host2', 'host3']);
    const name = random.chance(40) ? `${vm.name}-old` : vm.name;
    return { ...plain, vm: newer, others: [{ ...newer, host, title: 'stale', name }] };
  },
  'a pool that is not started on the source': ({ seed, random, plain, vm, to }: Place) => ({
    ...plain,
    vm: {
      ...vm,
      state: 'shut-off' as const,
      disks: [plainDisk('vda', image(`t${seed}.qcow2`, { folder: 'asleep' }))],
    },
    awake: [to],
    steps: random.chance(70) ? first(plain.steps, ['--assume-shared']) : plain.steps,
  }),
  'a link on the shared file system to a file of one host': ({ seed, random, plain, vm, to }: Place) => {
    const linked = image(`t${seed}.qcow2`, { folder: 'shared', linkedTo: 'images' });
    return {
      ...plain,
      vm: { ...vm, disks: [plainDisk('vda', linked)] },
      foreign: random.chance(50) ? [foreign(to, `${folders.images}/link-${linked.file}`, 'where a link leads')] : [],
    };
  },
  'the shared file system gone from the target since the last move': ({ seed, plain, vm, to }: Place) => ({
    ...plain,
    vm: { ...vm, disks: [plainDisk('vda', image(`t${seed}.qcow2`, { folder: 'shared' }))] },
    steps: [to, vm.host, to].map((host, index): Step => ({
      to: host,
      options: [],
      dryRunFirst: false,
      purge: false,
      ...(index === 2 ? { unmountShared: true as const } : {}),
    })),
  }),
};

/** The scenario in one of the corners; most stay what they are. */
export function inCorner(seed: number, random: Random, scenario: Scenario): Scenario {
  if (!random.chance(25)) return scenario;
  const [corner, make] = random.pick(Object.entries(corners) as [[string, (place: Place) => Scenario]]);
  const [step] = scenario.steps;
  const to = step?.to ?? random.pick(torturedHosts.slice(1) as [HostName, HostName]);
  const vm: TorturedVm = {
    ...scenario.vm,
    name: `t${seed}`,
    disks: [plainDisk('vda', image(`t${seed}.qcow2`))],
    media: [],
    snapshot: false,
    share: false,
  };
  const { nvram: _, ...bare } = vm;
  const plain: Scenario = {
    seed,
    vm: bare,
    others: [],
    foreign: [],
    awake: scenario.awake,
    steps: scenario.steps.map((each): Step => ({
      to: each.to,
      options: each.options.filter((option) => ['--direct', '--peer-to-peer'].includes(option)),
      dryRunFirst: each.dryRunFirst,
      purge: each.purge,
    })),
  };
  return { ...make({ seed, random, plain, vm: bare, to }), corner };
}
