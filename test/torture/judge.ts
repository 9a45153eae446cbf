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
import { chainOf, nvramPath, pathOf, type HostName, type Scenario, type Step, type TorturedVm } from './scenario.ts';

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
const raw =
  /internal error|unable to execute QEMU|operation failed|defect in Ferry|virError|Traceback|TypeError|undefined|\[object|at \w+ \(|does not know/i;

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
    if (told.migration === undefined && told.ran.code === 4) faults.push(...refusal(told.ran));
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
    ];
  },

  /** Nothing came, went or changed. */
  files(before: World, after: World, what: string): readonly string[] {
    return filesChanged(before, after).map(({ host, path, how }) => `${what} ${how} ${host}:${path}`);
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
    ];
  },
};

const short = (text: string): string => text.trim().replace(/\s+/g, ' ').slice(0, 500);

/** Each reason is a sentence that ends, with a remedy, in words of Ferry. */
function refusal({ stdout, stderr }: Ran): readonly string[] {
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
    ];
  });
}

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
    faults.push(...definitionFaults('inactive', was.inactive, there.inactive));
  if (was.live !== undefined && there.live !== undefined)
    faults.push(...definitionFaults('live', was.live, there.live));
  return faults;
}

/** Chains may be joined, and media taken out; the rest is said as before. */
function definitionFaults(which: string, before: string, after: string): readonly string[] {
  const joined = new Set(disksOf(after).map(({ target }) => target));
  const changed = differencesOf(before, after).filter(
    (line) => !/\/backingStore/.test(line) && !/^[-+] domain\/devices\/disk\[(sdz|fda)\]\/source/.test(line),
  );
  const lost = disksOf(before)
    .map(({ target }) => target)
    .filter((target) => !joined.has(target));
  return [
    ...lost.map((target) => `the ${which} definition lost ${target}`),
    ...(changed.length === 0 ? [] : [`the ${which} definition changed: ${changed.slice(0, 6).join('; ')}`]),
  ];
}

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
function others({ scenario, before, after, told }: StepSeen): readonly string[] {
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
  return [...domainsChanged(before, after, (domain) => domain.uuid !== scenario.vm.uuid, what), ...pools];
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
  const own = ownFiles(vm);
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
      const mine = own.has(path);
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

function ownFiles(vm: TorturedVm): ReadonlySet<string> {
  return new Set([
    ...vm.disks.flatMap(({ image }) => chainOf(image).map(pathOf)),
    ...vm.media.map(pathOf),
    ...(vm.nvram === undefined ? [] : [nvramPath(vm.nvram)]),
    `/var/lib/libvirt/qemu/save/${vm.name}.save`,
  ]);
}
