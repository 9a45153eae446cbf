/**
 * Decides when a VM counts as running twice, whoever started the second copy. Two hosts are not read at the same
 * moment, so both copies must be seen for a while. An operator decides which copy is right.
 */
import type { MigrationId, TimeMs, VmUuid } from '../model/ids.ts';
import type { Vm } from '../model/vm.ts';

export const splitBrainBelievedAfterMs = 3_000;

/** VMs that were seen to run twice: since when, and whether that was said. */
export type Suspicions = ReadonlyMap<VmUuid, { readonly since: TimeMs; readonly said?: true }>;

/** Copies that run now, or would without the operator's doing. */
export const runningCopies = ({ instances }: Vm): Vm['instances'] =>
  instances.filter(
    ({ role, instance: { state } }) =>
      (role === 'conflict' || role === 'authoritative') &&
      ['running', 'blocked', 'shutting-down', 'pm-suspended'].includes(state),
  );

/** What was done about the copies; nothing where the policy does not ask for it. */
export type CopiesPaused = { readonly paused: true } | { readonly paused: false; readonly because: string };

/** `hosts`: the names of those that run a copy. */
export function splitBrainAlarm({ name }: Pick<Vm, 'name'>, hosts: readonly string[], done?: CopiesPaused): string {
  const measure =
    done === undefined ? '' : done.paused ? '; both are paused' : `; they are not paused: ${done.because}`;
  return `${name} runs on ${hosts.join(' and ')} at the same time${measure}. Settle it: ferry vm settle ${name}`;
}

/**
 * `believed`: raise the alarm now, once. `fresh`: seen for the first time, to be checked again. `isClosing`: that
 * migration only tells hooks of its end.
 */
export function splitBrains(
  before: Suspicions,
  vms: readonly Vm[],
  now: TimeMs,
  isClosing: (migration: MigrationId) => boolean = () => false,
): { readonly suspicions: Suspicions; readonly believed: readonly Vm[]; readonly fresh: boolean } {
  // a migration that goes on judges its own two halves
  const twice = vms.filter(
    (vm) => (vm.currentMigration === undefined || isClosing(vm.currentMigration)) && runningCopies(vm).length > 1,
  );
  const judged = twice.map((vm) => {
    const { since = now, said } = before.get(vm.uuid) ?? {};
    return { vm, since, said: said === true, believed: said !== true && now - since >= splitBrainBelievedAfterMs };
  });
  return {
    suspicions: new Map(
      judged.map(({ vm, since, said, believed }) => [
        vm.uuid,
        { since, ...(said || believed ? { said: true as const } : {}) },
      ]),
    ),
    believed: judged.filter(({ believed }) => believed).map(({ vm }) => vm),
    fresh: judged.some(({ vm }) => !before.has(vm.uuid)),
  };
}
