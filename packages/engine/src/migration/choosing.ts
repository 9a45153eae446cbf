/**
 * Chooses the target of a migration whose turn has come. What is chosen counts for the next one at once, before it is
 * stored; whether the migration is given it is decided where it is stored (state/reservations.ts).
 */
import {
  changedMeanwhile,
  changedSinceChoice,
  factsMissing,
  freePorts,
  hostKey,
  onOtherPorts,
  others,
  portsTaken,
  type CheckResult,
  type Migration,
  type Planned,
  type Reason,
  type TransferPlan,
  type Vm,
} from '@ferry/core';
import { createFactFinder, type FactFinder, type Gathered } from '../planning/fact-finding.ts';
import type { FactSources } from '../planning/fact-sources.ts';
import type { Log } from '../ports/ports.ts';
import type { Reserving } from '../state/reservations.ts';
import { bothHosts, type RunnerDeps } from './effects/context.ts';

/**
 * Facts gathered for the answer to a request are good enough to begin with when it is admitted this soon after them:
 * gathering them again takes the hosts as long, and the new ones would be as old at the end.
 */
const checkedForMs = 2_000;
type Judged = Awaited<ReturnType<RunnerDeps['check']>>;

export const notRead = (vm: string, error: unknown): Reason =>
  factsMissing(vm, error instanceof Error ? error.message : String(error));

/** A host that takes no further connection is chosen once at most. */
export async function chooseTaking(
  said: Gathered,
  choose: () => CheckResult,
  signal: AbortSignal,
): Promise<CheckResult> {
  for (;;) {
    const result = choose();
    if (await said.takes(result, signal)) return result;
  }
}

export interface Choosing {
  readonly facts: FactFinder;
  /** Migrations that have not ended, with what was just chosen for them. */
  holding(): readonly Migration[];
  /** What was gathered for the answer to a request, at this time. */
  answered(id: string, said: Gathered, at: number): void;
  /** Judges a migration whose turn has come, as everything is now. */
  readonly judge: RunnerDeps['check'];
  /** Looks again at one whose target was chosen a while ago. */
  readonly changedSince: RunnerDeps['changedSince'];
  /** Ports that are left on the target, none of which another migration has. */
  readonly otherPorts: RunnerDeps['otherPorts'];
  placeOf(vm: Vm | undefined): Migration['vmIsNow'];
  /** What was chosen stands in the plan now, or was given back. */
  stored(id: string): void;
  /** It has ended. */
  ended(id: string): void;
}

export function chooseTargets(
  deps: FactSources & {
    readonly log: Log;
    readonly refresh: RunnerDeps['refresh'];
    readonly reserving: Pick<Reserving, 'chosen' | 'choiceOf'>;
  },
): Choosing {
  const { active, clock, fleet, ledger, reserving } = deps;
  const holding = (): readonly Migration[] => active().map((each) => reserving.choiceOf(each.id) ?? each);
  const facts = createFactFinder({ ...deps, active: holding });
  /** What was gathered for the answer to a request. */
  const gathered = new Map<string, { readonly said: Gathered; readonly at: number }>();

  /** The choice is made at once and counts from then on. */
  const chooseFor = (migration: Migration, facts: Gathered): CheckResult => {
    const result = facts.choose(migration.id);
    const { id } = migration;
    reserving.chosen(id, result.kind === 'chosen' ? { ...migration, to: result.to, plan: result.plan } : undefined);
    return result;
  };
  const placeOf = (vm: Vm | undefined): Migration['vmIsNow'] =>
    vm === undefined
      ? undefined
      : { host: fleet.hosts().find(({ host }) => host.id === vm.hostId)?.host.name ?? vm.hostId, state: vm.state };

  /** The hosts' events may still be on their way. */
  const refresh = (migration: Migration, signal: AbortSignal): Promise<void> =>
    deps
      .refresh(migration.vm.uuid, bothHosts(migration), signal)
      .catch((error: unknown) =>
        deps.log.warn({ err: error, migration: migration.id }, 'the VM was not looked at again'),
      );

  /** Judges a migration whose turn has come, as everything is now. */
  const judge = async (migration: Migration, signal: AbortSignal): Promise<Judged> => {
    const before = gathered.get(migration.id);
    gathered.delete(migration.id);
    const fresh = before !== undefined && clock.now() - before.at < checkedForMs && before.said.holds();
    if (!fresh) await refresh(migration, signal);
    const seen = (): readonly [Vm | undefined, readonly Reason[]] => {
      const vm = fleet.vmByUuid(migration.vm.uuid);
      return [vm, changedMeanwhile(migration, vm, fleet.hosts())];
    };
    const [vm, changed] = seen();
    const vmIsNow = placeOf(vm) ?? 'nowhere';
    if (vm === undefined || changed.length > 0) return { result: { kind: 'refused', reasons: changed }, vmIsNow };
    try {
      const said = fresh ? before.said : await facts.gather(vm, migration.request, migration, signal);
      return { result: await chooseTaking(said, () => chooseFor(migration, said), signal), vmIsNow };
    } catch (error) {
      return { result: { kind: 'refused', reasons: [notRead(vm.name, error)] }, vmIsNow };
    }
  };

  /** Ports that are left on the target, none of which another migration has. */
  const otherPorts = (migration: Planned): TransferPlan | undefined => {
    const { to, plan } = migration;
    if (plan.transfer === undefined) return undefined;
    const used = [
      ...portsTaken(others(ledger.of(hostKey(to.id)), migration.id)),
      ...(migration.evidence.portsBusy ?? []),
    ];
    const transfer = onOtherPorts(plan.transfer, freePorts(facts.clusterOf(to.id), used) ?? []);
    if (transfer !== undefined) reserving.chosen(migration.id, { ...migration, plan: { ...plan, transfer } });
    return transfer;
  };

  return {
    facts,
    holding,
    answered: (id, said, at) => void gathered.set(id, { said, at }),
    judge,
    async changedSince(migration, signal) {
      await refresh(migration, signal);
      return changedSinceChoice(migration, fleet.vmByUuid(migration.vm.uuid), fleet.hosts());
    },
    otherPorts,
    placeOf,
    stored: (id) => reserving.chosen(id, undefined),
    ended: (id) => {
      gathered.delete(id);
      reserving.chosen(id, undefined);
    },
  };
}
