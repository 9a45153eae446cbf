/** The memory driver: the conformance suites, with answers that are lost as a network loses them. */
import { memoryIntents, memoryStores } from '@ferry/engine';
import { intentConformance } from '../conformance/intents.ts';
import { journalConformance } from '../conformance/journal.ts';

intentConformance('memory', async (clock) => {
  let lose: 'before' | 'after' | undefined;
  const store = memoryIntents({
    clock,
    beforeCommit: () => {
      const when = lose;
      lose = undefined;
      return when === undefined ? undefined : `lost-${when}`;
    },
  });
  return { store, loseNext: (when) => void (lose = when), close: async () => {} };
});

journalConformance('memory', async () => ({ journal: memoryStores().journal, close: async () => {} }));
