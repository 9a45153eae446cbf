/**
 * The steps after a transfer: the rest of a move that succeeded, and the undo of one that failed. For each thing that a
 * move prepares, it says what happens to it in both cases. The engine carries the steps out in this order; every one
 * may be repeated after a crash. Pure.
 */
import { isPlanned, type Migration, type Planned } from '../model/migration.ts';
import type { InstanceView } from '../model/vm.ts';

type At = 'source' | 'target';

export type EndingStep =
  /** What is to be done for a guest that libvirt has moved; see `arrivalSteps`. */
  | { readonly do: 'receive-guest' }
  /** The definition of a VM that is shut off goes over; the helper that held its disks ends meanwhile. */
  | { readonly do: 'move-definition' }
  /** The VM of a dead host starts from its stored definition. */
  | { readonly do: 'start-stored' }
  | { readonly do: 'restore-snapshots'; readonly at: At }
  | { readonly do: 'end-helper'; readonly at: At }
  /** Networks and secrets that were made for the VM are its own. */
  | { readonly do: 'keep-resources' }
  | { readonly do: 'remove-resources' }
  /** A definition that was kept on the target is the VM now. */
  | { readonly do: 'unpark-target' }
  /** The target's volumes are the VM's own; the source's are recorded, or deleted if that was asked. */
  | { readonly do: 'settle-volumes' }
  | { readonly do: 'remove-volumes' }
  /** The volumes stay for an operator, with the evidence of why the target failed. */
  | { readonly do: 'keep-for-inspection' }
  /** Media and state: what is on the target is the VM's own, what stays on the source is recorded. */
  | { readonly do: 'settle-files' }
  | { readonly do: 'remove-files' }
  /** Stops here, to be tried again, while the target has something of the VM that is active. */
  | { readonly do: 'require-idle-target' }
  /** A target that was held got its definition before it was known that it would not run. */
  | { readonly do: 'remove-target-definition' }
  /** It was shut down to be moved cold, and was not moved. */
  | { readonly do: 'start-source' };

interface Part {
  readonly kept: readonly EndingStep[];
  readonly undone: readonly EndingStep[];
}

const none: readonly EndingStep[] = [];
const both = (kept: EndingStep, ...undone: readonly EndingStep[]): Part => ({ kept: [kept], undone });

const startsAgain = ({ request, evidence }: Migration): readonly EndingStep[] =>
  evidence.poweredOffAt !== undefined && (request.kind === 'cold' || evidence.ending?.outcome === 'cancelled')
    ? [{ do: 'start-source' }]
    : none;

/** What a move prepares, and what becomes of it. */
const parts = {
  vm: (migration: Planned): Part =>
    both({ do: migration.plan.how === 'guest' ? 'receive-guest' : 'move-definition' }, ...startsAgain(migration)),
  helper: ({ plan }: Planned): Part => ({
    // it ends while the definition goes over
    kept: none,
    undone:
      plan.helper === undefined
        ? none
        : [
            { do: 'end-helper', at: 'source' },
            { do: 'end-helper', at: 'target' },
          ],
  }),
  snapshots: ({ plan }: Planned): Part =>
    plan.carriesSnapshots === true
      ? both(
          // a temporary guest keeps its snapshots where its definition is
          { do: 'restore-snapshots', at: plan.persistence === 'temporary' ? 'source' : 'target' },
          { do: 'restore-snapshots', at: 'source' },
        )
      : { kept: none, undone: none },
  definition: ({ plan }: Planned): Part =>
    both(
      { do: 'unpark-target' },
      { do: 'require-idle-target' },
      ...(plan.transfer?.handover === true && plan.definedThere !== true
        ? ([{ do: 'remove-target-definition' }] as const)
        : []),
    ),
  volumes: ({ plan, request, evidence }: Planned): Part => ({
    kept: plan.disks.some(({ how }) => how === 'copy') ? [{ do: 'settle-volumes' }] : none,
    undone: [
      {
        do:
          request.keepTargetOnFailure === true && evidence.ending?.outcome === 'failed'
            ? 'keep-for-inspection'
            : 'remove-volumes',
      },
    ],
  }),
  files: (): Part => both({ do: 'settle-files' }, { do: 'remove-files' }),
  resources: (): Part => both({ do: 'keep-resources' }, { do: 'remove-resources' }),
};
type PartName = keyof typeof parts;

/** The VM first: what is the VM's own follows it. */
const keptInOrder: readonly PartName[] = ['vm', 'resources', 'snapshots', 'definition', 'volumes', 'files'];
/** Nothing is deleted before it is seen that the target does not use it, and the VM starts when all of it is back. */
const undoneInOrder: readonly PartName[] = ['snapshots', 'helper', 'definition', 'volumes', 'files', 'resources', 'vm'];

/** The rest of a move that happened. */
export const cleanUpSteps = (migration: Planned): readonly EndingStep[] =>
  migration.plan.how === 'stored-definition'
    ? [{ do: 'start-stored' }]
    : keptInOrder.flatMap((part) => parts[part](migration).kept);

/** What takes back one that did not. Of one that was refused after the guest was shut down for it, nothing was made. */
export const undoSteps = (migration: Migration): readonly EndingStep[] =>
  isPlanned(migration) ? undoneInOrder.flatMap((part) => parts[part](migration).undone) : startsAgain(migration);

/** What a guest that has arrived is given, and what becomes of the source's definition. A failure undoes nothing. */
export type ArrivalStep =
  /** Once the two are proved to be two machines; it stays and is parked where that fails. */
  | 'undefine-source'
  /** It was meant to stay: it is recorded as not the VM, and its autostart is off. */
  | 'park-source'
  | 'set-autostart'
  | 'set-guest-clock'
  /** Another move before it has run would lose its memory. */
  | 'note-arrived-paused';

/** After a pause this long, ms, the guest's agent sets the clock. */
const clockMatters = 1_000;

export function arrivalSteps(
  { plan, downtimeMs = 0 }: Planned,
  source: InstanceView,
  target: InstanceView,
): readonly ArrivalStep[] {
  const left = source.kind === 'present' && source.state === 'shut-off' && source.persistent;
  const state = target.kind === 'present' ? target.state : undefined;
  // what QEMU opens for writing only when the guest runs
  const inactiveImages = plan.nvram === true || plan.disks.some(({ how }) => how === 'shared');
  const steps: readonly (readonly [ArrivalStep, boolean])[] = [
    ['undefine-source', left && plan.persistence === 'permanent'],
    ['park-source', left && plan.persistence === 'keep-source'],
    ['set-autostart', plan.autostart && plan.persistence !== 'temporary'],
    // its clock stood still with it
    ['set-guest-clock', downtimeMs >= clockMatters && state === 'running'],
    ['note-arrived-paused', state === 'paused' && inactiveImages],
  ];
  return steps.flatMap(([step, applies]) => (applies ? [step] : []));
}

export const isOff = (view: InstanceView): boolean =>
  view.kind === 'present' && (view.state === 'shut-off' || view.state === 'crashed');

/** How the definition of a VM that is shut off goes on. `arrived`: it was moved before a crash. */
export function definitionMove(
  { from, to }: Planned,
  source: InstanceView,
  target: InstanceView,
): { readonly do: 'move' | 'arrived' } | { readonly do: 'refuse'; readonly because: string } {
  if (source.kind !== 'present' && target.kind === 'present') return { do: 'arrived' };
  const refuse = (because: string) => ({ do: 'refuse' as const, because });
  if (source.kind === 'absent') return refuse(`it is no longer on ${from.name}.`);
  if (!isOff(source)) return refuse(`it is no longer shut off on ${from.name}, so it stays there.`);
  if (target.kind === 'present' && !isOff(target))
    return refuse(`it is active on ${to.name}, so its definition there is left alone.`);
  return { do: 'move' };
}

/** Why the source keeps the definition that the target has by now; undefined where it lets it go. */
export const definitionStays = ({ from }: Pick<Planned, 'from'>, source: InstanceView): string | undefined =>
  isOff(source) ? undefined : `it was started on ${from.name} in the meantime, so it stays there.`;

/** The target's definition is the move's own. `before`: the target as this step found it, perhaps after a crash. */
export const broughtDefinition = ({ plan }: Pick<Planned, 'plan'>, before: InstanceView): boolean =>
  before.kind === 'absent' || plan.definedThere !== true;

/**
 * What becomes of the target when the source keeps the definition. `before`: the target as the move found it.
 * `sourceLost`: the source has no longer all of the VM's state.
 */
export function definitionTakenBack(
  migration: Pick<Planned, 'plan'>,
  before: InstanceView,
  sourceLost: boolean,
): { readonly do: 'stay' } | { readonly do: 'take-back'; readonly undefine: boolean } {
  // the target has the only copy: nothing is taken back
  if (sourceLost) return { do: 'stay' };
  // a definition that was there before the move stays: it was parked, and is so again
  return { do: 'take-back', undefine: broughtDefinition(migration, before) };
}

/** The stored definition of a dead host's VM is to be written. `parked`: the target keeps an older one. */
export const writesStored = (target: InstanceView, parked: boolean): boolean =>
  target.kind === 'absent' || (isOff(target) && parked);

/** What a start still needs, on a host that may have been asked for it before. */
export function startStep(at: InstanceView): 'start' | 'wait' | 'done' {
  if (at.kind !== 'present' || isOff(at)) return 'start';
  return at.reason === 'starting' ? 'wait' : 'done';
}
