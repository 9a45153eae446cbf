/**
 * Raises an alarm for VMs that run twice, when core believes it, and pauses both copies where the VM's policy says so.
 * Which copy is right is for a person to say (settle.ts).
 */
import {
  runningCopies,
  splitBrainAlarm,
  splitBrainBelievedAfterMs,
  splitBrains,
  type CopiesPaused,
  type MigrationId,
  type Suspicions,
  type Vm,
} from '@ferry/core';
import type { Clock, HostLink, Log } from '../ports/ports.ts';
import { proveApart } from './two-machines.ts';

const suspendTimeoutMs = 10_000;

export interface TwoCopiesDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly linkOf: (hostId: string) => Pick<HostLink, 'inventory' | 'power'>;
  readonly hostNameOf: (id: string) => string;
  /** The policy of the VM pauses both. */
  readonly suspends: (vm: Vm) => boolean;
  /** It only tells hooks of its end. */
  readonly isClosing: (migration: MigrationId) => boolean;
  readonly alarm: (vm: Vm, message: string) => void;
  /** Looks again, since nothing may change any more on the hosts. */
  readonly again: () => void;
  readonly signal: AbortSignal;
}

export interface TwoCopies {
  /** `vms`: the fleet as it is now. */
  look(vms: readonly Vm[]): void;
}

export function watchTwoCopies(deps: TwoCopiesDeps): TwoCopies {
  let suspicions: Suspicions = new Map();

  /** The first copy is compared with each other one; copies that may be the same are not paused. */
  const suspendBoth = async (vm: Vm): Promise<CopiesPaused> => {
    const within = AbortSignal.any([deps.signal, deps.clock.timeout(suspendTimeoutMs)]);
    try {
      const [one, ...others] = runningCopies(vm).map(({ hostId }) => ({
        name: deps.hostNameOf(hostId),
        link: deps.linkOf(hostId),
      }));
      if (one !== undefined) for (const other of others) await proveApart(one, other, within);
    } catch (error) {
      return { paused: false, because: error instanceof Error ? error.message : String(error) };
    }
    for (const ended of await Promise.allSettled(
      runningCopies(vm).map(async ({ hostId }) => deps.linkOf(hostId).power.suspend(vm.uuid, within)),
    )) {
      if (ended.status === 'rejected')
        deps.log.error({ err: ended.reason, vm: vm.name }, 'one of two running copies could not be paused');
    }
    return { paused: true };
  };

  const tell = async (vm: Vm): Promise<void> => {
    const hosts = runningCopies(vm).map(({ hostId }) => deps.hostNameOf(hostId));
    deps.alarm(vm, splitBrainAlarm(vm, hosts, deps.suspends(vm) ? await suspendBoth(vm) : undefined));
  };

  return {
    look(vms) {
      const seen = splitBrains(suspicions, vms, deps.clock.now(), deps.isClosing);
      suspicions = seen.suspicions;
      if (seen.fresh) void deps.clock.sleep(splitBrainBelievedAfterMs, deps.signal).then(deps.again, () => undefined);
      for (const vm of seen.believed)
        void tell(vm).catch((error: unknown) =>
          deps.log.error({ err: error, vm: vm.name }, 'two running copies are not paused'),
        );
    },
  };
}
