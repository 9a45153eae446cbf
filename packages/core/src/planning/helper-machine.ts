/**
 * The machine type of the helper domain that carries the disks of a VM that is shut off. `pc` means another type on
 * each QEMU, and the source's newest is not known to an older target: it has to be one that both hosts name. Pure.
 */
import type { HostView } from '../model/host.ts';
import type { Reason } from '../model/reasons.ts';
import { machinesOf, newerFirst } from './machine-type.ts';

/** i440fx is what the helper has always been; hosts that have only q35 take that. */
const families = ['pc-i440fx-', 'pc-q35-'] as const;
/** The assumption for a host that does not report its types. */
const anyMachine = 'pc';

/** Undefined: the hosts have none in common. */
export function helperMachine(
  source: readonly string[] | undefined,
  target: readonly string[] | undefined,
): string | undefined {
  if (source === undefined || target === undefined || source.length === 0 || target.length === 0) return anyMachine;
  const both = source.filter((machine) => target.includes(machine));
  return families.flatMap((family) => both.filter((machine) => machine.startsWith(family)).sort(newerFirst))[0];
}

export function helperReasons(vm: string, source: HostView | undefined, target: HostView): readonly Reason[] {
  if (helperMachine(machinesOf(source?.facts), machinesOf(target.facts)) !== undefined) return [];
  const of = (view: HostView | undefined): string =>
    `${view?.host.name ?? 'its host'} (QEMU ${view?.facts?.qemuVersion ?? '?'})`;
  return [
    {
      code: 'helper-machine',
      host: target.host.name,
      message:
        `${of(source)} and ${of(target)} have no machine type in common, which the ` +
        `helper domain needs that carries the disks of ${vm}.`,
      remedy: 'Upgrade the older of the two, or put the disks on storage that both hosts see.',
    },
  ];
}
