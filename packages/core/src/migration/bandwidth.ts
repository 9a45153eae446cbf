/**
 * The bandwidth that a migration has now, in MiB/s: what an operator set goes before the plan. The plan's share of the
 * link is the memory's alone, since a limit that libvirt has from the start counts for each disk, too.
 */
import type { Migration } from '../model/migration.ts';
import type { MigrationEffect, OperatorLimits } from './protocol.ts';

export interface BandwidthInForce {
  /** For the memory and each disk, from the start; undefined: none. */
  readonly each: number | undefined;
  /** For the memory, once disks are on their way. */
  readonly memory: number | undefined;
  /** In post-copy, for pages that the guest does not wait for. */
  readonly postCopy: number | undefined;
}

export function bandwidthInForce({ request, plan }: Pick<Migration, 'request' | 'plan'>): BandwidthInForce {
  const transfer = plan?.transfer;
  const each = request.maxBandwidthMiBPerSecond ?? transfer?.bandwidthMiBPerSecond;
  const memory = each ?? transfer?.memoryBandwidthMiBPerSecond;
  return { each, memory, postCopy: transfer?.postCopy === true ? memory : undefined };
}

/** The limits that an operator set, as the source is given them. */
export function transferLimits(
  { request, plan }: Migration,
  { maxBandwidthMiBPerSecond, maxDowntimeMs }: OperatorLimits,
): Extract<MigrationEffect, { readonly type: 'tune' }>['limits'] {
  const { postCopy } = bandwidthInForce({
    request: { ...request, ...(maxBandwidthMiBPerSecond === undefined ? {} : { maxBandwidthMiBPerSecond }) },
    ...(plan === undefined ? {} : { plan }),
  });
  return {
    ...(maxDowntimeMs === undefined ? {} : { maxDowntimeMs }),
    ...(maxBandwidthMiBPerSecond === undefined ? {} : { maxBandwidthMiBPerSecond }),
    ...(maxBandwidthMiBPerSecond === undefined || postCopy === undefined
      ? {}
      : { postCopyBandwidthMiBPerSecond: postCopy }),
  };
}
