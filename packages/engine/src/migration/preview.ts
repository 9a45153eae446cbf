/** What a migration would do, computed from a check that found a target, and shown. Nothing is touched. */
import {
  clusterDifferences,
  lineDiff,
  type CheckResult,
  type CopyTime,
  type HostAnswer,
  type HostRef,
  type MigrationKind,
  type MigrationPlan,
  type MigrationRequest,
  type Prediction,
  type ResolvedPolicy,
  type Vm,
} from '@ferry/core';
import type { FactFinder } from '../planning/fact-finding.ts';
import type { FactSources } from '../planning/fact-sources.ts';
import { copiesLive, predictConvergence, predictCopyTime, type Predicting } from '../planning/prediction.ts';
import { rewritten, type RunnerDeps } from './effects/context.ts';

/** What would happen, computed and shown. */
export interface PlannedMigration {
  readonly vm: { readonly uuid: string; readonly name: string };
  readonly from: HostRef;
  readonly to: HostRef;
  readonly kind: MigrationKind;
  readonly plan: MigrationPlan;
  /** What the checks say of every host in question, the chosen one included. */
  readonly answers: readonly HostAnswer[];
  /** What it would go by. */
  readonly policy: ResolvedPolicy;
  /** Of a guest that runs on: whether pre-copy will end. */
  readonly prediction?: Prediction;
  /** Of a move whose guest does not run. */
  readonly copyTime?: CopyTime;
  /** Lines of the definition that change on the way, with - and +. */
  readonly diff: readonly string[];
  /** What the target's cluster does otherwise. */
  readonly differences: readonly string[];
}

export async function preview(
  {
    facts,
    fleet,
    linkOf,
    predicting,
    rewriteDefinition,
  }: Pick<FactSources, 'fleet' | 'linkOf'> &
    Pick<RunnerDeps, 'rewriteDefinition'> & {
      readonly facts: Pick<FactFinder, 'clusterOf' | 'policyOf'>;
      readonly predicting: Predicting;
    },
  { vm, request }: { readonly vm: Vm; readonly request: MigrationRequest },
  result: Exclude<CheckResult, { kind: 'refused' }>,
  signal: AbortSignal,
): Promise<PlannedMigration> {
  const source = fleet.hosts().find(({ host }) => host.id === vm.hostId);
  const { plan } = result;
  const from = { id: vm.hostId, name: source?.host.name ?? vm.hostId };
  const differences = clusterDifferences(facts.clusterOf(from.id), facts.clusterOf(result.to.id));
  const adapted = plan.definition === undefined ? undefined : await linkOf(vm.hostId).definitions.read(vm.uuid, signal);
  const diff =
    adapted === undefined
      ? []
      : lineDiff(adapted, rewritten({ plan, request }, 'next-start', adapted, { rewriteDefinition }));
  const policy = facts.policyOf(vm, request);
  const prediction = copiesLive(plan)
    ? await predictConvergence(
        predicting,
        () => linkOf(vm.hostId).guest,
        { vm, from: from.id, to: result.to.id, request, plan, policy },
        signal,
      )
    : undefined;
  const target = fleet.hosts().find(({ host }) => host.id === result.to.id);
  const copyTime = predictCopyTime({ request, plan }, [source?.facts?.linkMbit, target?.facts?.linkMbit]);
  return {
    vm: { uuid: vm.uuid, name: vm.name },
    from,
    to: result.to,
    kind: result.move,
    plan,
    answers: result.answers ?? [],
    policy,
    ...(prediction === undefined ? {} : { prediction }),
    ...(copyTime === undefined ? {} : { copyTime }),
    diff,
    differences,
  };
}
