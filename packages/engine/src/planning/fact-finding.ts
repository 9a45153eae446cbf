/**
 * Gathers what core needs to know about a move, from the hosts and from what is stored, and asks core. It decides
 * nothing, and leaves nothing behind on any host.
 */
import {
  freePorts,
  hostKey,
  loadOn,
  memoryPromised,
  others,
  portsKept,
  portsTaken,
  promisedTo,
  roomOn,
  targetWaits,
  type CheckResult,
  type Cluster,
  type HostId,
  type HostView,
  type Ledger,
  type Migration,
  type MigrationRequest,
  type ResolvedPolicy,
  type Room,
  type Vm,
  type VmUuid,
} from '@ferry/core';
import type { FactSources, OthersNow } from './fact-sources.ts';
import { askHosts } from './host-answers.ts';
import { gatherForMove } from './move-facts.ts';
import { gatherForRescue } from './rescue-facts.ts';

/** Bounds all the asking for one check. */
export const factsTimeoutMs = 45_000;

/** What the hosts said. The choice is made of it when it is asked for, with what other migrations have by then. */
export interface Gathered {
  /** `self`: the migration that asks. */
  choose(self: string | undefined): CheckResult;
  /**
   * Whether the chosen host's daemon accepts one more connection, as the move will need it. A daemon with too many
   * clients lets it wait, and libvirt waits without a limit. Such a host is not chosen again.
   */
  takes(chosen: CheckResult, signal: AbortSignal): Promise<boolean>;
  /** Whether the VM and its hosts are still what they were. */
  holds(): boolean;
}

export interface FactFinder {
  /** Asks the hosts what has to be known of a move. `self`: the migration that asks. Rejects when the signal aborts. */
  gather(
    vm: Vm,
    request: MigrationRequest,
    self: Pick<Migration, 'policy' | 'attempts'> | undefined,
    signal: AbortSignal,
  ): Promise<Gathered>;
  /** That of the cluster which the VM leaves, unless the VM or the request has another. */
  policyOf(vm: Vm, request: MigrationRequest): ResolvedPolicy;
  clusterOf(hostId: HostId): Cluster;
}

export function createFactFinder(deps: FactSources): FactFinder {
  const { fleet, active } = deps;
  const clusterOf = (id: HostId): Cluster => deps.ledger.clusterOf(id);
  const policyOf = (vm: Vm, request: MigrationRequest): ResolvedPolicy =>
    deps.policies.resolve(request, vm.uuid, clusterOf(vm.hostId));

  /** What other migrations have now. */
  const nowFor = (self: string | undefined, vm: Vm): OthersNow => {
    const rest = active().filter(({ id }) => id !== self);
    const ledger: Ledger = { ...deps.ledger, of: (key) => others(deps.ledger.of(key), self) };
    let views: ReadonlyMap<HostId, HostView> | undefined;
    // most of the time nobody waits for ports
    const roomOf = (id: HostId): Room | undefined => {
      views ??= new Map(fleet.hosts().map((view) => [view.host.id, view]));
      const view = views.get(id);
      return view?.state === 'connected' ? roomOn(view, deps.ledger) : undefined;
    };
    const kept = portsKept(active(), self, deps.clock.now(), { ledger: deps.ledger, roomOf });
    return {
      loadOf: (id) => loadOn(id, rest),
      portsInUse: (id) => (kept.has(id) ? (freePorts(clusterOf(id), []) ?? []) : portsTaken(ledger.of(hostKey(id)))),
      memoryPromised: (id) => memoryPromised(ledger.of(hostKey(id))),
      promisedTo: (id) => promisedTo(ledger.of(hostKey(id))),
      rules: deps.rules.factsFor(vm, rest),
      slotWaits: ({ host }, travels) => targetWaits(ledger, host, travels),
    };
  };
  /** What must stay as it is for the answers to hold. */
  const printOf = (uuid: VmUuid): string => {
    const { currentMigration: _, ...vm } = fleet.vmByUuid(uuid) ?? { uuid: undefined };
    return JSON.stringify([vm, fleet.hosts().map(({ freeMemoryBytes: __, ...view }) => view)]);
  };

  const gather: FactFinder['gather'] = async (vm, request, self, signal) => {
    const print = printOf(vm.uuid);
    const answers = askHosts(deps);
    const bounded = AbortSignal.any([signal, deps.clock.timeout(factsTimeoutMs)]);
    const wanted = { vm, request, policy: self?.policy ?? policyOf(vm, request), attempts: self?.attempts };
    const choose = await (request.rescue === undefined ? gatherForMove : gatherForRescue)(
      deps,
      wanted,
      answers,
      bounded,
    );
    return {
      choose: (id) => choose(nowFor(id, vm)),
      takes: async (chosen, within) => {
        const host =
          chosen.kind === 'chosen' && chosen.plan.transfer !== undefined
            ? fleet.hosts().find((each) => each.host.id === chosen.to.id)?.host
            : undefined;
        return host === undefined || answers.takesAnother({ host, link: deps.linkOf(host.id) }, within);
      },
      holds: () => printOf(vm.uuid) === print,
    };
  };

  return { gather, policyOf, clusterOf };
}
