/**
 * Whether folders of one host are the same one: a marker is left in the one and looked for in the others, a few at a
 * time on a machine. What was found is remembered for some minutes; that folders are apart is not, for what is about to
 * be written over or deleted, since a link may have been made. It takes a limited time: a folder that does not answer, or
 * cannot be looked into, is perhaps the same one. What that means for a file, core says.
 */
import { FerryError, type ComparedFolders, type FolderPair } from '@ferry/core';
import { turnsOf, type Turns } from '../fleet/turns.ts';
import type { Clock } from '../ports/ports.ts';
import type { Markers, MarkerSide } from './markers.ts';

/** On one machine. */
const atOnce = 4;
/** For one folder, and for all of one question: who asks does not wait for longer than twice that. */
const folderMs = 3_000;
const questionMs = 8_000;
const keptMs = 5 * 60_000;
/** So long a folder that does not answer is not asked again. */
const silentKeptMs = 60_000;
/** Pairs that are remembered. */
const mostKept = 100_000;

type Answer = 'one' | 'apart' | 'perhaps';

export type FolderComparison = (
  side: MarkerSide,
  pairs: readonly FolderPair[],
  signal: AbortSignal,
  /** `now`: folders that were apart a moment ago are asked again. */
  when?: 'now',
) => Promise<ComparedFolders>;

export function compareFolders({
  markers,
  clock,
}: {
  readonly markers: Markers;
  readonly clock: Clock;
}): FolderComparison {
  const kept = new Map<string, { readonly answer: Answer; readonly until: number }>();
  const turns = new Map<string, Turns>();
  const keyOf = ({ machine }: MarkerSide, { mine, other }: FolderPair): string =>
    [machine, ...[mine, other].sort()].join('\0');
  const known = (key: string, when: 'now' | undefined): Answer | undefined => {
    const found = kept.get(key);
    if (found === undefined || clock.now() >= found.until) return undefined;
    return when === 'now' && found.answer === 'apart' ? undefined : found.answer;
  };
  const keep = (key: string, answer: Answer): void => {
    kept.delete(key);
    kept.set(key, { answer, until: clock.now() + (answer === 'perhaps' ? silentKeptMs : keptMs) });
    const [oldest] = kept.keys();
    if (kept.size > mostKept && oldest !== undefined) kept.delete(oldest);
  };

  /** One call to the host in its turn; undefined: it cannot tell, or not in this time. */
  const asked = async <T>(
    side: MarkerSide,
    ask: (within: AbortSignal) => Promise<T>,
    question: AbortSignal,
    signal: AbortSignal,
  ): Promise<T | { readonly silent: 'folder' | 'question' }> => {
    const turn = turns.get(side.machine) ?? turnsOf(atOnce);
    turns.set(side.machine, turn);
    let folder: AbortSignal | undefined;
    try {
      return await turn.take(
        () => {
          folder = clock.timeout(folderMs);
          return ask(AbortSignal.any([signal, question, folder]));
        },
        AbortSignal.any([signal, question]),
      );
    } catch (error) {
      const refused = error instanceof FerryError && error.code === 'volume-failed';
      if (signal.aborted || !(refused || question.aborted || folder?.aborted === true)) throw error;
      return { silent: refused || folder?.aborted === true ? 'folder' : 'question' };
    }
  };

  /** All pairs with one folder. */
  const compare = async (
    side: MarkerSide,
    pairs: readonly FolderPair[],
    question: AbortSignal,
    signal: AbortSignal,
    when: 'now' | undefined,
  ): Promise<readonly Answer[]> => {
    const [first] = pairs.filter((pair) => known(keyOf(side, pair), when) === undefined);
    if (first === undefined) return pairs.map((pair) => known(keyOf(side, pair), when) ?? 'perhaps');
    const { mine } = first;
    const left = await asked(side, (within) => markers.leave(side, mine, within), question, signal);
    if ('silent' in left) {
      return pairs.map((pair) => {
        const before = known(keyOf(side, pair), when);
        if (before === undefined && left.silent === 'folder') keep(keyOf(side, pair), 'perhaps');
        return before ?? 'perhaps';
      });
    }
    await using marker = left;
    const answers = await Promise.allSettled(
      pairs.map(async (pair): Promise<Answer> => {
        const key = keyOf(side, pair);
        const before = known(key, when);
        if (before !== undefined) return before;
        if (!marker.folder) return 'apart';
        const found = await asked(
          side,
          // another question may have had its answer meanwhile
          async (within) => known(key, when) ?? side.paths.marker('find', pair.other, marker.name, within),
          question,
          signal,
        );
        if (typeof found === 'string') return found;
        const answer = 'silent' in found ? 'perhaps' : found.found ? 'one' : 'apart';
        // what is not there may come at any time
        const isSaid = 'silent' in found ? found.silent === 'folder' : found.folder;
        if (isSaid) keep(key, answer);
        return answer;
      }),
    );
    return answers.map((each) => {
      if (each.status === 'rejected') throw each.reason;
      return each.value;
    });
  };

  return async (side, pairs, signal, when) => {
    const question = clock.timeout(questionMs);
    const groups = [...Map.groupBy(pairs, ({ mine }) => mine).values()];
    const answers = await Promise.all(
      groups.map(async (group) => {
        const said = await compare(side, group, question, signal, when);
        return group.map((pair, index) => ({ pair, answer: said[index] ?? 'perhaps' }));
      }),
    );
    const those = (is: Answer) => answers.flat().flatMap(({ pair, answer }) => (answer === is ? [pair] : []));
    return { one: those('one'), perhaps: those('perhaps') };
  };
}
