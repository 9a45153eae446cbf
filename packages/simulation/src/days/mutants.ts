/**
 * Safety rules of core, each broken on purpose in the text of its file as it is loaded: days that do not notice are not
 * worth much. `script/simulate --mutants` says which seed finds each.
 */
import { registerHooks } from 'node:module';

export interface Mutant {
  readonly name: string;
  /** The file below packages/core/src. */
  readonly file: string;
  readonly rule: string;
  /** Stands in the file once. */
  readonly before: string;
  readonly after: string;
  /** The rule is held in a second place, too. */
  readonly also?: Pick<Mutant, 'before' | 'after'>;
}

const verdicts = 'migration/verdicts.ts';
const judge = 'migration/judge.ts';

export const mutants: readonly Mutant[] = [
  {
    name: 'stale-source-stays',
    file: verdicts,
    rule: 'a proven stale source is ended before libvirt lets it run again',
    before: "look.held >= staleSourceAfterMs || look.ended ? again({ type: 'remove-source-process' }) : again()",
    after: 'again()',
  },
  {
    name: 'moved-with-a-source',
    file: judge,
    rule: 'a VM has moved only when nothing of its source can run',
    before: "if (isOff(source)) return { kind: 'moved' };",
    after: "if (isOff(source) || isHalf(source)) return { kind: 'moved' };",
  },
  {
    name: 'silent-target',
    file: judge,
    rule: 'nothing is concluded of a target that does not answer',
    before: "if (target.kind === 'unreachable')",
    after: "if (target.kind === 'unreachable' && source.kind === 'absent')",
  },
  {
    name: 'silent-source',
    file: judge,
    rule: 'nothing is concluded of a source that does not answer',
    before: "if (source.kind === 'unreachable')",
    after: "if (source.kind === 'unreachable' && target.kind === 'absent')",
  },
  {
    name: 'post-copy-is-pre-copy',
    file: judge,
    rule: 'the halves of a post-copy are no copies of the VM',
    before: 'if (isPostCopy(source) || isPostCopy(target))',
    after: "if (source.kind === 'absent' && isPostCopy(target))",
  },
  {
    name: 'post-copy-given-up',
    file: verdicts,
    rule: 'an interrupted post-copy is lost only when one half is gone',
    before: '(isGone(look.target) || isGone(look.source)) && look.held >= settleMs',
    after: 'look.held >= settleMs',
  },
  {
    name: 'stayed-too-soon',
    file: verdicts,
    rule: 'a VM has stayed only when the call that moves it has ended',
    before: "      if (performing) return again();\n      if (verdict.kind === 'stayed' && directInstead",
    after: "      if (verdict.kind === 'stayed' && directInstead",
  },
  {
    name: 'in-progress-is-stayed',
    file: judge,
    rule: 'a source with a running job has not stayed',
    before: "if (isMigrating(source)) return { kind: 'in-progress' };",
    after: '',
  },
  {
    name: 'released-beside-its-source',
    file: judge,
    rule: 'a held target is released only when its source is gone',
    before: "return isOff(source) ? { kind: 'arrived-held' } : { kind: 'leftover-target' };",
    after: "return { kind: 'arrived-held' };",
  },
  {
    name: 'undo-is-done',
    file: 'migration/step.ts',
    rule: 'a restart goes on with the undo that was begun, and not with the rest of a move',
    before: "migration.evidence.ending === undefined ? 'clean' : 'undo'",
    after: "'clean'",
  },
  {
    name: 'done-is-undone',
    file: 'migration/step.ts',
    rule: 'a restart goes on with the rest of a move, and does not take it back',
    before: "migration.evidence.ending === undefined ? 'clean' : 'undo'",
    after: "'undo'",
  },
  {
    name: 'powered-off-stays-off',
    file: 'migration/finish.ts',
    rule: 'where a guest was shut down for a move that failed, it is started again',
    before: "if (evidence.poweredOffAt !== undefined && request.kind === 'cold') return true;",
    after: '',
  },
  {
    name: 'calls-are-believed',
    file: 'migration/step.ts',
    rule: 'the end of the performing call is no proof that the VM has moved',
    before: "performEnded } }, 'verifying', now), {\n        type: 'observe',\n        afterMs: 0,\n",
    after: "performEnded } }, 'cleaning', now), {\n        type: 'clean',\n",
  },
  {
    name: 'volumes-stay',
    file: 'migration/move-ending.ts',
    rule: 'what a failed move made is taken back',
    before: "'helper', 'definition', 'volumes', 'files', 'resources', 'vm'];",
    after: "'definition', 'files', 'resources', 'vm'];",
  },
  {
    name: 'nobody-steers',
    file: verdicts,
    rule: 'a transfer that outlives its call is steered on',
    before: 'if (outlivesItsCall(migration, look, now))',
    after: 'if (false)',
  },
  {
    name: 'source-kept-running',
    file: 'migration/move-ending.ts',
    rule: 'the definition of a VM that runs is not moved away from it',
    before: 'if (!isOff(source)) return refuse(',
    after: "if (source.kind === 'unreachable') return refuse(",
    also: {
      before: '  isOff(source) ? undefined : `it was started on',
      after: '  true ? undefined : `it was started on',
    },
  },
  {
    name: 'snapshots-stay-off',
    file: 'migration/move-ending.ts',
    rule: 'what was taken off for a move is put back',
    before: "['vm', 'resources', 'snapshots', 'definition', 'volumes', 'files'];",
    after: "['vm', 'resources', 'definition', 'volumes', 'files'];",
  },
  {
    name: 'two-copies-are-one',
    file: judge,
    rule: 'two running copies are raised',
    before: "return isHalf(source) ? { kind: 'stale-source' } : { kind: 'two-copies' };",
    after: "return isHalf(source) ? { kind: 'stale-source' } : { kind: 'moved' };",
  },
];

/** Core is loaded with this rule broken from now on. Throws when its text is no longer in its file. */
export function breakRule({ file, before, after, name, also }: Mutant): void {
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context);
      if (!url.endsWith(`/packages/core/src/${file}`)) return loaded;
      const text =
        typeof loaded.source === 'string' ? loaded.source : Buffer.from(loaded.source as Uint8Array).toString();
      const places = [{ before, after }, ...(also === undefined ? [] : [also])];
      if (places.some((place) => text.split(place.before).length !== 2))
        throw new Error(`the text of mutant ${name} is not in ${file} once`);
      return { ...loaded, source: places.reduce((broken, place) => broken.replace(place.before, place.after), text) };
    },
  });
}
