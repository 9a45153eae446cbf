/**
 * What the links of hosts were seen to carry, and what limits their use: the lanes of a batch, as core wants to know
 * them. Readings are kept in this process only: a second or two of a transfer bring them back.
 */
import {
  bandwidthInForce,
  blackoutAt,
  defaultPerHost,
  laneHostOf,
  linkSpeed,
  recentRate,
  withReading,
  type Batch,
  type HostId,
  type HostRef,
  type Lane,
  type LinkReading,
  type Migration,
} from '@ferry/core';
import type { BatchesDeps } from './deps.ts';

const mib = 1_048_576;
/** Between two readings of one link, ms. */
const apartMs = 900;
/** Of a transfer's rate, ms. */
const overMs = 3_000;
/** At this share of its own limit, it is not the link that bounds a transfer. */
const limitedShare = 0.9;

export interface Links {
  /** Takes a reading of each link, and says what is known of it. */
  lanesOf(batch: Batch): readonly Lane[];
}

const rateOf = ({ transferHistory, progress }: Migration): number =>
  (transferHistory === undefined ? undefined : recentRate(transferHistory, overMs)) ??
  progress?.throughputBytesPerSecond ??
  0;

const isLimited = (migration: Migration): boolean => {
  const { memory } = bandwidthInForce(migration);
  return memory !== undefined && rateOf(migration) >= limitedShare * memory * mib;
};

export function watchLinks({
  clock,
  knownHosts,
  migrations,
  clusterOf,
}: Pick<BatchesDeps, 'clock' | 'knownHosts' | 'migrations' | 'clusterOf'>): Links {
  const readings = new Map<string, readonly LinkReading[]>();
  /** `here`: the transfers of the lane. */
  const read = (key: string, here: readonly Migration[]): number | undefined => {
    const before = readings.get(key) ?? [];
    const now = clock.now();
    const bytesPerSecond = here.reduce((sum, migration) => sum + rateOf(migration), 0);
    const isNew = now - (before.at(-1)?.at ?? Number.NEGATIVE_INFINITY) >= apartMs;
    // where policies bound each of them, the link carries more than this
    if (bytesPerSecond > 0 && isNew && !here.every(isLimited))
      readings.set(key, withReading(before, { at: now, bytesPerSecond }));
    return linkSpeed(readings.get(key) ?? [], now);
  };
  /** `at`: when its members would begin. */
  const laneOf = (kind: Batch['kind'], host: HostRef, moving: readonly Migration[], at: number): Lane => {
    const linkMbit = knownHosts.follower(host.id)?.view().facts?.linkMbit;
    const reported = linkMbit === undefined ? undefined : (linkMbit * 1_000_000) / 8;
    const { maxOutgoingPerHost, maxIncomingPerHost, maxPerMigrationNetwork, blackouts = [] } = clusterOf(host.id);
    const perHost = (kind === 'restore' ? maxIncomingPerHost : maxOutgoingPerHost) ?? defaultPerHost;
    const here = moving.filter(({ from, to }) => (kind === 'restore' ? to?.id : from.id) === host.id);
    const measured = read(`${kind === 'restore' ? 'to' : 'from'}/${host.id}`, here);
    const bytesPerSecond = measured ?? (here.length > 0 && here.every(isLimited) ? reported : undefined);
    const blackout = blackoutAt(blackouts, at);
    return {
      host,
      most: Math.min(perHost, maxPerMigrationNetwork ?? perHost),
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
      ...(reported === undefined ? {} : { reportedBytesPerSecond: reported }),
      ...(blackout === undefined ? {} : { blackout }),
    };
  };
  return {
    lanesOf(batch) {
      const moving = migrations.active().filter(({ phase }) => phase === 'transferring' || phase === 'post-copy');
      const hosts = new Map<HostId, HostRef>();
      // those without members too: a VM may have appeared there
      for (const host of [...batch.hosts, ...batch.members.map((member) => laneHostOf(batch, member))])
        hosts.set(host.id, host);
      const at = Math.max(clock.now(), batch.phase === 'scheduled' ? (batch.beginsAt ?? 0) : 0);
      return [...hosts.values()].map((host) => laneOf(batch.kind, host, moving, at));
    },
  };
}
