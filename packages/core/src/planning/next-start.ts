/**
 * A guest that runs has two definitions: the one it runs on and the one that its next start uses, and they differ when
 * something was attached, detached or changed for one of them only. So has a saved one: its memory comes back with the
 * definition that libvirt put into the file. Both travel. What of the second one the target would lack is found here,
 * and whether both arrived. Pure.
 */
import type { VmUuid } from '../model/ids.ts';
import type { DiskPlan } from '../model/plan.ts';
import type { Reason } from '../model/reasons.ts';
import type { DiskFacts } from '../model/storage.ts';
import { joinNeeds, type DefinitionNeeds } from './definition.ts';
import { planDisks } from './disks/plan-disks.ts';
import type { StorageWish, TargetStorage } from './disks/question.ts';

/** What the definition for the next start names. */
export interface NextStart {
  readonly disks: readonly DiskFacts[];
  readonly needs: DefinitionNeeds;
}

/** `nextStart` absent: there is one definition. */
interface Both {
  readonly disks: readonly DiskFacts[];
  readonly needs: DefinitionNeeds;
  /** The guest is in a file: nothing holds its disks, and those of both definitions can be copied. */
  readonly saved?: boolean;
  readonly nextStart?: NextStart | undefined;
}

const isIn = (disks: readonly DiskFacts[], { target, source, identity }: DiskFacts): boolean =>
  disks.some((each) => each.target === target && each.source === source && each.identity === identity);
/** Disks that only the next start has. */
const laterDisks = ({ disks, nextStart }: Both): readonly DiskFacts[] =>
  (nextStart?.disks ?? []).filter((disk) => !isIn(disks, disk));

/** Disks of either definition, for a look at storage. */
export const disksOfBoth = (facts: Both): readonly DiskFacts[] => [...facts.disks, ...laterDisks(facts)];
/** Disks that can be copied: the guest's first, then, of a saved one, files that only its definition has. */
export const disksToCopy = (facts: Both): readonly DiskFacts[] => [
  ...facts.disks,
  ...(facts.saved === true ? laterDisks(facts) : []).filter(
    ({ source }) => !facts.disks.some((disk) => source !== undefined && disk.source === source),
  ),
];
export const needsOfBoth = ({ needs, nextStart }: Both): DefinitionNeeds =>
  nextStart === undefined ? needs : joinNeeds(needs, nextStart.needs);

/** Codes whose remedy is right for a disk that does not travel, too. */
const keptCodes: readonly string[] = [
  'disk-read-only-local',
  'disk-sharing-unknown',
  'disk-base-not-shared',
  'disk-chain-unknown',
];

/**
 * The plan for disks of both definitions, each marked that only one of them has. `planned`: for `disksToCopy`. No other
 * one is copied, so what only the next start of a running guest has must be there, or come as a file, or is a reason.
 */
export function planNextStart(
  vm: { readonly name: string; readonly uuid: VmUuid },
  facts: Both,
  planned: readonly DiskPlan[],
  storage: TargetStorage,
  wish: StorageWish,
  names: { readonly from: string; readonly to: string },
): { readonly disks: readonly DiskPlan[]; readonly reasons: readonly Reason[] } {
  const { nextStart } = facts;
  if (nextStart === undefined) return { disks: planned, reasons: [] };
  const reasons: Reason[] = [];
  const now = facts.disks.flatMap((disk, at): readonly DiskPlan[] => {
    const plan = planned[at];
    return plan === undefined ? [] : [isIn(nextStart.disks, disk) ? plan : { ...plan, when: 'now' }];
  });
  const others = planned.slice(facts.disks.length);
  const later = laterDisks(facts).map((disk): DiskPlan => {
    const own = others.find(({ target }) => target === disk.target);
    if (own !== undefined) return { ...own, when: 'next-start' };
    const travels = disk.source === undefined ? undefined : now.find(({ path }) => path === disk.source);
    // the same file under another device
    if (travels !== undefined)
      return {
        ...travels,
        target: disk.target,
        how: ['copy', 'file'].includes(travels.how) ? 'none' : travels.how,
        when: 'next-start',
      };
    const one = planDisks(vm, [disk], storage, wish, names);
    const [plan] = one.disks;
    if (plan !== undefined && plan.how !== 'copy' && one.reasons.length === 0) return { ...plan, when: 'next-start' };
    const kept = one.reasons.filter(({ code }) => keptCodes.includes(code));
    reasons.push(...(kept.length > 0 ? kept : [missing(disk)]));
    return { target: disk.target, how: 'none', when: 'next-start' };
  });
  return { disks: [...now, ...later], reasons };

  function missing({ target, source }: DiskFacts): Reason {
    return {
      code: 'disk-next-start',
      host: names.to,
      message:
        `${vm.name}'s disk ${target} (${source ?? 'empty'}) is in its definition for the next start only, ` +
        `and ${names.to} does not have it; a running guest's move copies only the disks that it has now.`,
      remedy:
        `Put the disk on storage both hosts share, detach it (virsh detach-disk ${vm.name} ${target} ` +
        '--config), or shut the VM down and move it cold.',
    };
  }
}

/** Sources of the disks of a definition by target device. */
export type Sources = Readonly<Record<string, string>>;

/**
 * What is otherwise than planned in the definitions that the target has after a move; `now` absent: the guest does
 * not run there.
 */
export function arrivalProblems(
  planned: readonly DiskPlan[],
  { now, nextStart }: { readonly now?: Sources; readonly nextStart?: Sources },
): readonly string[] {
  const problems = (seen: Sources | undefined, of: 'now' | 'next-start', where: string): readonly string[] => {
    if (seen === undefined) return [];
    const expected = new Map(
      planned
        .filter(({ when }) => when === undefined || when === of)
        .map(({ target, path, targetPath, how }) => [target, how === 'eject' ? undefined : (targetPath ?? path)]),
    );
    const others = Object.entries(seen).flatMap(([target, source]) => {
      const wanted = expected.get(target);
      return !source.startsWith('/') || source === wanted
        ? []
        : [
            `${where} has ${source} as ${target}${wanted === undefined ? ', which was not planned' : ` instead of ${wanted}`}`,
          ];
    });
    // the guest itself may have emptied a drive since
    const lost =
      of === 'now'
        ? []
        : [...expected].flatMap(([target, wanted]) =>
            wanted?.startsWith('/') === true && seen[target] === undefined
              ? [`${where} lacks ${target} (${wanted})`]
              : [],
          );
    return [...others, ...lost];
  };
  return [
    ...problems(now, 'now', 'the running guest'),
    ...problems(nextStart, 'next-start', 'the definition for its next start'),
  ];
}
