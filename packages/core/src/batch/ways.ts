/** How a VM leaves a host that is drained: what its label says, else live. Pure. */
import { maintenanceWays, type MaintenanceWay } from '../model/batch.ts';

export const maintenanceLabel = 'ferry.maintenance';

/** What cannot be read leaves the VM running where it is, and says so. */
export function wayOf(labels: readonly string[]): { readonly way: MaintenanceWay; readonly wayNote?: string } {
  const given = labels.flatMap((label) =>
    label.startsWith(`${maintenanceLabel}=`) ? [label.slice(maintenanceLabel.length + 1)] : [],
  );
  const [first] = given;
  if (first === undefined) return { way: 'live' };
  const way = maintenanceWays.find((each) => each === first);
  if (given.length === 1 && way !== undefined) return { way };
  return {
    way: 'leave-running',
    wayNote:
      `Its label ${maintenanceLabel} says ${given.join(' and ')}, so it is left running; it can say one of ` +
      `${maintenanceWays.join(', ')}.`,
  };
}
