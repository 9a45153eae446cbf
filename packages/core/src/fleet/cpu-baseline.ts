/** Which VMs of a cluster could not go to every host of it, because of their CPU. What libvirt computes is not judged. Pure. */
import type { CpuThere, GuestCpu } from '../model/cpu.ts';
import { namesOf } from '../planning/wait-reasons.ts';

/** A guest that runs in the cluster; its CPU is absent where QEMU chooses it, which is the same everywhere. */
export interface ClusterGuest {
  readonly vm: string;
  readonly host: string;
  readonly cpu?: GuestCpu;
}

export interface UnfitGuest {
  readonly vm: string;
  readonly host: string;
  /** `stuck`: it cannot go to some host now. `next-start`: it gets what its host has when it starts again. */
  readonly why: 'stuck' | 'next-start' | 'unknown';
  readonly message: string;
}

/** `there`: by the guest's CPU, then by host: what libvirt says of it. `differ`: the hosts do not have the same CPU. */
export function unfitGuests(
  guests: readonly ClusterGuest[],
  there: ReadonlyMap<string, ReadonlyMap<string, CpuThere>>,
  differ: boolean,
): readonly UnfitGuest[] {
  return guests.flatMap(({ vm, host, cpu }): readonly UnfitGuest[] => {
    if (cpu === undefined) return [];
    if (cpu.passthrough)
      return differ
        ? [{ vm, host, why: 'stuck', message: `It has the CPU of ${host} as it is, and other hosts have another.` }]
        : [];
    const answers = [...(there.get(cpu.xml) ?? [])].filter(([name]) => name !== host);
    const lacking = answers.filter(([, { answer }]) => answer === 'lacks');
    const [first] = lacking;
    if (first !== undefined && first[1].answer !== 'fits')
      return [
        {
          vm,
          host,
          why: 'stuck',
          message: `${namesOf(lacking.map(([name]) => name))} cannot provide its CPU: ${first[1].why}.`,
        },
      ];
    const silent = answers.filter(([, { answer }]) => answer === 'unknown').map(([name]) => name);
    if (silent.length > 0)
      return [{ vm, host, why: 'unknown', message: `Ferry cannot tell whether ${namesOf(silent)} has its CPU.` }];
    return differ && cpu.hostModel === true
      ? [{ vm, host, why: 'next-start', message: 'It takes the model of its host whenever it starts (host-model).' }]
      : [];
  });
}
