/**
 * Makes a scenario from a seed alone: the same seed always gives the same scenario. It covers the corners in which data
 * was lost: chains that a definition names, files of others at the paths of this VM, definitions that differ, names
 * that two VMs share.
 */
import { inCorner, otherVm, plainDisk } from './corners.ts';
import { withKind } from './kinds.ts';
import { randomOf, type Random } from './random.ts';
import {
  chainOf,
  diskKib,
  folders,
  nvramPath,
  pathOf,
  torturedHosts,
  type Disk,
  type Fault,
  type Folder,
  type ForeignFile,
  type HostName,
  type Image,
  type Medium,
  type Scenario,
  type Step,
  type TorturedVm,
  type VmState,
  type Write,
} from './scenario.ts';

/** Chance with a budget: a scenario in which everything is odd is refused at once, and shows nothing. */
interface Oddly extends Random {
  /** True in `percent` of 100 cases while something odd may still happen. */
  readonly odd: (percent: number) => boolean;
  /** One of these, the first unless something odd may happen. */
  readonly oddly: <T extends string>(weights: Readonly<Record<T, number>>) => T;
}

function oddlyOf(random: Random): Oddly {
  let left = [0, 1, 1, 1, 1, 2, 2, 2, 3, 4][random.below(10)] ?? 1;
  const odd = (percent: number): boolean => {
    // drawn in any case, so that what follows does not hang on the budget
    const chosen = random.chance(percent);
    if (!chosen || left === 0) return false;
    left -= 1;
    return true;
  };
  return {
    ...random,
    odd,
    oddly: (weights) => {
      const plain = Object.keys(weights)[0] as keyof typeof weights & string;
      const chosen = weighted(random, weights);
      return chosen === plain || !odd(100) ? plain : chosen;
    },
  };
}

export function scenarioOf(seed: number): Scenario {
  // chance of their own, so that the rest of a seed does not hang on them
  const random = randomOf(seed ^ 0x2545_f491);
  return withKind(random, inCorner(seed, random, byChance(seed)));
}

function byChance(seed: number): Scenario {
  const random = oddlyOf(randomOf(seed));
  const state = weighted<VmState>(random, { 'shut-off': 50, running: 25, paused: 8, saved: 17 });
  const vm = vmOf(random, seed, state);
  const others: TorturedVm[] = [];
  const foreign: ForeignFile[] = [];
  const elsewhere = (): HostName => random.pick(['host2', 'host3']);
  if (random.odd(16)) others.push(twinOf(random, vm, elsewhere()));
  if (vm.state === 'shut-off' && vm.nvram === undefined && random.odd(8)) {
    others.push({
      ...vm,
      host: elsewhere(),
      title: 'stale',
      name: random.chance(40) ? `${vm.name}-old` : vm.name,
      disks: vm.disks.slice(0, 1),
      media: [],
      autostart: false,
      snapshot: false,
      share: false,
    });
  }
  for (const disk of vm.disks) {
    const lone = bystander(random, seed, others.length);
    const path = pathOf(disk.image);
    // another VM starts from the same base, or writes to the same file
    if (disk.image.base !== undefined && random.odd(35))
      others.push({
        ...lone,
        host: 'host1',
        disks: [
          {
            ...plainDisk('vda', {
              ...overlay(random, seed, `o${others.length}.qcow2`, disk.image.base),
              folder: 'images',
            }),
          },
        ],
      });
    if (disk.shareable)
      others.push({
        ...lone,
        host: 'host1',
        state: random.pick(['running', 'shut-off']),
        disks: [{ ...disk, target: 'vda', bus: 'virtio', in: 'both' }],
      });
    // somebody else's disk is where this one would arrive
    else if (local(disk.image) && random.odd(disk.in === 'both' ? 5 : 60))
      others.push({
        ...lone,
        host: elsewhere(),
        disks: [{ ...plainDisk('vda', { ...disk.image, writes: writesOf(random) }), in: 'both' }],
      });
    else if (local(disk.image) && random.odd(6))
      foreign.push({ host: elsewhere(), path, byte: 0x5f, why: 'where a disk would arrive' });
    for (const base of chainOf(disk.image).slice(1))
      if (local(base) && random.chance(40))
        foreign.push({ host: elsewhere(), path: pathOf(base), byte: 0x77, why: 'where a base would be' });
    if (disk.image.linkedTo !== undefined && random.chance(50))
      foreign.push({
        host: elsewhere(),
        path: `${folders[disk.image.linkedTo]}/link-${disk.image.file}`,
        byte: 0x66,
        why: 'where a link leads',
      });
  }
  for (const medium of vm.media)
    if (local(medium) && random.odd(45))
      foreign.push({ host: elsewhere(), path: pathOf(medium), byte: 0x44, why: 'where a medium would arrive' });
  if (vm.nvram !== undefined && random.odd(25))
    foreign.push({ host: elsewhere(), path: nvramPath(vm.nvram), byte: 0x33, why: 'variables of a firmware' });
  const apart = others.filter(
    (other, index) =>
      !others
        .slice(0, index)
        .some(
          (before) =>
            before.host === other.host &&
            before.disks.some(({ image }) =>
              other.disks.some((disk) => !disk.shareable && pathOf(disk.image) === pathOf(image)),
            ),
        ),
  );
  return {
    seed,
    vm,
    others: apart,
    foreign: distinct(foreign, apart),
    awake: torturedHosts.filter(() => random.chance(60)),
    steps: stepsOf(random, vm),
  };
}

const local = ({ folder }: { readonly folder: Folder }): boolean => folder !== 'shared';

/** One file at one path: what a VM has there stays. */
function distinct(files: readonly ForeignFile[], others: readonly TorturedVm[]): readonly ForeignFile[] {
  const taken = new Set(
    others.flatMap(({ host, disks, nvram }) => [
      ...disks.flatMap(({ image }) => chainOf(image).map((each) => `${host} ${pathOf(each)}`)),
      ...(nvram === undefined ? [] : [`${host} ${nvramPath(nvram)}`]),
    ]),
  );
  return files.filter(({ host, path }) => {
    const key = `${host} ${path}`;
    return !taken.has(key) && taken.add(key);
  });
}

function weighted<T extends string>(random: Random, weights: Readonly<Record<T, number>>): T {
  const entries = Object.entries<number>(weights) as [T, number][];
  let at = random.below(entries.reduce((sum, [, weight]) => sum + weight, 0));
  for (const [value, weight] of entries) {
    if (at < weight) return value;
    at -= weight;
  }
  throw new Error('weights without a sum');
}

function vmOf(random: Oddly, seed: number, state: VmState): TorturedVm {
  const name = !random.odd(20)
    ? `t${seed}`
    : random.pick([
        `web server ${seed}`,
        `o'brien & <${seed}>`,
        `größe-${seed}`,
        `ferry-${seed}`,
        `t${seed}.qcow2`,
        `T_${seed}%20`,
      ]);
  const runs = state === 'running' || state === 'paused';
  const snapshot = state === 'shut-off' && random.odd(10);
  const disks = Array.from({ length: 1 + random.below(3) }, (_, index) =>
    diskOf(random, seed, index, { runs, snapshot }),
  );
  const media = random.chance(30) ? [mediumOf(random, seed)] : [];
  const uefi = random.chance(15);
  return {
    name,
    uuid: random.uuid(),
    host: 'host1',
    state,
    disks,
    media,
    snapshot: snapshot && media.every(({ device }) => device === 'cdrom') && !uefi,
    // a VM that was renamed keeps the old path
    ...(uefi ? { nvram: random.odd(30) ? `renamed-${seed}_VARS.fd` : `${name}_VARS.fd` } : {}),
    share: !runs && state !== 'saved' && random.odd(5),
    autostart: random.chance(20),
    title: 'current',
  };
}

function diskOf(
  random: Oddly,
  seed: number,
  index: number,
  { runs, snapshot }: { readonly runs: boolean; readonly snapshot: boolean },
): Disk {
  const folder = random.chance(78)
    ? weighted<Folder>(random, { images: 65, shared: 20, second: 15, asleep: 0, bare: 0, lone: 0 })
    : random.oddly<Folder>({ images: 0, asleep: 45, bare: 30, lone: 25, shared: 0, second: 0 });
  const format = !snapshot && random.chance(22) ? 'raw' : 'qcow2';
  const extension = format === 'raw' ? 'raw' : 'qcow2';
  const stem = !random.odd(12)
    ? `t${seed}-${index}`
    : random.pick([
        `t${seed} ${index}`,
        `t${seed},${index}`,
        `t${seed}'${index}`,
        `t${seed}:${index}`,
        `t${seed}-ö-${index}`,
        `t${seed}%2f${index}`,
      ]);
  const own = {
    folder,
    file: `${stem}.${extension}`,
    format,
    writes: writesOf(random),
    create: format === 'qcow2' ? createOptions(random) : [],
  } as const;
  const based = format === 'qcow2' && !snapshot && random.chance(38);
  const linkedTo = !based && random.odd(folder === 'shared' ? 30 : 3) ? ({ linkedTo: 'images' } as const) : {};
  const image: Image = { ...own, ...linkedTo, ...(based ? { base: baseOf(random, seed, index, folder, 1) } : {}) };
  const pooled = folder === 'images' || folder === 'second';
  return {
    target: `${['vd', 'sd'][index % 2] ?? 'vd'}${'abcdef'[index] ?? 'f'}`,
    bus: index % 2 === 0 ? 'virtio' : random.pick(['scsi', 'sata', 'sata', 'usb']),
    image,
    in: index === 0 ? 'both' : runs ? random.oddly({ both: 55, inactive: 33, live: 12 }) : 'both',
    spelled: random.oddly({ plain: 76, 'double-slash': 6, 'dot-dot': 6, volume: pooled ? 12 : 0 }),
    chainWritten: based && random.chance(55),
    shareable: format === 'raw' && random.odd(35),
    cache: random.chance(80) ? 'none' : 'writeback',
  };
}

const createOptions = (random: Random): readonly string[] =>
  weighted<'none' | 'cluster' | 'lazy' | 'compat'>(random, { none: 75, cluster: 10, lazy: 8, compat: 7 }) === 'none'
    ? []
    : random.pick([['cluster_size=4k'], ['lazy_refcounts=on'], ['compat=0.10']]);

function baseOf(random: Oddly, seed: number, index: number, near: Folder, depth: number): Image {
  const folder = random.chance(60)
    ? near
    : random.oddly<Folder>({ shared: 65, images: 20, bare: 15, second: 0, asleep: 0, lone: 0 });
  const format = random.chance(70) ? 'qcow2' : 'raw';
  const deeper = format === 'qcow2' && depth < 3 && random.chance(25);
  return {
    folder,
    file: `t${seed}-${index}-base${depth}.${format}`,
    format,
    writes: writesOf(random),
    create: [],
    ...(deeper ? { base: baseOf(random, seed, index, folder, depth + 1) } : {}),
  };
}

const overlay = (random: Random, seed: number, file: string, base: Image): Image => ({
  folder: 'images',
  file: `t${seed}-${file}`,
  format: 'qcow2',
  writes: writesOf(random),
  create: [],
  base,
});

/** Overlapping ranges, so that each kind of empty range is over data of a base. */
function writesOf(random: Random): readonly Write[] {
  return Array.from({ length: 1 + random.below(4) }, () => ({
    op: weighted<Write['op']>(random, { data: 60, zero: 20, discard: 20 }),
    byte: 1 + random.below(255),
    fromKib: 64 * random.below(24),
    kib: 64 * (1 + random.below(diskKib / 64 - 24)),
  }));
}

function mediumOf(random: Oddly, seed: number): Medium {
  const device = random.chance(80) ? 'cdrom' : 'floppy';
  return {
    device,
    folder: random.oddly<Folder>({ images: 40, bare: 30, shared: 10, lone: 20, second: 0, asleep: 0 }),
    file: `t${seed}.${device === 'cdrom' ? 'iso' : 'img'}`,
    byte: 1 + random.below(255),
  };
}

const bystander = (random: Random, seed: number, number: number): TorturedVm => ({
  ...otherVm({ seed, random }, 'host1', []),
  name: `b${seed}-${number}`,
});

/** Another VM that is called the same. */
function twinOf(random: Random, vm: TorturedVm, host: HostName): TorturedVm {
  const image: Image = {
    folder: 'second',
    file: `twin-${vm.uuid.slice(0, 8)}.qcow2`,
    format: 'qcow2',
    writes: writesOf(random),
    create: [],
  };
  return {
    name: vm.name,
    uuid: random.uuid(),
    host,
    state: random.pick(['saved', 'shut-off', 'running']),
    disks: [plainDisk('vda', image)],
    media: [],
    snapshot: false,
    share: false,
    autostart: false,
    title: 'twin',
    ...(vm.nvram === undefined ? {} : { nvram: vm.nvram }),
  };
}

function stepsOf(random: Oddly, vm: TorturedVm): readonly Step[] {
  const count = 1 + random.below(3);
  const to = torturedHosts.filter((host) => host !== vm.host);
  let from: HostName = vm.host;
  return Array.from({ length: count }, (_, index): Step => {
    // often back to where it came from
    const target: HostName =
      index > 0 && random.chance(55)
        ? previous(from, to)
        : random.pick(torturedHosts.filter((host) => host !== from) as [HostName, HostName]);
    to.push(from);
    from = target;
    const options = [
      ...(random.chance(25) ? [random.pick(['--direct', '--peer-to-peer'])] : []),
      ...(vm.media.length > 0
        ? random.chance(60)
          ? ['--copy-media']
          : random.chance(50)
            ? ['--eject-media']
            : []
        : []),
      ...(random.chance(20) ? ['--delete-source-disks'] : []),
      ...(random.chance(vm.disks.some(({ image }) => image.folder === 'asleep') ? 60 : 12) ? ['--assume-shared'] : []),
      ...(random.odd(8) ? ['--kind', random.pick(['cold', 'suspended', 'live', 'configuration'])] : []),
      ...(random.odd(5) ? [random.pick(['--keep-source', '--temporary'])] : []),
    ];
    const fault = random.odd(14)
      ? {
          fault: {
            kind: random.pick<Fault>([
              'kill-control-plane',
              'kill-source-daemon',
              'kill-target-daemon',
              'cut-data',
              'abort',
            ]),
            afterMs: 100 * random.below(20),
          },
        }
      : {};
    return {
      to: target,
      options,
      ...(index > 0 && random.chance(30)
        ? { bring: random.pick<VmState>(['shut-off', 'running', 'paused', 'saved']) }
        : {}),
      ...fault,
      ...(random.odd(vm.disks.some(({ image }) => image.folder === 'shared') ? 14 : 0)
        ? { unmountShared: true as const }
        : {}),
      dryRunFirst: random.chance(25),
      purge: random.chance(25),
    };
  });
}

const previous = (from: HostName, seen: readonly HostName[]): HostName =>
  seen.findLast((host) => host !== from) ?? 'host1';
