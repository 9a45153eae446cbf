/**
 * What a definition needs from its host other than storage, and what must change for the target: names of networks,
 * bridges, pools and paths. Pure: it says what to change, and a driver changes the XML.
 */
import type { DefinitionMap } from '../model/host.ts';
import { tidyPath } from '../model/paths.ts';
import type { DefinitionPlan, ResourceRef } from '../model/plan.ts';
import type { Reason } from '../model/reasons.ts';
import type { BackingImage, PoolFacts } from '../model/storage.ts';
import type { HostPath, Tie } from './host-ties.ts';
import type { MachineNeed } from './machine-type.ts';
import { planSecrets, type Secrets } from './secrets.ts';

/** What the definition names, each once. */
export interface DefinitionNeeds {
  /** libvirt's networks. */
  readonly networks: readonly string[];
  /** Bridges of the host. */
  readonly bridges: readonly string[];
  readonly filters: readonly string[];
  /** As `uuid:UUID` or `TYPE:USAGE`. */
  readonly secrets: readonly string[];
  /** The MTU that a card sets for itself, by its network or bridge. */
  readonly mtus?: ReadonlyMap<string, number>;
  /** Of the host, other than disks. */
  readonly paths: readonly HostPath[];
  readonly ties: readonly Tie[];
  readonly machines: readonly MachineNeed[];
}

/** A definition that the operator gave. */
export interface OwnDefinition {
  readonly uuid: string;
  readonly name: string;
  /** Sources by target device. */
  readonly disks: Readonly<Record<string, string>>;
  readonly needs: DefinitionNeeds;
}

/** What a host has. */
export interface HostResources {
  /** Whether it runs, by name. */
  readonly networks: ReadonlyMap<string, boolean>;
  /** Interfaces of the host; undefined when it does not list them. */
  readonly interfaces?: ReadonlySet<string>;
  readonly filters: ReadonlySet<string>;
  readonly secrets: Secrets;
  /** Of the requested networks and bridges, as far as the host reports it. */
  readonly mtus?: ReadonlyMap<string, number>;
}

export const noNeeds: DefinitionNeeds = {
  networks: [],
  bridges: [],
  filters: [],
  secrets: [],
  paths: [],
  ties: [],
  machines: [],
};

const union = (a: readonly string[], b: readonly string[]): readonly string[] => [...new Set([...a, ...b])];

/** `a`: of the running guest, whose ties count. */
export const joinNeeds = (a: DefinitionNeeds, b: DefinitionNeeds): DefinitionNeeds => ({
  networks: union(a.networks, b.networks),
  bridges: union(a.bridges, b.bridges),
  filters: union(a.filters, b.filters),
  secrets: union(a.secrets, b.secrets),
  paths: [...new Map([...a.paths, ...b.paths].map((each) => [each.path, each])).values()],
  ties: a.ties,
  machines: [...new Map([...a.machines, ...b.machines].map((each) => [JSON.stringify(each), each])).values()],
  mtus: new Map([...(b.mtus ?? []), ...(a.mtus ?? [])]),
});

/** The second wins. */
export function joinMaps(defaults: DefinitionMap | undefined, wishes: DefinitionMap | undefined): DefinitionMap {
  const join = (name: 'networks' | 'pools' | 'paths'): DefinitionMap => {
    const joined = { ...defaults?.[name], ...wishes?.[name] };
    return Object.keys(joined).length === 0 ? {} : { [name]: joined };
  };
  const graphicsListen = wishes?.graphicsListen ?? defaults?.graphicsListen;
  return {
    ...join('networks'),
    ...join('pools'),
    ...join('paths'),
    ...(graphicsListen === undefined ? {} : { graphicsListen }),
  };
}

/** Networks and bridges that a definition names, as the target calls them. */
export const linksOf = ({ networks, bridges }: DefinitionNeeds, map: DefinitionMap): readonly string[] => [
  ...new Set([...networks, ...bridges].map((name) => map.networks?.[name] ?? name)),
];

/** What is said of networks that carry smaller frames on the target. Where an MTU is not known nothing is said. */
export function mtuWarnings(
  vm: string,
  needs: DefinitionNeeds,
  map: DefinitionMap,
  here: { readonly name: string; readonly mtus: HostResources['mtus'] },
  there: { readonly name: string; readonly mtus: HostResources['mtus'] },
): readonly Reason[] {
  return linksOf(needs, {}).flatMap((name) => {
    const to = map.networks?.[name] ?? name;
    const own = needs.mtus?.get(name);
    const before = own ?? here.mtus?.get(name);
    const after = there.mtus?.get(to);
    if (before === undefined || after === undefined || after >= before) return [];
    const what =
      own === undefined
        ? `${name} on ${here.name} has one of ${before}`
        : `${vm}'s card on ${name} has one of ${before}`;
    return [
      {
        code: 'network-mtu',
        host: there.name,
        message: `The MTU of ${to} on ${there.name} is ${after}, and ${what}: larger frames are lost there.`,
        remedy: `Set the MTU of ${to} on ${there.name} to ${before}, or map the network to another one.`,
      },
    ];
  });
}

/** Pairs of a path on the source and the one on the target, longest first; paths below go along. */
export type Places = readonly (readonly [from: string, to: string])[];

/** A pool stands for its folder. A pool that is missing is a reason. */
export function placesOf(
  map: DefinitionMap,
  source: { readonly name: string; readonly pools: readonly PoolFacts[] },
  target: { readonly name: string; readonly pools: readonly PoolFacts[] },
): { readonly places: Places; readonly reasons: readonly Reason[] } {
  const reasons: Reason[] = [];
  const places = Object.entries(map.paths ?? {}).map(([from, to]): readonly [string, string] => [
    tidyPath(from),
    tidyPath(to),
  ]);
  for (const [from, to] of Object.entries(map.pools ?? {})) {
    const here = source.pools.find(({ name }) => name === from)?.path;
    const there = target.pools.find(({ name }) => name === to)?.path;
    // a pool that the source does not have is none of this VM's
    if (here === undefined) continue;
    if (there === undefined)
      reasons.push({
        code: 'map-pool-missing',
        host: target.name,
        message: `${target.name} has no pool of files named ${to}, to which ${from} is mapped.`,
        remedy: `Create it, or map ${from} to another one: ${target.pools.map(({ name }) => name).join(', ') || 'it has none'}.`,
      });
    else places.push([here, there]);
  }
  return { places: places.sort(([a], [b]) => b.length - a.length), reasons };
}

/** Where on the target what is at `path` on the source goes. */
export function placeOf(path: string, places: Places): string {
  const found = places.find(([from]) => path === from || path.startsWith(`${from}/`));
  return found === undefined ? path : found[1] + path.slice(found[0].length);
}

/** What of the disks is other in a definition on the target. */
export interface DiskEdits {
  /** New sources of disks by target device; null ejects. */
  readonly disks: Readonly<Record<string, string | null>>;
  /** Images below disks by target device, where the definition has to name others. */
  readonly chains: Readonly<Record<string, readonly BackingImage[]>>;
  /** Pools of disks that name one, by target device, where the target calls theirs otherwise. */
  readonly volumePools: Readonly<Record<string, string>>;
}

export interface DefinitionInput extends DiskEdits {
  readonly vm: string;
  readonly needs: DefinitionNeeds;
  readonly map: DefinitionMap;
  readonly source: string;
  readonly target: string;
  /** Undefined: the target was not asked. */
  readonly resources: HostResources | undefined;
  /** Undefined: the source was not asked. */
  readonly sourceSecrets: Secrets | undefined;
  readonly createMissing: boolean;
  /** In the definition for the next start; absent: the same. */
  readonly nextStart?: DiskEdits;
  readonly ownXml: boolean;
}

/** What is to be changed (undefined: nothing) and made, or every reason why the target does not take the definition. */
export function planDefinition({
  vm,
  needs,
  map,
  source,
  target,
  resources,
  sourceSecrets,
  createMissing,
  disks,
  chains,
  volumePools,
  nextStart,
  ownXml,
}: DefinitionInput): {
  readonly definition: DefinitionPlan | undefined;
  readonly reasons: readonly Reason[];
  readonly doubts: readonly Reason[];
} {
  const reasons: Reason[] = [];
  const doubts: Reason[] = [];
  const creates: ResourceRef[] = [];
  const networks = Object.fromEntries(
    [...needs.networks, ...needs.bridges].flatMap((name) =>
      map.networks?.[name] === undefined || map.networks[name] === name ? [] : [[name, map.networks[name]]],
    ),
  );
  const named = (name: string): string => networks[name] ?? name;
  /** As the VM's own definition says it. */
  const original = (name: string): string => Object.entries(networks).find(([, to]) => to === name)?.[0] ?? name;
  const missing = (kind: ResourceRef['kind'], name: string, what: string, remedy: string): void => {
    // what is mapped exists on the source under another name, if at all
    if (createMissing && !Object.values(networks).includes(name)) creates.push({ kind, name });
    else
      reasons.push({
        code: `${kind}-missing`,
        host: target,
        message: `${target} has no ${what}, which ${vm} needs.`,
        remedy,
      });
  };
  if (resources !== undefined) {
    const known = [...resources.networks.keys()].sort().join(', ') || 'it has none';
    for (const name of new Set(needs.networks.map(named))) {
      const active = resources.networks.get(name);
      if (active === undefined)
        missing(
          'network',
          name,
          `network ${name}`,
          `Map it with --map-network ${original(name)}=NAME (${target} has: ` +
            `${known})${original(name) === name ? ', or create it with --create-missing' : ''}.`,
        );
      else if (!active)
        reasons.push({
          code: 'network-inactive',
          host: target,
          message: `The network ${name} on ${target} is not active, and ${vm} needs it.`,
          remedy: `On ${target}: virsh net-start ${name}`,
        });
    }
    for (const name of new Set(needs.bridges.map(named))) {
      if (resources.interfaces?.has(name) === false)
        reasons.push({
          code: 'bridge-missing',
          host: target,
          message: `${target} has no bridge ${name}, which ${vm} needs.`,
          remedy: `Create it there, or map it with --map-network ${original(name)}=BRIDGE.`,
        });
    }
    for (const name of needs.filters)
      if (!resources.filters.has(name))
        missing(
          'filter',
          name,
          `network filter ${name}`,
          'Define it there (virsh nwfilter-define), or create it with --create-missing.',
        );
    const secrets = planSecrets({
      vm,
      needed: needs.secrets,
      source,
      target,
      here: sourceSecrets,
      there: resources.secrets,
      createMissing,
    });
    reasons.push(...secrets.reasons);
    creates.push(...secrets.creates.map((name) => ({ kind: 'secret' as const, name })));
    doubts.push(...secrets.doubts);
  }
  const plan: DefinitionPlan = {
    ...(Object.keys(networks).length === 0 ? {} : { networks }),
    ...(map.pools === undefined ? {} : { pools: map.pools }),
    ...(Object.keys(disks).length === 0 ? {} : { disks }),
    ...(Object.keys(chains).length === 0 ? {} : { chains }),
    ...(Object.keys(volumePools).length === 0 ? {} : { volumePools }),
    ...(nextStart === undefined || JSON.stringify(nextStart) === JSON.stringify({ disks, chains, volumePools })
      ? {}
      : { nextStart }),
    ...(map.graphicsListen === undefined ? {} : { graphicsListen: map.graphicsListen }),
    ...(ownXml ? { ownXml: true as const } : {}),
    ...(creates.length === 0 ? {} : { creates }),
  };
  return { definition: Object.keys(plan).length === 0 ? undefined : plan, reasons, doubts };
}

/** What an operator maps for one move has to be there; a cluster's map is for whatever comes in. */
export function mapReasons(vm: string, needs: DefinitionNeeds, asked: DefinitionMap | undefined): readonly Reason[] {
  const own = [...needs.networks, ...needs.bridges].sort();
  return Object.keys(asked?.networks ?? {})
    .filter((name) => !own.includes(name))
    .map((name) => ({
      code: 'map-network-unknown',
      message: `${vm} has no card on a network or bridge named ${name}.`,
      remedy: own.length === 0 ? 'Omit --map-network.' : `It has: ${own.join(', ')}.`,
    }));
}

/** Lines that differ, as `-` and `+`, in order; passwords are not shown. */
export function lineDiff(before: string, after: string): readonly string[] {
  const [a, b] = [before.split('\n'), after.split('\n')];
  // lengths of the longest common subsequence of what follows
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  const at = (i: number, j: number): number => common[i]?.[j] ?? 0;
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const row = common[i];
      if (row !== undefined) row[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: string[] = [];
  const say = (sign: string, line: string): void =>
    void lines.push(`${sign}${line.replace(/passwd=('[^']*'|"[^"]*")/g, "passwd='***'")}`);
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    if (i < a.length && j < b.length && a[i] === b[j]) [i, j] = [i + 1, j + 1];
    else if (i < a.length && (j === b.length || at(i + 1, j) >= at(i, j + 1))) say('-', a[i++] ?? '');
    else say('+', b[j++] ?? '');
  }
  return lines;
}
