/**
 * Watches for VMs that run twice, whoever started the second copy: an alarm, told once, and both paused where the VM's
 * policy says so. Which copy is right is for a person to say (settle.ts).
 */
import type { Vm } from '@ferry/core';
import type { Clock, HostLink, Log } from '../ports/ports.ts';
import { proveApart } from './two-machines.ts';

/** Two hosts are not asked at the same moment: what is seen must hold for so long. */
const believedAfterMs = 3_000;
const suspendTimeoutMs = 10_000;

export interface TwoCopiesDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly linkOf: (hostId: string) => HostLink;
  readonly hostNameOf: (id: string) => string;
  /** The policy of the VM pauses both. */
  readonly suspends: (vm: Vm) => boolean;
  readonly alarm: (vm: Vm, message: string) => void;
  /** Looks again, since nothing may change any more on the hosts. */
  readonly again: () => void;
  readonly signal: AbortSignal;
}

const active = ({ instances }: Vm): Vm['instances'] =>
  instances.filter(
    ({ role, instance: { state } }) =>
      (role === 'conflict' || role === 'authoritative') &&
      ['running', 'blocked', 'shutting-down', 'pm-suspended'].includes(state),
  );

export interface TwoCopies {
  /** `vms`: the fleet as it is now. */
  look(vms: readonly Vm[]): void;
}

export function watchTwoCopies(deps: TwoCopiesDeps): TwoCopies {
  const since = new Map<string, number>();
  const told = new Set<string>();

  /**
   * Answers with what the alarm says of it. The first is held against each of the others: what cannot be told apart
   * is not paused.
   */
  const suspendBoth = async (vm: Vm): Promise<string> => {
    const within = AbortSignal.any([deps.signal, AbortSignal.timeout(suspendTimeoutMs)]);
    try {
      const [one, ...others] = active(vm).map(({ hostId }) => ({
        name: deps.hostNameOf(hostId),
        link: deps.linkOf(hostId),
      }));
      if (one !== undefined) for (const other of others) await proveApart(one, other, within);
    } catch (error) {
      return `; they are not paused: ${error instanceof Error ? error.message : String(error)}`;
    }
    for (const ended of await Promise.allSettled(
      active(vm).map(({ hostId }) => deps.linkOf(hostId).migration.suspend(vm.uuid, within)),
    )) {
      if (ended.status === 'rejected')
        deps.log.error({ err: ended.reason, vm: vm.name }, 'one of two running copies could not be paused');
    }
    return '; both are paused';
  };

  const tell = async (vm: Vm): Promise<void> => {
    const hosts = active(vm)
      .map(({ hostId }) => deps.hostNameOf(hostId))
      .join(' and ');
    const done = deps.suspends(vm) ? await suspendBoth(vm) : '';
    deps.alarm(vm, `${vm.name} runs on ${hosts} at the same time${done}. Settle it: ferry vm settle ${vm.name}`);
  };

  return {
    look(vms) {
      const now = deps.clock.now();
      // a migration that goes on judges its own two halves
      const twice = vms.filter((vm) => vm.currentMigration === undefined && active(vm).length > 1);
      for (const uuid of since.keys()) {
        if (twice.some((vm) => vm.uuid === uuid)) continue;
        since.delete(uuid);
        told.delete(uuid);
      }
      for (const vm of twice) {
        if (!since.has(vm.uuid)) {
          since.set(vm.uuid, now);
          void deps.clock.sleep(believedAfterMs, deps.signal).then(deps.again, () => undefined);
        }
        if (told.has(vm.uuid) || now - (since.get(vm.uuid) ?? now) < believedAfterMs) continue;
        told.add(vm.uuid);
        void tell(vm).catch((error: unknown) =>
          deps.log.error({ err: error, vm: vm.name }, 'two running copies are not paused'),
        );
      }
    },
  };
}
