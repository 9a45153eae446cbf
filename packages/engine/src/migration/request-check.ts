/**
 * Checks a request before it becomes a migration: the names that it uses, and whether the VM can be moved as asked. It
 * is refused only after a second look at the hosts that it is about.
 */
import {
  FerryError,
  refuseWhileMoved,
  resolveHost,
  type CheckResult,
  type HostView,
  type Migration,
  type MigrationRequest,
  type Vm,
} from '@ferry/core';
import type { FactFinder, Gathered } from '../planning/fact-finding.ts';
import type { FleetView } from '../planning/fact-sources.ts';
import type { Clock, Log } from '../ports/ports.ts';
import { chooseTaking, notRead } from './choosing.ts';
import type { RunnerDeps } from './effects/context.ts';

/** Bounds the second look of one host before a request is refused. */
const lookAgainMs = 5_000;

export interface CheckedRequest {
  readonly vm: Vm;
  readonly said: Gathered;
  readonly result: CheckResult;
}

export interface RequestCheck {
  /** The hosts by their names; refused where they are not known, or the VM is being moved already. */
  requested(vmRef: string, asked: MigrationRequest): { readonly vm: Vm; readonly request: MigrationRequest };
  /** What is refused is refused by what the hosts have now. */
  checkNow(vm: Vm, request: MigrationRequest, signal: AbortSignal): Promise<CheckedRequest>;
}

export function checkRequests({
  active,
  clock,
  facts,
  fleet,
  log,
  refresh,
}: {
  /** Migrations that have not ended. */
  readonly active: () => readonly Migration[];
  readonly clock: Pick<Clock, 'timeout'>;
  readonly facts: Pick<FactFinder, 'gather'>;
  readonly fleet: FleetView;
  readonly log: Log;
  readonly refresh: RunnerDeps['refresh'];
}): RequestCheck {
  const namedHost = (ref: string | undefined): string | undefined =>
    ref === undefined ? undefined : resolveHost(fleet.hosts(), ref).host.name;

  const requested = (
    vmRef: string,
    asked: MigrationRequest,
  ): { readonly vm: Vm; readonly request: MigrationRequest } => {
    const to = namedHost(asked.to);
    const preferHost = namedHost(asked.preferHost);
    const vm = fleet.vm(vmRef);
    refuseWhileMoved(vm, active());
    return {
      vm,
      request: { ...asked, ...(to === undefined ? {} : { to }), ...(preferHost === undefined ? {} : { preferHost }) },
    };
  };
  const factsOf = async (vm: Vm, request: MigrationRequest, signal: AbortSignal): Promise<CheckedRequest> => {
    try {
      const said = await facts.gather(vm, request, undefined, signal);
      return { vm, said, result: await chooseTaking(said, () => said.choose(undefined), signal) };
    } catch (error) {
      if (error instanceof FerryError) throw error;
      throw new FerryError('migration-refused', `${vm.name} cannot be moved.`, {
        reasons: [notRead(vm.name, error)],
        cause: error,
      });
    }
  };
  const lookOn = async (vm: Vm, hosts: readonly HostView[]): Promise<Vm | undefined> => {
    const look = ({ host }: HostView): Promise<void> =>
      refresh(vm.uuid, [host.id], clock.timeout(lookAgainMs)).catch((error: unknown) =>
        log.warn({ err: error, host: host.name }, 'the VM was not looked at again'),
      );
    await Promise.all(hosts.map(look));
    return fleet.vmByUuid(vm.uuid);
  };
  /**
   * Somebody may have moved the VM just now, and the hosts' own events of that may still be on their way. The hosts that
   * had it and those that are named are asked; all of them only if it is not there as it was seen.
   */
  const lookAgain = async (vm: Vm, { to, preferHost }: MigrationRequest): Promise<Vm> => {
    const concerned = fleet
      .hosts()
      .filter(
        ({ host: { id, name } }) =>
          name === to || name === preferHost || vm.instances.some(({ hostId }) => hostId === id),
      );
    const now = await lookOn(vm, concerned);
    if (now?.hostId === vm.hostId && now.state === vm.state) return now;
    return (await lookOn(vm, fleet.hosts())) ?? vm;
  };
  const checkNow: RequestCheck['checkNow'] = async (vm, request, signal) => {
    const first = await factsOf(vm, request, signal);
    if (first.result.kind !== 'refused') return first;
    const now = await lookAgain(vm, request);
    return first.said.holds() ? first : factsOf(now, request, signal);
  };

  return { requested, checkNow };
}
