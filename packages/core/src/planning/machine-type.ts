/**
 * Whether a target has the machine that a definition asks for: the architecture, KVM, the program that emulates it, the
 * machine type. Newer QEMUs know the types of older ones, not the other way round. Pure.
 */
import type { Reason, ReasonCode } from '../model/reasons.ts';
import type { GuestSupport, HostFacts, HostView } from '../model/host.ts';
import type { HostPath } from './host-ties.ts';

export interface MachineNeed {
  /** Of the domain: `kvm`, `qemu`. */
  readonly type: string;
  readonly arch: string;
  readonly machine: string;
  /** Absent, as the machine and the architecture are empty, where the definition leaves it to its host. */
  readonly emulator?: string;
}

const numbersOf = (machine: string): readonly number[] => (machine.match(/\d+/g) ?? []).map(Number);

/** Of machine types of one family. */
export function newerFirst(a: string, b: string): number {
  const [x, y] = [numbersOf(a), numbersOf(b)];
  for (let at = 0; at < Math.max(x.length, y.length); at += 1)
    if ((x[at] ?? 0) !== (y[at] ?? 0)) return (y[at] ?? 0) - (x[at] ?? 0);
  return 0;
}

/** pc-q35 of pc-q35-7.2 and of pc-q35-rhel9.2.0. */
const familyOf = (machine: string): string => machine.replace(/-[^-]*$/, '');

/** Machine types for guests of the host's own architecture; undefined when it does not list them. */
export const machinesOf = (facts: HostFacts | undefined): readonly string[] | undefined =>
  facts?.guests?.find(({ arch }) => arch === facts.cpu.arch)?.machines;

const knows = ({ machines, aliases }: GuestSupport, machine: string): boolean =>
  machine === '' || machines.includes(machine) || aliases.includes(machine);

/** Programs that are not the target's default, and must be looked for there. */
export const emulatorPaths = (needs: readonly MachineNeed[], facts: HostFacts | undefined): readonly HostPath[] =>
  needs.flatMap(({ emulator }): readonly HostPath[] =>
    emulator === undefined || facts?.guests?.some((guest) => guest.emulator === emulator) !== false
      ? []
      : [{ path: emulator, kind: 'file', what: 'its emulator' }],
  );

export function machineReasons(
  vm: string,
  needs: readonly MachineNeed[],
  source: HostView | undefined,
  target: HostView,
): readonly Reason[] {
  const { facts, host } = target;
  const guests = facts?.guests ?? [];
  if (facts === undefined) return [];
  const refuse = (code: ReasonCode, message: string, remedy: string): readonly Reason[] => [
    { code, host: host.name, message, remedy },
  ];
  if (facts.qemuVersion === undefined)
    return refuse(
      'target-no-qemu',
      `libvirt on ${host.name} finds no QEMU that it can use.`,
      `Install or repair QEMU on ${host.name}, or choose another host.`,
    );
  if (guests.length === 0) return [];
  const reasons = needs.flatMap(({ type, arch, machine, emulator }): readonly Reason[] => {
    const guest = guests.find((each) => each.arch === (arch === '' ? facts.cpu.arch : arch));
    if (guest === undefined)
      return refuse(
        'target-arch',
        `${host.name} runs no guests of ${arch}, which ${vm} is.`,
        `Install QEMU for ${arch} on ${host.name}, or choose another host.`,
      );
    const kvm =
      type === 'kvm' && !guest.domainTypes.includes('kvm')
        ? refuse(
            'target-no-kvm',
            `${host.name} has no KVM for guests of ${arch}, and ${vm} runs with it.`,
            `Switch on virtualisation in the firmware of ${host.name}, load its kvm module and restart libvirtd; or choose another host.`,
          )
        : [];
    // another program may know other types; whether it exists is checked
    if ((emulator !== undefined && emulator !== guest.emulator) || knows(guest, machine)) return kvm;
    const known = newestOfBoth(machine, arch, source?.facts, guest);
    const another =
      known === undefined
        ? ''
        : `; or shut ${vm} down and set a type that both hosts know, such as ${known} (virsh edit ${vm})`;
    return [
      ...kvm,
      ...refuse(
        'target-machine-unknown',
        `${host.name} (QEMU ${facts.qemuVersion}) does not have the machine type of ${vm}, ${machine}.`,
        `Upgrade QEMU on ${host.name}, or choose another host${another}.`,
      ),
    ];
  });
  return [...new Map(reasons.map((each) => [each.message, each])).values()];
}

/** A machine type of the same family. */
const newestOfBoth = (
  machine: string,
  arch: string,
  source: HostFacts | undefined,
  { machines }: GuestSupport,
): string | undefined => {
  const here = source?.guests?.find((each) => each.arch === arch)?.machines ?? [];
  return machines.filter((each) => familyOf(each) === familyOf(machine) && here.includes(each)).sort(newerFirst)[0];
};
