/**
 * Features other than copied and shared files: encrypted disks and their secret, a TPM, disks that are exports or
 * devices, a target without space, maps to other names. Some seeds have one of them.
 */
import { plainDisk } from './corners.ts';
import type { Random } from './random.ts';
import { folders, pathOf, type Disk, type Folder, type Scenario, type SecretThere } from './scenario.ts';

/** Each step with options drawn for it, each option once. */
const withOptions = (scenario: Scenario, options: () => readonly string[]): Scenario => ({
  ...scenario,
  steps: scenario.steps.map((step) => {
    const drawn = options();
    return drawn.some((option) => step.options.includes(option))
      ? step
      : { ...step, options: [...step.options, ...drawn] };
  }),
});

const kinds: readonly ((random: Random, scenario: Scenario) => Scenario)[] = [
  function luks(random, scenario) {
    const { vm } = scenario;
    const disks = vm.disks.map((disk, index): Disk => {
      if (index > 0 && !random.chance(30)) return disk;
      const { base: _, linkedTo: __, ...image } = disk.image;
      return {
        ...disk,
        image: { ...image, folder: image.folder === 'shared' ? 'images' : image.folder, luks: true, create: [] },
        chainWritten: false,
        spelled: disk.spelled === 'volume' ? 'plain' : disk.spelled,
        shareable: false,
      };
    });
    const there = (): SecretThere => random.pick(['value', 'value', 'missing', 'missing', 'empty', 'private']);
    const secret = {
      uuid: random.uuid(),
      on: { host1: random.pick<SecretThere>(['value', 'value', 'value', 'private']), host2: there(), host3: there() },
    };
    return withOptions(
      { ...scenario, vm: { ...vm, disks, snapshot: false }, others: apart(scenario, disks), secret },
      () => (random.chance(60) ? ['--create-missing'] : []),
    );
  },
  function tpm(_, scenario) {
    return { ...scenario, vm: { ...scenario.vm, tpm: true, snapshot: false } };
  },
  function nbd(random, scenario) {
    return withDisk(random, scenario, 'nbd');
  },
  function block(random, scenario) {
    return withOptions(withDisk(random, scenario, 'block'), () => (random.chance(70) ? ['--assume-shared'] : []));
  },
  function small(random, scenario) {
    const host = scenario.steps[0]?.to ?? 'host2';
    const folder = random.pick<'images' | 'second'>(['images', 'images', 'second']);
    // what others have there has no room either
    const taken = [
      ...scenario.others
        .filter((other) => other.host === host)
        .flatMap(({ disks }) => disks.map(({ image }) => pathOf(image))),
      ...scenario.foreign.filter((each) => each.host === host).map(({ path }) => path),
    ].some((path) => path.startsWith(`${folders[folder]}/`));
    return taken || host === scenario.vm.host
      ? scenario
      : { ...scenario, small: { host, folder, mib: 1 + random.below(5) } };
  },
  function maps(random, scenario) {
    // on the way back what was mapped is at home where it is, or is sent on
    return withOptions(scenario, () => {
      const [from, to] = random.pick<readonly [Folder, Folder]>([
        ['images', 'second'],
        ['images', 'second'],
        ['second', 'images'],
        ['bare', 'images'],
        ['shared', 'images'],
      ]);
      const pools: Partial<Record<Folder, string>> = { images: 'default', second: 'second' };
      return [
        ...(random.chance(60)
          ? pools[from] !== undefined && random.chance(50)
            ? ['--map-pool', `${pools[from]}=${pools[to] ?? ''}`]
            : ['--map-path', `${folders[from]}=${folders[to]}`]
          : []),
        ...(random.chance(30) ? ['--map-network', random.pick(['br0=br1', 'br0=br1', 'br1=br0'])] : []),
      ];
    });
  },
];

/** One more disk, which no file of a host's folder is. */
function withDisk(random: Random, scenario: Scenario, by: 'nbd' | 'block'): Scenario {
  const { seed, vm } = scenario;
  const [own] = vm.disks;
  if (own === undefined) return scenario;
  const image = {
    folder: 'bare',
    file: `t${seed}-${by}.raw`,
    format: 'raw',
    writes: own.image.writes,
    create: [],
  } as const;
  const disk: Disk = { ...plainDisk('vdz', image), by, cache: random.chance(80) ? 'none' : 'writeback' };
  return { ...scenario, vm: { ...vm, disks: random.chance(40) ? [disk] : [...vm.disks, disk], snapshot: false } };
}

/** Others that share what is encrypted now would read nonsense. */
const apart = ({ others, vm }: Scenario, disks: readonly Disk[]): Scenario['others'] => {
  const paths = disks.filter(({ image }) => image.luks === true).map(({ image }) => pathOf(image));
  return others.filter(
    (other) =>
      other.uuid !== vm.uuid &&
      !other.disks.some(({ image }) => paths.includes(pathOf(image)) || image.base !== undefined),
  );
};

export function withKind(random: Random, scenario: Scenario): Scenario {
  if (scenario.corner !== undefined || !random.chance(45)) return scenario;
  return random.pick(kinds as [(typeof kinds)[number]])(random, scenario);
}
