/** Which state of a VM, other than disks, moves with it, and which of it the target may not read. Pure. */
import type { MigrationPlan, StateRisk } from '../model/plan.ts';
import type { VmFacts } from './check-input.ts';
import type { planState } from './ownership.ts';

/** Risks of what would travel as a file. */
export const riskyFiles = (
  { saved, statePlaces, stateFiles }: VmFacts,
  risks: readonly StateRisk[],
): readonly StateRisk[] =>
  risks.filter(({ of }) =>
    of === 'memory' ? saved : statePlaces.some(({ path, what }) => what === 'tpm' && stateFiles.includes(path)),
  );

/** What of the VM's state travels, as files or with the guest, and what goes before it. */
export function stateOf(
  { stateFiles, statePlaces, saved }: VmFacts,
  travels: 'guest' | 'files' | 'definition',
  { shared, replaces }: Pick<ReturnType<typeof planState>, 'shared' | 'replaces'>,
): Pick<MigrationPlan, 'stateFiles' | 'guestFiles' | 'replaces'> {
  const later = statePlaces.filter(({ when }) => when === 'next-start').map(({ path }) => path);
  const asFiles =
    travels === 'files' ? stateFiles : travels === 'guest' ? stateFiles.filter((path) => later.includes(path)) : [];
  const files = asFiles.filter((path) => !shared.has(path));
  const withGuest =
    travels === 'guest'
      ? statePlaces
          .filter(({ path, what, when }) => what !== 'memory' && when === undefined && !shared.has(path))
          .map(({ path }) => path)
      : [];
  // its next start would resume from memory that is there
  const memory = saved ? [] : statePlaces.filter(({ what }) => what === 'memory').map(({ path }) => path);
  const goes = replaces.filter(({ path }) => [...files, ...withGuest, ...memory].includes(path));
  return {
    ...(files.length === 0 ? {} : { stateFiles: files }),
    ...(withGuest.length === 0 ? {} : { guestFiles: withGuest }),
    ...(goes.length === 0 ? {} : { replaces: goes }),
  };
}
