/**
 * What is wrong with hosts alone, between two of them, and within a cluster, from what they say. A move would meet most
 * of it one by one; here it is found before. Pure.
 */
import type { Cluster, HostView } from '../model/host.ts';
import type { HostId, TimeMs } from '../model/ids.ts';
import { type DoctorCode, type DoctorFinding, doctorTable } from '../model/doctor.ts';
import { isInNetwork } from '../model/network.ts';
import type { PoolFacts } from '../model/storage.ts';
import type { HostResources } from '../planning/definition.ts';
import { hasDefect, isMendable, knownDefects } from '../planning/known-defects.ts';
import { declaredOf } from '../planning/checks/os.ts';
import { addressOf, isNetworkUri } from '../planning/transfer.ts';
import { namesOf } from '../planning/wait-reasons.ts';
import { notConnected, otherMachineRemedy } from './machine.ts';

/** What one host answered; absent: it was not asked, or did not answer. */
export interface HostExamined {
  readonly view: HostView;
  readonly pools?: readonly PoolFacts[];
  readonly resources?: HostResources;
  /** Why it accepts no further connection. */
  readonly full?: string;
  /** Its clock against ours, ms: positive where it is ahead. `within`: how exact that is. */
  readonly clock?: { readonly aheadMs: number; readonly withinMs: number };
  /** Of the daemon's certificate. */
  readonly certificateUntil?: TimeMs;
  /** Questions that it did not answer, and why. */
  readonly silent: readonly { readonly what: string; readonly why: string }[];
}

export interface Examination {
  /** Those that are examined. */
  readonly hosts: readonly HostExamined[];
  /** All of the fleet: a name may be another one's. */
  readonly fleet: readonly HostView[];
  readonly clusters: ReadonlyMap<string, Cluster>;
  /** By source, then target: why the one daemon did not reach the other. */
  readonly refusals: ReadonlyMap<HostId, ReadonlyMap<HostId, string>>;
  readonly now: TimeMs;
}

/** A guest that is set to its host's time after a move should not jump by more. */
export const clockToleranceMs = 2_000;
const certificateWarningMs = 30 * 24 * 3_600_000;

export const examine = (input: Examination): readonly DoctorFinding[] => {
  const clusters = new Map<string, HostExamined[]>();
  for (const each of input.hosts) {
    const name = each.view.host.cluster;
    clusters.set(name, [...(clusters.get(name) ?? []), each]);
  }
  return [
    ...input.hosts.flatMap((each) => alone(each, input)),
    ...[...clusters].flatMap(([name, hosts]) => [...unlike(name, hosts), ...lacking(hosts)]),
    ...pairs(input),
  ];
};

const finding = (
  code: DoctorCode,
  about: Pick<DoctorFinding, 'host' | 'to' | 'cluster'>,
  message: string,
  remedy: string,
): DoctorFinding => ({ code, verdict: doctorTable[code].verdict, ...about, message, remedy });

type Say = (code: DoctorCode, message: string, remedy: string) => void;

function alone(examined: HostExamined, input: Examination): readonly DoctorFinding[] {
  const { view } = examined;
  const { host, facts } = view;
  const found: DoctorFinding[] = [];
  const say: Say = (code, message, remedy) => void found.push(finding(code, { host: host.name }, message, remedy));
  if (view.state !== 'connected') {
    const remedy = view.state === 'other-machine' ? otherMachineRemedy(host) : 'Restore the connection.';
    say('host-away', notConnected(view), remedy);
    return found;
  }
  for (const { what, why } of examined.silent)
    say('host-question-silent', `${host.name} did not answer ${what}: ${why}.`, 'Look at its daemon and its storage.');
  if (examined.full !== undefined)
    say(
      'host-connections',
      `${host.name} accepts no further connection: ${examined.full}.`,
      'Raise max_clients in libvirtd.conf there, and restart the daemon.',
    );
  if (facts !== undefined) software(host.name, view, say);
  addresses(view, input, say);
  dated(examined, input.now, say);
  things(host.name, examined, say);
  return found;
}

function software(name: string, view: HostView, say: Say): void {
  const { facts } = view;
  if (facts?.qemuVersion === undefined)
    say('host-qemu', `libvirt on ${name} finds no QEMU that it can use.`, `Install or repair QEMU on ${name}.`);
  const own = facts?.guests?.find(({ arch }) => arch === facts.cpu.arch);
  if (own !== undefined && !own.domainTypes.includes('kvm'))
    say(
      'host-kvm',
      `${name} has no KVM: it can run no guest that is defined with it.`,
      `Switch on virtualisation in the firmware of ${name}, load its kvm module and restart libvirtd.`,
    );
  for (const defect of knownDefects)
    if (isMendable(defect) && hasDefect(defect, view))
      say(
        'host-defect',
        `libvirt ${facts?.libvirtVersion ?? '?'} on ${name}: ${defect.what} (${defect.source}, ${defect.id}).`,
        defect.remedy,
      );
}

function addresses({ host, facts }: HostView, { fleet, clusters }: Examination, say: Say): void {
  const { name } = host;
  if (!isNetworkUri(host.uri))
    say(
      'host-uri-local',
      `${name} was added as ${host.uri}, by which other hosts cannot reach it: Ferry drives every migration to it.`,
      'Add it by its network address, e.g. qemu+tls://ADDRESS/system.',
    );
  const called = facts?.hostname ?? '';
  if (/^localhost(\.|$)/.test(called))
    say(
      'host-name-local',
      `${name} calls itself ${called}, and libvirt moves nothing to a host of that name unless it is given an address.`,
      `Name it (hostnamectl set-hostname), restart libvirtd there, or: ferry host set ${name} --migration-address IP`,
    );
  const twin = fleet.find((each) => each.host.id !== host.id && called !== '' && each.facts?.hostname === called);
  if (twin !== undefined)
    say(
      'host-name-shared',
      `${name} and ${twin.host.name} both call themselves ${called}: a migration may go to the wrong one.`,
      'Give each its own host name.',
    );
  const network = clusters.get(host.cluster)?.migrationNetwork;
  const address = host.migrationAddress ?? addressOf(host.uri);
  if (network !== undefined && (address === undefined || !isInNetwork(address, network)))
    say(
      'host-migration-address',
      `${name} has no address in ${network}, the migration network of the cluster ${host.cluster}.`,
      `Set one: ferry host set ${name} --migration-address ADDRESS`,
    );
}

function dated({ view, clock, certificateUntil }: HostExamined, now: TimeMs, say: Say): void {
  const { name } = view.host;
  if (certificateUntil !== undefined && certificateUntil - now < certificateWarningMs) {
    const days = Math.floor((certificateUntil - now) / (24 * 3_600_000));
    const when = days < 0 ? 'has expired' : `expires in ${days} day(s)`;
    say('host-certificate', `The certificate of ${name} ${when}.`, 'Issue a new one, and restart its daemon.');
  }
  if (clock !== undefined && Math.abs(clock.aheadMs) > clockToleranceMs + clock.withinMs)
    say(
      'host-clock',
      `The clock of ${name} is ${Math.round(Math.abs(clock.aheadMs) / 1_000)} s ${clock.aheadMs > 0 ? 'ahead of' : 'behind'} ours: ` +
        'guests that move there get another time, and certificates may seem invalid.',
      `Check its time service (chronyc tracking), and that of the control plane.`,
    );
}

function things(name: string, { pools = [], resources }: HostExamined, say: Say): void {
  for (const pool of pools)
    if (!pool.active)
      say('pool-inactive', `The storage pool ${pool.name} of ${name} is not active.`, `virsh pool-start ${pool.name}`);
  for (const [network, active] of resources?.networks ?? [])
    if (!active)
      say('network-stopped', `The network ${network} of ${name} is not active.`, `virsh net-start ${network}`);
  for (const [secret, { value }] of resources?.secrets ?? [])
    if (value === 'none' && secret.startsWith('uuid:'))
      say(
        'secret-empty',
        `The secret ${secret.slice('uuid:'.length)} of ${name} has no value.`,
        `virsh secret-set-value ${secret.slice('uuid:'.length)}`,
      );
}

/** By value, the hosts that have it; empty where all have the same. */
function differing<T extends HostExamined>(
  hosts: readonly T[],
  of: (host: T) => string | undefined,
): readonly string[] {
  const groups = new Map<string, string[]>();
  for (const each of hosts) {
    const value = of(each);
    if (value !== undefined) groups.set(value, [...(groups.get(value) ?? []), each.view.host.name]);
  }
  return groups.size < 2 ? [] : [...groups].map(([value, names]) => `${value} (${namesOf(names)})`);
}

const cpuOf = ({ view: { facts } }: HostExamined): string | undefined => {
  if (facts === undefined || facts.cpu.model === '') return undefined;
  // each libvirt names one CPU by the nearest model that it knows
  const { vendor, model, signature, microcode } = facts.cpu;
  const what = signature === undefined ? model : `family/model/stepping ${signature}`;
  return `${vendor} ${what}${microcode === undefined ? '' : `, microcode ${microcode}`}`.trim();
};

function unlike(cluster: string, hosts: readonly HostExamined[]): readonly DoctorFinding[] {
  const found: DoctorFinding[] = [];
  const compare = (code: DoctorCode, what: string, remedy: string, of: (host: HostExamined) => string | undefined) => {
    const each = differing(hosts, of);
    if (each.length > 0)
      found.push(
        finding(
          code,
          { cluster },
          `Hosts of the cluster ${cluster} have different ${what}: ${each.join(', ')}.`,
          remedy,
        ),
      );
  };
  const upgrade = 'Move VMs to the newer hosts only, and upgrade the others.';
  compare('cluster-versions', 'versions of libvirt', upgrade, ({ view }) => view.facts?.libvirtVersion);
  compare('cluster-versions', 'versions of QEMU', upgrade, ({ view }) => view.facts?.qemuVersion);
  compare('cluster-cpus', 'CPUs', `Give the VMs a CPU that all have: ferry cluster cpu-baseline ${cluster}`, cpuOf);
  for (const [key, what] of [
    ['os', 'operating systems'],
    ['kernel', 'kernels'],
  ] as const)
    compare('cluster-systems', what, upgrade, ({ view: { host } }) => declaredOf(host, key));
  return found;
}

/** What others of the cluster have, and a host does not. */
function lacking(hosts: readonly HostExamined[]): readonly DoctorFinding[] {
  const found: DoctorFinding[] = [];
  const withPools = hosts.filter(({ pools }) => pools !== undefined);
  const pools = new Map<string, { readonly on: string; readonly path: string | undefined }>();
  for (const { view, pools: its = [] } of withPools)
    for (const { name, path } of its) if (!pools.has(name)) pools.set(name, { on: view.host.name, path });
  for (const { view, pools: its = [] } of withPools) {
    const { name: host } = view.host;
    for (const [name, { on, path }] of pools) {
      const own = its.find((each) => each.name === name);
      if (own === undefined)
        found.push(
          finding(
            'pool-not-everywhere',
            { host },
            `${host} has no storage pool ${name}, which ${on} has: disks in it cannot be copied there.`,
            `Define it on ${host}, or map it: --map-pool ${name}=POOL`,
          ),
        );
      else if (own.path !== path)
        found.push(
          finding(
            'pool-elsewhere',
            { host },
            `The storage pool ${name} is ${own.path ?? 'no folder'} on ${host}, and ${path ?? 'no folder'} on ${on}.`,
            'Give it the same folder on both, or map paths: --map-path FROM=TO',
          ),
        );
    }
  }
  const withNetworks = hosts.filter(({ resources }) => resources !== undefined);
  const networks = new Map<string, string>();
  for (const { view, resources } of withNetworks)
    for (const name of resources?.networks.keys() ?? []) if (!networks.has(name)) networks.set(name, view.host.name);
  for (const { view, resources } of withNetworks)
    for (const [name, on] of networks)
      if (resources?.networks.has(name) === false)
        found.push(
          finding(
            'network-not-everywhere',
            { host: view.host.name },
            `${view.host.name} has no network ${name}, which ${on} has.`,
            `Define it there; or move VMs with --create-missing, or --map-network ${name}=NETWORK`,
          ),
        );
  return found;
}

/** As migrations saw it in the last day: no question to a host shows it. */
function pairs({ hosts, refusals }: Examination): readonly DoctorFinding[] {
  const named = new Map(hosts.map(({ view }) => [view.host.id, view.host.name]));
  return hosts.flatMap(({ view: { host } }) =>
    [...(refusals.get(host.id) ?? [])].flatMap(([id, why]): readonly DoctorFinding[] => {
      const to = named.get(id);
      if (to === undefined) return [];
      return [
        finding(
          'pair-not-reached',
          { host: host.name, to },
          `The daemon of ${host.name} did not reach that of ${to}: ${why.replace(/\.$/, '')}. Ferry drives migrations from there.`,
          `On ${host.name}, check that the name of ${to} leads to it (not to 127.0.1.1), its port is ` +
            'open, and its key or certificate is known.',
        ),
      ];
    }),
  );
}
