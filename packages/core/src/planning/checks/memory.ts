import type { HostView } from '../../model/host.ts';
import type { Reason } from '../../model/reasons.ts';
import type { Vm } from '../../model/vm.ts';
import { memoryNeeded } from '../check-input.ts';
import { mib, promisedReason } from '../wait-reasons.ts';
import { hostCheck } from './check.ts';

/** What other migrations will take is waited for, and is no reason against the host. */
export const memory = hostCheck({
  name: 'memory',
  codes: ['target-memory', 'target-memory-promised'],
  find: ({ input, target: { host, state, freeMemoryBytes } }) =>
    state !== 'connected' ||
    memoryNeeded(input) === 0 ||
    freeMemoryBytes === undefined ||
    freeMemoryBytes >= input.vm.memoryBytes
      ? []
      : [
          {
            code: 'target-memory',
            host: host.name,
            message:
              `${host.name} has ${mib(freeMemoryBytes)} MiB free, ` +
              `${input.vm.name} needs ${mib(input.vm.memoryBytes)} MiB.`,
            remedy: 'Free memory there, or choose another host.',
          },
        ],
});

/** There is memory, and other migrations will take it. */
export function memoryWaits(
  vm: Pick<Vm, 'name' | 'memoryBytes'>,
  { host, freeMemoryBytes }: HostView,
  needed: number,
  promised: number,
): readonly Reason[] {
  if (
    needed === 0 ||
    promised === 0 ||
    freeMemoryBytes === undefined ||
    freeMemoryBytes < needed ||
    freeMemoryBytes - promised >= needed
  )
    return [];
  return [promisedReason(host.name, vm.name, { freeMemoryBytes, promised, needed })];
}
