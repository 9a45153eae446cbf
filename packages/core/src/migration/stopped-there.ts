/**
 * A guest that ran on the target and stopped before Ferry looked: by itself, from inside, or with its host. Neither host
 * runs it any more, so what they have written down shows whether it was moved. Pure.
 */
import type { Planned } from '../model/migration.ts';
import type { MigrationPlan } from '../model/plan.ts';
import type { InstanceView } from '../model/vm.ts';
import { isOff } from './move-ending.ts';

interface Sides {
  readonly source: InstanceView;
  readonly target: InstanceView;
}

/** The target has a definition from the moment its guest may run. */
export const keepsDefinition = ({ persistence }: Pick<MigrationPlan, 'persistence'>): boolean =>
  persistence === 'permanent' || persistence === 'keep-source';

const isDefined = (view: InstanceView): boolean => view.kind === 'present' && view.persistent && isOff(view);

/**
 * The target has a definition that it got when it took the guest over: libvirt stores it before the guest runs, and
 * drops it where the guest cannot. A held target gets it earlier.
 */
export const tookOver = ({ plan, evidence }: Planned, target: InstanceView): boolean =>
  plan.how === 'guest' &&
  keepsDefinition(plan) &&
  plan.definedThere !== true &&
  isDefined(target) &&
  (plan.transfer?.handover !== true || evidence.releasedAt !== undefined);

/** It was seen to run there, or libvirt said that it does. */
export const ranThere = ({ plan, evidence: { targetRunningSince, performEnded } }: Planned): boolean =>
  targetRunningSince !== undefined ||
  (plan.how === 'guest' &&
    plan.transfer?.handover !== true &&
    performEnded !== undefined &&
    performEnded.failure === undefined);

/** libvirt gives a source this reason once it knows that the guest runs elsewhere. */
const leftIt = (source: InstanceView): boolean =>
  source.kind === 'present' && isOff(source) && source.reason === 'migrated';

/** Where a guest that was moved is, shut off; undefined where the hosts do not show that it was moved. */
export function stoppedAfterMove(migration: Planned, { source, target }: Sides): 'source' | 'target' | undefined {
  if (migration.plan.how !== 'guest') return undefined;
  if (isDefined(target))
    return tookOver(migration, target) || leftIt(source) || (source.kind === 'absent' && ranThere(migration))
      ? 'target'
      : undefined;
  // a temporary guest leaves nothing where it ran: its home is the source
  return migration.plan.persistence === 'temporary' && target.kind === 'absent' && leftIt(source)
    ? 'source'
    : undefined;
}

/** What is said of a guest that runs nowhere, and was not seen to have been moved. */
export function goneText(migration: Planned, { target }: Sides): string {
  const { vm, from, to } = migration;
  const nowhere = `${vm.name} is neither on ${from.name} nor on ${to.name}`;
  if (isDefined(target)) return `${vm.name} has stopped: it is no longer on ${from.name}, and shut off on ${to.name}.`;
  return ranThere(migration) && migration.plan.persistence === 'transient'
    ? `${nowhere}: it ran on ${to.name} and has ended there, and a transient VM leaves no definition.`
    : `${nowhere}.`;
}
