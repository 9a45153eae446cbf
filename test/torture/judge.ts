/**
 * What must hold after a step, whatever was asked and whatever broke: the VM is in one place and is what it was; what
 * is not its own did not change; what is new is recorded; a refusal changed nothing and says so in a sentence. Each
 * fault is a sentence. It compares; it asks nobody.
 */
import type { Ran } from '../control-plane.ts';
import { differencesOf, disksOf } from '../definitions.ts';
import type { MigrationJson } from '../fleet.ts';
import type { Domain, World } from '../world.ts';
import type { Contents } from './contents.ts';
import {
  chainOf,
  folders,
  mapsOf,
  nvramPath,
  pathOf,
  placedBy,
  poolOf,
  tpmFolder,
  type Folder,
  type HostName,
  type Mapped,
  type Scenario,
  type Step,
  type TorturedVm,
} from './scenario.ts';

export interface Told {
  readonly ran: Ran;
  readonly migration?: MigrationJson;
}
export interface LeftoverJson {
  readonly host: string;
  readonly path: string;
  readonly role?: string;
  readonly vm: { readonly uuid: string; readonly name: string };
}
interface StepSeen {
  readonly scenario: Scenario;
  readonly step: Step;
  readonly at: HostName;
  readonly told: Told;
  readonly before: World;
  readonly after: World;
  readonly leftBefore: readonly LeftoverJson[];
  readonly left: readonly LeftoverJson[];
}

/**
 * What libvirt, QEMU or a program error says; a sentence of Ferry's may quote it after a colon only where a fault was
 * struck.
 */
const raw = new RegExp(
  [
    /internal error|unable to execute QEMU|operation failed|virError/,
    /defect in Ferry|Traceback|TypeError|undefined|\[object|at \w+ \(|does not know/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'i',
);

export const judge = {
  step(seen: StepSeen): readonly string[] {
    const { told, step } = seen;
    const { outcome } = told.migration ?? {};
    const said = `${told.ran.stdout}${told.ran.stderr}`;
    const faults: string[] = [];
    if (/defect in Ferry/.test(said) || told.ran.code === null)
      faults.push(`it met an error of its own: ${short(said)}`);
    if (told.migration === undefined && ![4, 8].includes(told.ran.code ?? -1))
      faults.push(`it ended with ${told.ran.code} and neither moved nor refused: ${short(said)}`);
    if (step.fault === undefined && outcome === 'failed')
      faults.push(`planned, then failed: ${told.migration?.error?.message ?? ''}`);
    if (told.migration === undefined && told.ran.code === 4) faults.push(...refusal(told.ran, seen.scenario.vm));
    faults.push(...(outcome === 'succeeded' ? succeeded(seen) : stayed(seen)), ...others(seen), ...unrecorded(seen));
    return faults;
  },

  dryRun(ran: Ran, before: World, after: World): readonly string[] {
    return [
      ...(ran.code === 0 || ran.code === 4 || ran.code === 8
        ? []
        : [`--dry-run ended with ${ran.code}: ${short(ran.stderr)}`]),
      ...judge.files(before, after, '--dry-run'),
      ...domainsChanged(before, after, () => true, '--dry-run'),
      ...secretsChanged(before, after).map((what) => `--dry-run ${what}`),
    ];
  },

  /** Nothing came, went or changed. */
  files(before: World, after: World, what: string): readonly string[] {
    return filesChanged(before, after).map(({ host, path, how }) => `${what} ${how} ${host}:${path}`);
  },

  /** Nothing came, went or changed but what a start writes. */
  started(before: World, after: World, { uuid }: TorturedVm): readonly string[] {
    return filesChanged(before, after)
      .filter(({ path }) => !path.startsWith(`${tpmFolder(uuid)}/`))
      .map(({ host, path, how }) => `a start and an end ${how} ${host}:${path}`);
  },

  memory(expected: string, found: string, host: HostName): readonly string[] {
    return expected === found ? [] : [`it woke on ${host} with other memory than it was saved with`];
  },

  contents(expected: Contents, found: Contents, host: HostName): readonly string[] {
    return [...found].flatMap(([name, content]) => {
      const target = name.replace(/ .*/, '');
      return expected.get(target) === content
        ? []
        : [`${name} on ${host} does not hold what it held: ${content.length === 16 ? 'other content' : content}`];
    });
  },

  /** Only what was listed may go. */
  purge(ran: Ran, left: readonly LeftoverJson[], before: World, after: World): readonly string[] {
    return [
      ...(ran.code === 0 || ran.code === 8 || ran.code === 4
        ? []
        : [`volume leftovers --purge ended with ${ran.code}: ${short(ran.stderr)}`]),
      ...(/defect in Ferry/.test(ran.stderr)
        ? [`volume leftovers --purge met an error of its own: ${short(ran.stderr)}`]
        : []),
      ...filesChanged(before, after)
        .filter(
          ({ host, path, how }) => how !== 'deleted' || !left.some((each) => each.host === host && each.path === path),
        )
        .map(({ host, path, how }) => `volume leftovers --purge ${how} ${host}:${path}`),
      ...domainsChanged(before, after, () => true, 'volume leftovers --purge'),
      ...secretsChanged(before, after).map((what) => `volume leftovers --purge ${what}`),
    ];
  },
};

const short = (text: string): string => text.trim().replace(/\s+/g, ' ').slice(0, 500);

/** Each reason is a sentence that ends, with a remedy, in words of Ferry. */
function refusal({ stdout, stderr }: Ran, vm: TorturedVm): readonly string[] {
  const text = stdout.includes('"reasons"') ? stdout : stderr;
  const reasons = reasonsIn(text);
  if (reasons.length === 0) return [`refused without a reason: ${short(stdout + stderr)}`];
  return reasons.flatMap(({ code, message, remedy }) => {
    const sentence = message.trim();
    return [
      ...(raw.test(sentence) ? [`the reason ${code} is no sentence of Ferry's: ${sentence}`] : []),
      ...(sentence.endsWith('.') && remedy !== undefined && remedy.trim() !== ''
        ? []
        : [`the reason ${code} has no end or no remedy: ${sentence} / ${remedy ?? ''}`]),
      ...(remedy?.includes('use --assume-shared') === true && !mayBeShared(vm)
        ? [`the reason ${code} offers --assume-shared for a disk that is not shared: ${sentence}`]
        : []),
    ];
  });
}

/** That both hosts see one storage may be true, and Ferry unable to prove it. */
const mayBeShared = ({ disks }: TorturedVm): boolean =>
  disks.some(({ by, image }) => by === 'block' || chainOf(image).some(({ folder }) => folder === 'shared'));

function reasonsIn(
  text: string,
): readonly { readonly code: string; readonly message: string; readonly remedy?: string }[] {
  try {
    const parsed = JSON.parse(text) as {
      readonly reasons?: readonly { code: string; message: string; remedy?: string }[];
      readonly error?: { readonly reasons?: readonly { code: string; message: string; remedy?: string }[] };
    };
    return parsed.reasons ?? parsed.error?.reasons ?? [];
  } catch {
    return [];
  }
}

const domainOn = (world: World, host: string, uuid: string): Domain | undefined => world.get(host)?.domains.get(uuid);

function succeeded({ scenario, step, at, told, before, after }: StepSeen): readonly string[] {
  const { uuid } = scenario.vm;
  const { migration } = told;
  const there = domainOn(after, step.to, uuid);
  if (there === undefined) return [`succeeded, and it is not on ${step.to}`];
  const was = domainOn(before, at, uuid);
  const old = scenario.others.find((other) => other.uuid === uuid)?.host;
  const kept = step.options.some((option) => option === '--keep-source' || option === '--temporary');
  const elsewhere = [...after.keys()].filter(
    (host) => host !== step.to && host !== old && domainOn(after, host, uuid) !== undefined,
  );
  const faults: string[] = [];
  if (old !== undefined && was?.state === 'shut off' && domainOn(before, old, uuid)?.state === 'shut off')
    faults.push(`moved one of two definitions, on ${at} and ${old}, and nobody said which one is the VM`);
  if (!step.options.includes('configuration')) faults.push(...parted(scenario, at));
  if (elsewhere.length > 0 && !(kept && elsewhere.join() === at && domainOn(after, at, uuid)?.state === 'shut off'))
    faults.push(`succeeded, and it is on ${elsewhere.join(' and ')} too`);
  if (migration?.vmIsNow?.host !== step.to || migration.vmIsNow.state !== there.state.replace(' ', '-'))
    faults.push(`vmIsNow says ${JSON.stringify(migration?.vmIsNow)}, ${step.to} shows it ${there.state}`);
  if (was === undefined) return faults;
  if (was.state !== there.state && !step.options.includes('--auto-start'))
    faults.push(`it was ${was.state} and is ${there.state}`);
  if (was.saved !== there.saved)
    faults.push(was.saved ? 'its saved memory did not come with it' : 'it is saved, and was not');
  if (was.autostart !== there.autostart && !kept)
    faults.push(`autostart was ${was.autostart} and is ${there.autostart}`);
  if (there.persistent || !step.options.includes('--temporary'))
    faults.push(...definitionFaults('inactive', was.inactive, there.inactive, mapsOf(step.options)));
  if (was.live !== undefined && there.live !== undefined)
    faults.push(...definitionFaults('live', was.live, there.live, mapsOf(step.options)));
  else faults.push(...stateFaults(scenario.vm, { at, to: step.to, before, after }));
  return faults;
}

/** A file of this host that another VM has as its disk, too, is two files once one of them has moved. */
const parted = ({ vm, others }: Scenario, at: HostName): readonly string[] =>
  vm.disks
    .filter(({ image, by }) => image.folder !== 'shared' && by === undefined)
    .flatMap(({ target, image }) =>
      others
        .filter(
          ({ uuid, host, disks }) =>
            uuid !== vm.uuid && host === at && disks.some((disk) => pathOf(disk.image) === pathOf(image)),
        )
        .map(({ name }) => `${target} was copied away from ${name} on ${at}, which has the same file`),
    );

/** What belongs to a VM that is shut off arrives as it was. */
function stateFaults(
  { uuid, nvram }: TorturedVm,
  {
    at,
    to,
    before,
    after,
  }: { readonly at: HostName; readonly to: HostName; readonly before: World; readonly after: World },
): readonly string[] {
  const there = after.get(to)?.files;
  return [...(before.get(at)?.files ?? [])]
    .filter(
      ([path]) =>
        (nvram !== undefined && path === nvramPath(nvram)) ||
        (path.startsWith(`${tpmFolder(uuid)}/`) && path.endsWith('.permall')),
    )
    .filter(([path, print]) => there?.get(path) !== print)
    .map(([path]) => `${path} ${there?.has(path) === true ? 'is another one' : 'is not'} on ${to}`);
}

/** Chains may be joined, media taken out, and what is mapped is elsewhere; the rest is said as before. */
function definitionFaults(which: string, before: string, after: string, maps: Mapped): readonly string[] {
  const joined = new Set(disksOf(after).map(({ target }) => target));
  const said = differencesOf(before, after).filter(
    (line) => !/\/backingStore/.test(line) && !/^[-+] domain\/devices\/disk\[(sdz|fda)\]\/source/.test(line),
  );
  const changed = said.filter(
    (line) =>
      !(line.startsWith('-') ? said.includes(`+${mappedLine(line, maps)}`) : false) &&
      !said.some((other) => other.startsWith('-') && `+${mappedLine(other, maps)}` === line),
  );
  const lost = disksOf(before)
    .map(({ target }) => target)
    .filter((target) => !joined.has(target));
  return [
    ...lost.map((target) => `the ${which} definition lost ${target}`),
    ...(changed.length === 0 ? [] : [`the ${which} definition changed: ${changed.slice(0, 6).join('; ')}`]),
  ];
}

/** What a statement says once it is mapped, without its sign. */
function mappedLine(line: string, maps: Mapped): string {
  const pool = (name: string): string =>
    Object.entries(poolOf).find(
      ([folder]) =>
        folder ===
        maps.folders
          .find(([from]) => from === folders[folderOfPool(name)])?.[1]
          .split('/')
          .at(-1),
    )?.[1] ?? name;
  return line
    .slice(1)
    .replace(/\bfile=(\S.*)$/, (_, path: string) => `file=${placedBy(maps, path)}`)
    .replace(/\bpool=(\S+)/, (_, name: string) => `pool=${pool(name)}`)
    .replace(
      /\bbridge=(\S+)/,
      (_, name: string) => `bridge=${maps.networks.find(([from]) => from === name)?.[1] ?? name}`,
    );
}

const folderOfPool = (name: string): Folder =>
  (Object.entries(poolOf).find(([, pool]) => pool === name)?.[0] ?? 'images') as Folder;

function stayed({ scenario, step, at, told, before, after }: StepSeen): readonly string[] {
  const { uuid } = scenario.vm;
  const faults = domainsChanged(
    before,
    after,
    (domain) => domain.uuid === uuid,
    told.migration === undefined ? 'a refusal' : `a move that ${told.migration.outcome ?? 'did not end'}`,
  );
  const is = told.migration?.vmIsNow;
  if (is !== undefined && is.host !== at)
    return [...faults, `${told.migration?.outcome ?? ''}, and vmIsNow says ${is.host}`];
  if (step.options.includes('--keep-dest-guest-on-failed')) return faults;
  return faults;
}

function domainsChanged(before: World, after: World, ours: (domain: Domain) => boolean, what: string): string[] {
  const faults: string[] = [];
  for (const [host, { domains }] of before) {
    for (const domain of [...domains.values()].filter(ours)) {
      const now = domainOn(after, host, domain.uuid);
      if (now === undefined) {
        faults.push(`${what} took ${domain.name} (${domain.uuid.slice(0, 8)}) away from ${host}`);
        continue;
      }
      if (
        now.state !== domain.state ||
        now.saved !== domain.saved ||
        now.autostart !== domain.autostart ||
        now.persistent !== domain.persistent
      )
        faults.push(
          `${what} left ${domain.name} on ${host} ` +
            `${now.state}${now.saved ? ' and saved' : ''}${now.persistent ? '' : ', transient'}; it was ` +
            `${domain.state}${domain.saved ? ' and saved' : ''}`,
        );
      const changed = [
        ...differencesOf(domain.inactive, now.inactive),
        ...(domain.live === undefined || now.live === undefined ? [] : differencesOf(domain.live, now.live)),
      ];
      if (changed.length > 0)
        faults.push(`${what} changed the definition of ${domain.name} on ${host}: ${changed.slice(0, 6).join('; ')}`);
    }
  }
  for (const [host, { domains }] of after)
    for (const domain of [...domains.values()].filter(ours))
      if (domainOn(before, host, domain.uuid) === undefined)
        faults.push(`${what} left ${domain.name} (${domain.uuid.slice(0, 8)}, ${domain.state}) on ${host}`);
  return faults;
}

/** Every domain and pool that is not the VM's. */
function others({ scenario, step, before, after, told }: StepSeen): readonly string[] {
  const what = told.migration === undefined ? 'a refusal' : 'the move';
  const pools = [...after].flatMap(([host, { pools: now }]) => {
    const was = before.get(host)?.pools ?? new Map<string, boolean>();
    return [...new Set([...was.keys(), ...now.keys()])]
      .filter((name) => was.get(name) !== now.get(name))
      .map(
        (name) =>
          `${what} left the pool ${name} on ${host} ` +
          (now.get(name) === undefined ? 'gone' : now.get(name) === true ? 'started' : 'stopped'),
      );
  });
  // those that a move was asked to make stay with the VM
  const secrets = secretsChanged(
    before,
    after,
    (host, uuid) =>
      told.migration?.outcome === 'succeeded' &&
      step.options.includes('--create-missing') &&
      host === step.to &&
      uuid === scenario.secret?.uuid,
  );
  return [
    ...domainsChanged(before, after, (domain) => domain.uuid !== scenario.vm.uuid, what),
    ...pools,
    ...secrets.map((changed) => `${what} ${changed}`),
  ];
}

function secretsChanged(
  before: World,
  after: World,
  mayCome: (host: string, uuid: string) => boolean = () => false,
): readonly string[] {
  return [...after].flatMap(([host, { secrets: now }]) => {
    const was = before.get(host)?.secrets ?? new Map<string, string>();
    return [...new Set([...was.keys(), ...now.keys()])]
      .filter((uuid) => was.get(uuid) !== now.get(uuid) && !(was.get(uuid) === undefined && mayCome(host, uuid)))
      .map((uuid) => `${now.has(uuid) ? 'made or changed' : 'deleted'} the secret ${uuid} on ${host}`);
  });
}

interface ChangedFile {
  readonly host: string;
  readonly path: string;
  readonly how: 'made' | 'changed' | 'deleted';
}
function filesChanged(before: World, after: World): readonly ChangedFile[] {
  return [...after].flatMap(([host, { files }]) => {
    const was = before.get(host)?.files ?? new Map<string, string>();
    return [...new Set([...was.keys(), ...files.keys()])].flatMap((path): ChangedFile[] => {
      const [old, now] = [was.get(path), files.get(path)];
      return old === now
        ? []
        : [{ host, path, how: old === undefined ? 'made' : now === undefined ? 'deleted' : 'changed' }];
    });
  });
}

/** Files that came, went or changed, and why that is right; otherwise it is a fault. */
function unrecorded({ scenario, step, at, told, before, after, leftBefore, left }: StepSeen): readonly string[] {
  const { vm } = scenario;
  const moved = told.migration?.outcome === 'succeeded';
  const own = ownFiles(scenario);
  const usedByOthers = new Set(
    scenario.others
      .filter(({ host }) => host === at)
      .flatMap(({ disks, nvram }) => [
        ...disks.flatMap(({ image }) => chainOf(image).map(pathOf)),
        ...(nvram === undefined ? [] : [nvramPath(nvram)]),
      ]),
  );
  const listed = (list: readonly LeftoverJson[], host: string, path: string): boolean =>
    list.some((each) => each.host === host && each.path === path);
  return filesChanged(before, after)
    .filter(({ host, path, how }) => {
      const mine = own(path);
      if (how === 'made') return !(moved && host === step.to && mine) && !listed(left, host, path);
      // QEMU writes to the image of a guest that runs, also when it ends (the dirty bit of lazy refcounts)
      if (moved && host === at && mine && how === 'changed' && domainOn(before, at, vm.uuid)?.live !== undefined)
        return false;
      // an earlier move's copy is replaced when it comes back, or taken when it was purged
      if (listed(leftBefore, host, path) && mine && (moved || how === 'deleted')) return false;
      if (moved && host === at && mine && how === 'deleted')
        return usedByOthers.has(path) || (isDisk(vm, path) && !step.options.includes('--delete-source-disks'));
      return true;
    })
    .map(
      ({ host, path, how }) =>
        `${moved ? 'the move' : 'a move that did not happen'} ${how} ${host}:${path}${how === 'made' ? ', which nobody recorded' : ''}`,
    );
}

const isDisk = (vm: TorturedVm, path: string): boolean =>
  vm.disks.some(({ image }) => chainOf(image).some((each) => pathOf(each) === path));

/** Wherever the maps of any step put them. */
function ownFiles({ vm, steps }: Scenario): (path: string) => boolean {
  const own = new Set([
    ...vm.disks.flatMap(({ image }) => chainOf(image).map(pathOf)),
    ...vm.media.map(pathOf),
    ...(vm.nvram === undefined ? [] : [nvramPath(vm.nvram)]),
    `/var/lib/libvirt/qemu/save/${vm.name}.save`,
  ]);
  for (const { options } of steps) for (const path of own) own.add(placedBy(mapsOf(options), path));
  return (path) => own.has(path) || path.startsWith(`${tpmFolder(vm.uuid)}/`);
}
