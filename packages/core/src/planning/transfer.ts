/**
 * How the bytes of a move travel: who drives, by which address and ports, encrypted, compressed, over how many
 * connections. Pure; wishes that do not go together, or that a host does not know, are reasons.
 */
import type { Cluster, HostView } from '../model/host.ts';
import type { TimeMs } from '../model/ids.ts';
import { isAddress, isInNetwork } from '../model/network.ts';
import type { TransferPlan } from '../model/plan.ts';
import type { PolicyContent } from '../model/policy.ts';
import type { Reason, ReasonCode } from '../model/reasons.ts';
import type { MigrationRequest } from '../model/request.ts';
import { freePorts } from './ports.ts';
import { portsTakenReason } from './wait-reasons.ts';

export interface TransferInput {
  readonly source: HostView;
  readonly target: HostView;
  /** Of the target. */
  readonly cluster: Cluster;
  readonly sourceCluster?: Cluster;
  readonly request: MigrationRequest;
  /** Its wishes apply where they are possible; those of the request apply or are refused. */
  readonly policy?: PolicyContent;
  readonly copies: boolean;
  /** The guest runs while its memory is copied. */
  readonly live: boolean;
  /** The source's daemon was seen not to reach the target's. */
  readonly peerRefusal?: { readonly at: TimeMs; readonly message: string };
  /** Ports of the target that other migrations use. */
  readonly portsInUse: readonly number[];
}

/** Host part of a URI with a network transport. */
function hostOf(uri: string): string | undefined {
  const [, bracketed, plain] = /^\w+\+(?:tcp|tls|ssh):\/\/(?:[^@/]*@)?(?:\[([^\]]*)\]|([^:/@]+))[:/]/.exec(uri) ?? [];
  return bracketed ?? plain;
}

/** Other hosts can connect to this URI. */
export function isNetworkUri(uri: string): boolean {
  const host = hostOf(uri);
  return host !== undefined && !/^(localhost$|127\.|::1$)/.test(host);
}

/** Host part of a URI when it is an address. */
export function addressOf(uri: string): string | undefined {
  const host = hostOf(uri) ?? '';
  return isAddress(host) ? host : undefined;
}

/** `waits`: what other migrations have now, and will give back. */
export function planTransfer(input: TransferInput): {
  readonly transfer: TransferPlan;
  readonly reasons: readonly Reason[];
  readonly waits: readonly Reason[];
  readonly ports: number;
} {
  const { source, target, cluster, sourceCluster, request, copies, live, peerRefusal } = input;
  const host = target.host.name;
  const reasons: Reason[] = [];
  const refuse = (code: ReasonCode, message: string, remedy: string): void =>
    void reasons.push({ code, host, message, remedy });

  const chosen = chooseMode(input);
  if (chosen.mode === 'peer-to-peer' && !isNetworkUri(target.host.uri))
    refuse(
      'target-not-addressable',
      `${host} was added as ${target.host.uri}, by which other hosts cannot reach it.`,
      'Omit --peer-to-peer, or add the host by its network address, e.g. qemu+tls://ADDRESS/system.',
    );

  // what either cluster asks for holds
  const tls = request.tls ?? (cluster.tls === true || sourceCluster?.tls === true);
  if (request.tunnelled === true) {
    if (chosen.mode === 'direct')
      refuse(
        'tunnelled-direct',
        `A tunnelled migration goes through the daemons of both hosts, so ${source.host.name} has to ` +
          `reach ${host}${peerRefusal === undefined ? '' : `, which it does not: ${peerRefusal.message}`}.`,
        'Use --enable-tls, or connect the hosts to each other.',
      );
    if (copies)
      refuse(
        'tunnelled-copies',
        `Disks that are copied to ${host} cannot go through a tunnel.`,
        'Use --enable-tls instead, which covers memory and disks.',
      );
    if (request.parallelConnections !== undefined)
      refuse('tunnelled-parallel', 'A tunnel is one connection.', 'Omit --parallel or --tunnelled.');
    if (tls)
      refuse(
        'tunnelled-tls',
        'A tunnel is as safe as the connection of the daemons; it has no TLS of its own.',
        'Omit --tunnelled or --enable-tls.',
      );
  }
  const older = (than: number): readonly string[] =>
    [source, target]
      .filter((view) => view.facts !== undefined && versionOf(view.facts.libvirtVersion) < than)
      .map((view) => `${view.host.name} (libvirt ${view.facts?.libvirtVersion ?? '?'})`);
  if (request.compression === 'xbzrle' && request.parallelConnections !== undefined)
    refuse(
      'compression-parallel',
      'xbzrle does not work with several connections.',
      'Use --compression zstd, or omit --parallel.',
    );
  if (request.compression === 'zlib' || request.compression === 'zstd') {
    if (request.parallelConnections === undefined)
      refuse(
        'compression-single',
        `${request.compression} needs several connections.`,
        'Add --parallel 2, or use --compression xbzrle.',
      );
    for (const each of older(9_004_000))
      refuse(
        'compression-unsupported',
        `${each} does not support ${request.compression}, which needs libvirt 9.4.`,
        'Use --compression xbzrle, or none.',
      );
  }
  if (request.zeroCopy === true) {
    if (request.parallelConnections === undefined)
      refuse('zero-copy-single', 'Zero copy needs several connections.', 'Add --parallel 2.');
    if (tls || request.compression !== undefined)
      refuse(
        'zero-copy-changed',
        'Zero copy sends memory as it is: neither encrypted nor compressed.',
        'Omit --zero-copy.',
      );
    for (const each of older(8_005_000))
      refuse(
        'zero-copy-unsupported',
        `${each} does not support zero copy, which needs libvirt 8.5.`,
        'Omit --zero-copy.',
      );
  }

  if (request.postCopy === true) {
    if (!live)
      refuse(
        'post-copy-unfit',
        'Only a guest that runs while it moves can be switched to post-copy.',
        'Omit --postcopy.',
      );
    if (chosen.mode === 'direct')
      refuse(
        'post-copy-direct',
        'Post-copy needs the hosts to drive the migration among ' +
          `themselves${peerRefusal === undefined ? '' : `, and ${source.host.name} does not reach ${host}: ${peerRefusal.message}`}.`,
        'Let the hosts reach each other, or omit --postcopy.',
      );
    if (request.tunnelled === true)
      refuse('post-copy-tunnelled', 'Post-copy does not go through a tunnel.', 'Omit --tunnelled or --postcopy.');
    if (request.parallelConnections !== undefined)
      refuse(
        'post-copy-parallel',
        'QEMU does not do post-copy over several connections.',
        'Omit --parallel or --postcopy.',
      );
  }

  const address =
    target.host.migrationAddress ?? (cluster.migrationNetwork === undefined ? undefined : addressOf(target.host.uri));
  if (
    cluster.migrationNetwork !== undefined &&
    (address === undefined || !isInNetwork(address, cluster.migrationNetwork))
  ) {
    refuse(
      'migration-network',
      `${host} has no address in ${cluster.migrationNetwork}, the migration network of the cluster ` +
        `${cluster.name}${address === undefined ? '' : `; it has ${address}`}.`,
      `Set one: ferry host set ${host} --migration-address ADDRESS.`,
    );
  }
  const needed = portsNeeded(input);
  const range = cluster.migrationPorts;
  if (range !== undefined && range.last - range.first + 1 < needed)
    refuse(
      'migration-ports',
      `The cluster ${cluster.name} has the migration ports ${range.first} to ${range.last}, and this move needs ${needed}.`,
      'Set a wider range: ferry cluster set NAME --migration-ports FIRST-LAST.',
    );
  const reached = reachedAs(target.host, chosen.mode);
  const ports = choosePorts(input, { address, reached }, needed);
  // its certificate is checked against the name that libvirt itself would use
  const tlsName = tls && address === undefined && reached !== undefined ? target.facts?.hostname : undefined;
  const waits: readonly Reason[] = ports === 'none' ? [portsTakenReason(host, needed, range)] : [];
  return {
    transfer: {
      ...chosen,
      ...(tls ? { tls } : {}),
      ...(tlsName === undefined ? {} : { tlsName }),
      ...(request.tunnelled === true ? { tunnelled: true as const } : { ...(typeof ports === 'object' ? ports : {}) }),
      ...(request.zeroCopy === true ? { zeroCopy: true as const } : {}),
      ...wayOfMemory(input, chosen.mode),
      ...bandwidthOf(input),
    },
    reasons,
    waits,
    ports: range === undefined ? 0 : needed,
  };
}

/** Of a cluster's range: one for the guest, one for its disks; a tunnel takes none. */
const portsNeeded = ({ request, copies }: TransferInput): number => (request.tunnelled === true ? 0 : copies ? 2 : 1);

function chooseMode({
  source,
  target,
  request,
  peerRefusal,
}: TransferInput): Pick<TransferPlan, 'mode' | 'modeReason'> {
  if (request.mode !== undefined) return { mode: request.mode, modeReason: 'asked for' };
  if (!isNetworkUri(target.host.uri))
    return { mode: 'direct', modeReason: `other hosts cannot reach ${target.host.uri}` };
  if (peerRefusal !== undefined)
    return {
      mode: 'direct',
      modeReason: `${source.host.name} did not reach ${target.host.name} when it last tried: ${peerRefusal.message}`,
    };
  return { mode: 'peer-to-peer', modeReason: `${target.host.name} can be reached by ${target.host.uri}` };
}

/** A single connection fills about this much of a link; more than some of them are not known to help. */
const mbitPerConnection = 10_000;
const mostConnections = 8;

type WayOfMemory = Pick<TransferPlan, 'parallelConnections' | 'compression' | 'postCopy' | 'throttle' | 'handover'>;

/** As requested; otherwise as the policy says, unless the rest of the request rules it out. */
function wayOfMemory(input: TransferInput, mode: TransferPlan['mode']): WayOfMemory {
  const { request, policy, live } = input;
  const several = request.parallelConnections;
  const single = request.tunnelled !== true && several === undefined && request.zeroCopy !== true;
  const ofPolicy =
    live &&
    mode === 'peer-to-peer' &&
    single &&
    request.compression === undefined &&
    (policy?.postCopy === 'allowed' || (policy?.postCopy === 'if-recoverable' && canRecoverPostCopy(input)));
  const postCopy = request.postCopy === true || (ofPolicy && request.postCopy !== false);
  const compression =
    request.compression ?? (live && single && policy?.compression === 'xbzrle' ? policy.compression : undefined);
  return {
    ...(postCopy ? { postCopy: true as const } : {}),
    ...(compression === undefined ? {} : { compression }),
    ...(live && policy?.throttle !== undefined ? { throttle: policy.throttle } : {}),
    ...(live && mode === 'peer-to-peer' && policy?.singleCopy === 'handover' ? { handover: true as const } : {}),
    ...(postCopy || compression === 'xbzrle' ? {} : connectionsOf(input)),
    ...(several === undefined ? {} : { parallelConnections: several }),
  };
}

/**
 * The policy's own limit, or its share of the slower host's link; none if no host reports its speed. The share keeps
 * the pause of a running guest short, so it applies to nothing else.
 */
function bandwidthOf({
  source,
  target,
  policy,
  live,
  copies,
}: TransferInput): Pick<TransferPlan, 'bandwidthMiBPerSecond' | 'memoryBandwidthMiBPerSecond'> {
  if (policy?.bandwidthMiBPerSecond !== undefined) return { bandwidthMiBPerSecond: policy.bandwidthMiBPerSecond };
  const links = [source, target].flatMap(({ facts }) => facts?.linkMbit ?? []);
  if (!live || policy?.linkShare === undefined || links.length === 0) return {};
  const share = Math.max(1, Math.floor((policy.linkShare * Math.min(...links)) / mbitPerMib));
  return copies ? { memoryBandwidthMiBPerSecond: share } : { bandwidthMiBPerSecond: share };
}
/** Mbit/s in one MiB/s. */
const mbitPerMib = 8.388_608;

/** Both daemons know how to resume an interrupted post-copy. */
const canRecoverPostCopy = ({ source, target }: Pick<TransferInput, 'source' | 'target'>): boolean =>
  [source, target].every(({ facts }) => versionOf(facts?.libvirtVersion) >= 8_005_000) &&
  !endsAtResume(target.facts?.libvirtVersion);

/**
 * libvirt's daemon reads a null pointer whenever an interrupted post-copy is resumed into it: since 11.2, read in the source
 * of 11.3 and seen there; fixed in 12.8. Versions between may still have the fault; Ferry tries them.
 */
export function endsAtResume(libvirtVersion: string | undefined): boolean {
  const version = versionOf(libvirtVersion);
  return version >= 11_002_000 && version < 11_004_000;
}

/** As the policy says; else one for each 10 Gbit/s of the slower host. */
function connectionsOf({ source, target, request, policy }: TransferInput): Pick<TransferPlan, 'parallelConnections'> {
  if (request.tunnelled === true) return {};
  if (policy?.connections !== undefined) return { parallelConnections: policy.connections };
  const links = [source, target].map(({ facts }) => facts?.linkMbit ?? 0);
  const fitting = Math.min(mostConnections, Math.floor(Math.min(...links) / mbitPerConnection));
  return fitting >= 2 ? { parallelConnections: fitting } : {};
}

/**
 * Where the source reaches the target by what Ferry knows: the address in its URI, or the name by which the source's
 * daemon reaches it anyway. The name that the target gives itself, which libvirt takes, may mean nothing to the source,
 * or its own loopback. A name for ssh is its configuration's.
 */
function reachedAs({ uri }: HostView['host'], mode: TransferPlan['mode']): string | undefined {
  if (!isNetworkUri(uri)) return undefined;
  return addressOf(uri) ?? (mode === 'peer-to-peer' && /^\w+\+(tcp|tls):/.test(uri) ? hostOf(uri) : undefined);
}

/** Undefined: libvirt's own range and default address. */
function choosePorts(
  { target, cluster, copies, portsInUse }: TransferInput,
  { address, reached }: Readonly<Record<'address' | 'reached', string | undefined>>,
  needed: number,
): Pick<TransferPlan, 'migrateUri' | 'listenAddress' | 'disksPort'> | 'none' | undefined {
  const free = freePorts(cluster, portsInUse);
  if (free !== undefined && free.length < needed) return 'none';
  const [port, disksPort] = free ?? [];
  const named = target.facts?.hostname ?? target.host.name;
  const host = address ?? reached ?? (port === undefined ? undefined : named);
  if (host === undefined) return undefined;
  return {
    migrateUri: `tcp://${host.includes(':') ? `[${host}]` : host}${port === undefined ? '' : `:${port}`}`,
    // where the address is known nothing else has to listen
    ...(address === undefined ? ofFamily(host, port) : { listenAddress: address }),
    ...(copies && disksPort !== undefined ? { disksPort } : {}),
  };
}

/**
 * Told to listen everywhere, QEMU is content with IPv6 where something else has the port of IPv4, and the source
 * would send the guest's memory to that.
 */
const ofFamily = (host: string, port: number | undefined): Pick<TransferPlan, 'listenAddress'> =>
  port !== undefined && /^\d+(\.\d+){3}$/.test(host) ? { listenAddress: '0.0.0.0' } : {};

/** What another cluster does otherwise, in words; empty within one. */
export function clusterDifferences(from: Cluster, to: Cluster): readonly string[] {
  if (from.name === to.name) return [];
  const range = ({ migrationPorts }: Cluster): string =>
    migrationPorts === undefined ? "libvirt's own" : `${migrationPorts.first}-${migrationPorts.last}`;
  const maps = ({ map }: Cluster): string =>
    [
      ...(['networks', 'pools', 'paths'] as const).flatMap((what) =>
        Object.entries(map?.[what] ?? {}).map(([a, b]) => `${a} = ${b}`),
      ),
      ...(map?.graphicsListen === undefined ? [] : [`consoles on ${map.graphicsListen}`]),
    ].join(', ') || 'none';
  const sides: readonly (readonly [what: string, of: (cluster: Cluster) => string])[] = [
    ['migration network', ({ migrationNetwork }) => migrationNetwork ?? 'any'],
    ['migration ports', range],
    ['encryption', ({ tls }) => (tls === true ? 'on' : 'off')],
    ['maps for what comes in', maps],
  ];
  return sides.flatMap(([what, of]) =>
    of(from) === of(to) ? [] : [`${what}: ${of(from)} in ${from.name}, ${of(to)} in ${to.name}`],
  );
}

/** As libvirt counts: 9.4.0 is 9004000. */
export function versionOf(text: string | undefined): number {
  const [major = 0, minor = 0, micro = 0] = (text ?? '').split('.').map(Number);
  return major * 1_000_000 + minor * 1_000 + micro;
}
