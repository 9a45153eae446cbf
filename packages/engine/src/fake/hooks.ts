/** For tests: hooks that answer as they are told, and what they were asked. One without an answer hangs. */
import type { HookAnswer, HookTarget } from '@ferry/core';
import type { HookCaller } from '../ports/ports.ts';

export interface FakeHooks extends HookCaller {
  /** By program. */
  readonly answers: Map<string, HookAnswer | 'hangs'>;
  /** Programs that were ended while they were asked. */
  readonly ended: string[];
  /** What is wrong with a program, by its name. */
  readonly problems: Map<string, string>;
  readonly asked: { readonly program: string; readonly document: Readonly<Record<string, unknown>> }[];
}

export function fakeHooks(): FakeHooks {
  const answers: FakeHooks['answers'] = new Map();
  const asked: FakeHooks['asked'][number][] = [];
  const ended: string[] = [];
  const problems: FakeHooks['problems'] = new Map();
  return {
    answers,
    asked,
    ended,
    problems,
    problem: async ({ program = '' }: HookTarget) => problems.get(program),
    call({ program = '' }: HookTarget, document, signal) {
      asked.push({ program, document: JSON.parse(document) as Readonly<Record<string, unknown>> });
      const answer = answers.get(program) ?? { result: 'ok' };
      if (answer !== 'hangs') return Promise.resolve(answer);
      return new Promise((_resolve, reject) => {
        const end = (): void => {
          ended.push(program);
          reject(signal.reason as Error);
        };
        if (signal.aborted) end();
        else signal.addEventListener('abort', end, { once: true });
      });
    },
  };
}
