// The parameters of a peer-to-peer migration and the checks that libvirt leaves to its clients: the daemon does not
// repeat them, so that without them a wrong combination fails late or not at all. Pure; what the daemon does check is
// not repeated here.
import { VIR_MIGRATE } from './constants.ts';
import { InvalidArgumentError } from './errors.ts';
import type { WireParam } from './wire-types.ts';
import { toWireU64 } from './wire-types.ts';

/**
 * libvirt's VIR_MIGRATE_PARAM_..., with units in the names. The daemon refuses those it does not know
 * (ARGUMENT_UNSUPPORTED).
 */
export interface MigrateParams {
  /** Where the destination's QEMU is reached: tcp://host[:port]. */
  readonly migrateUri?: string | undefined;
  readonly destinationName?: string | undefined;
  readonly destinationXml?: string | undefined;
  readonly persistentXml?: string | undefined;
  /** 0 or absent: as fast as it goes. */
  readonly bandwidthMiBPerSecond?: number | undefined;
  readonly postcopyBandwidthMiBPerSecond?: number | undefined;
  readonly availSwitchoverBandwidthMiBPerSecond?: number | undefined;
  readonly graphicsUri?: string | undefined;
  readonly listenAddress?: string | undefined;
  /** Target names of the disks to copy, as in vda. */
  readonly migrateDisks?: readonly string[] | undefined;
  readonly migrateDisksDetectZeroes?: readonly string[] | undefined;
  readonly disksPort?: number | undefined;
  readonly disksUri?: string | undefined;
  readonly compression?: readonly string[] | undefined;
  readonly compressionXbzrleCacheBytes?: number | undefined;
  readonly compressionZlibLevel?: number | undefined;
  readonly compressionZstdLevel?: number | undefined;
  readonly autoConvergeInitialPercent?: number | undefined;
  readonly autoConvergeIncrementPercent?: number | undefined;
  readonly parallelConnections?: number | undefined;
  /** The name expected in the destination's QEMU certificate. */
  readonly tlsDestination?: string | undefined;
}

const WIRE: {
  readonly [K in keyof MigrateParams]-?: { readonly field: string; readonly kind: 'string' | 'int' | 'ullong' };
} = {
  migrateUri: { field: 'migrate_uri', kind: 'string' },
  destinationName: { field: 'destination_name', kind: 'string' },
  destinationXml: { field: 'destination_xml', kind: 'string' },
  persistentXml: { field: 'persistent_xml', kind: 'string' },
  bandwidthMiBPerSecond: { field: 'bandwidth', kind: 'ullong' },
  postcopyBandwidthMiBPerSecond: { field: 'bandwidth.postcopy', kind: 'ullong' },
  availSwitchoverBandwidthMiBPerSecond: { field: 'bandwidth.avail.switchover', kind: 'ullong' },
  graphicsUri: { field: 'graphics_uri', kind: 'string' },
  listenAddress: { field: 'listen_address', kind: 'string' },
  migrateDisks: { field: 'migrate_disks', kind: 'string' },
  migrateDisksDetectZeroes: { field: 'migrate_disks_detect_zeroes', kind: 'string' },
  disksPort: { field: 'disks_port', kind: 'int' },
  disksUri: { field: 'disks_uri', kind: 'string' },
  compression: { field: 'compression', kind: 'string' },
  compressionXbzrleCacheBytes: { field: 'compression.xbzrle.cache', kind: 'ullong' },
  compressionZlibLevel: { field: 'compression.zlib.level', kind: 'int' },
  compressionZstdLevel: { field: 'compression.zstd.level', kind: 'int' },
  autoConvergeInitialPercent: { field: 'auto_converge.initial', kind: 'int' },
  autoConvergeIncrementPercent: { field: 'auto_converge.increment', kind: 'int' },
  parallelConnections: { field: 'parallel.connections', kind: 'int' },
  tlsDestination: { field: 'tls.destination', kind: 'string' },
};

export function toMigrateWireParams(params: MigrateParams): readonly WireParam[] {
  return Object.entries(WIRE).flatMap(([name, { field, kind }]): WireParam[] => {
    const value = params[name as keyof MigrateParams];
    if (value === undefined) return [];
    const values: readonly (string | number)[] = typeof value === 'object' ? value : [value];
    return values.map((single): WireParam => {
      switch (kind) {
        case 'string':
          return { field, kind, value: String(single) };
        case 'int':
          return { field, kind, value: Number(single) };
        case 'ullong':
          return { field, kind, value: toWireU64(Number(single), name) };
      }
    });
  });
}

/** The flags to send. Throws InvalidArgumentError where libvirt's own client library would refuse. */
export function checkMigratePeerToPeer(destinationUri: string, flags: number, params: MigrateParams): number {
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const refuse = (why: string): never => {
    throw new InvalidArgumentError(`This migration is not possible: ${why}.`);
  };
  if (!Number.isInteger(flags) || flags < 0 || flags > 0xffff_ffff) refuse(`${flags} is no set of flags`);
  if (has(VIR_MIGRATE.NON_SHARED_DISK) && has(VIR_MIGRATE.NON_SHARED_INC)) {
    refuse('NON_SHARED_DISK and NON_SHARED_INC exclude each other');
  }
  if (has(VIR_MIGRATE.TUNNELLED) && has(VIR_MIGRATE.PARALLEL)) refuse('TUNNELLED and PARALLEL exclude each other');
  if (
    has(VIR_MIGRATE.NON_SHARED_SYNCHRONOUS_WRITES) &&
    !has(VIR_MIGRATE.NON_SHARED_DISK | VIR_MIGRATE.NON_SHARED_INC)
  ) {
    refuse('NON_SHARED_SYNCHRONOUS_WRITES needs NON_SHARED_DISK or NON_SHARED_INC');
  }
  if (has(VIR_MIGRATE.TUNNELLED) && (params.migrateUri ?? params.listenAddress ?? params.disksPort) !== undefined) {
    refuse('a tunnelled migration accepts no migrateUri, listenAddress or disksPort');
  }
  const host = /^[a-z]+(?:\+[a-z0-9]+)?:\/\/(?:[^/?#@\s]*@)?(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d+)?\/[^\s]*$/i.exec(
    destinationUri,
  )?.[1];
  if (host === undefined)
    return refuse(
      `the destination URI ${JSON.stringify(destinationUri)} names no host that the source could connect to`,
    );
  if (/^localhost/i.test(host))
    return refuse(`the destination ${JSON.stringify(destinationUri)} is the source itself, seen from there`);
  // in a peer-to-peer migration the source's driver sets its own protection
  return ((flags | VIR_MIGRATE.PEER2PEER) & ~VIR_MIGRATE.CHANGE_PROTECTION) >>> 0;
}
