/** The ports of a cluster's range that migrations use on their target: which are free, and a plan on others. Pure. */
import type { Cluster } from '../model/host.ts';
import type { TransferPlan } from '../model/plan.ts';

/** Undefined: the cluster has no range of its own. */
export const freePorts = (
  { migrationPorts: range }: Cluster,
  inUse: readonly number[],
): readonly number[] | undefined =>
  range === undefined
    ? undefined
    : Array.from({ length: range.last - range.first + 1 }, (_, index) => range.first + index).filter(
        (port) => !inUse.includes(port),
      );

/** The same plan on other ports; undefined when there are not enough. */
export function onOtherPorts(transfer: TransferPlan, free: readonly number[]): TransferPlan | undefined {
  const [port, disksPort] = free;
  if (port === undefined || (transfer.disksPort !== undefined && disksPort === undefined)) return undefined;
  return {
    ...transfer,
    ...(transfer.migrateUri === undefined ? {} : { migrateUri: transfer.migrateUri.replace(/:\d+$/, `:${port}`) }),
    ...(transfer.disksPort === undefined || disksPort === undefined ? {} : { disksPort }),
  };
}

/** Ports of the target that this plan uses. */
export function portsOf(transfer: TransferPlan | undefined): readonly number[] {
  const port = /:(\d+)$/.exec(transfer?.migrateUri ?? '')?.[1];
  return [
    ...(port === undefined ? [] : [Number(port)]),
    ...(transfer?.disksPort === undefined ? [] : [transfer.disksPort]),
  ];
}
