/** What is wrong with what is to be called, in sentences. Whether it is there and answers shows when it is called. Pure. */
import {
  defaultHookTimeoutMs,
  hookStages,
  longestHookTimeoutMs,
  mostHooks,
  type Hook,
  type HookStage,
  type HookTarget,
} from '../model/hook.ts';

const isPath = (path: string): boolean => /^\/[^\0]+$/.test(path) && !path.split('/').includes('..');

function isAddress(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, username, password } = new URL(url);
  return (protocol === 'https:' || protocol === 'http:') && username === '' && password === '';
}

/** `longestMs`: what may be called for a long time is not a hook of a migration. */
export function hookTargetProblems(
  { program, url, secretFile, timeoutMs }: HookTarget,
  longestMs = longestHookTimeoutMs,
): readonly string[] {
  const problems: string[] = [];
  if ((program === undefined) === (url === undefined)) problems.push('It needs either a program or a URL to call.');
  if (program !== undefined && !isPath(program))
    problems.push(`"${program}" is not an absolute path: name the program as in /etc/ferry/hooks/check.`);
  if (url !== undefined && !isAddress(url))
    problems.push(`"${url}" is not an http or https URL without user and password.`);
  if (url !== undefined && secretFile === undefined)
    problems.push('A URL needs a "secretFile": requests to it are signed with the key in that file.');
  if (url === undefined && secretFile !== undefined) problems.push('Only requests to a URL are signed.');
  if (secretFile !== undefined && !isPath(secretFile)) problems.push(`"${secretFile}" is not an absolute path.`);
  if (timeoutMs !== undefined && !(timeoutMs >= 1 && timeoutMs <= longestMs))
    problems.push(`It may take from 1 to ${longestMs} ms, not ${timeoutMs}.`);
  return problems;
}

/** A migration holds its target while they are asked. */
function longStage(hooks: readonly Hook[], stage: HookStage): readonly string[] {
  const together = hooks
    .filter((hook) => hook.stage === stage)
    .reduce((sum, { timeoutMs = defaultHookTimeoutMs }) => sum + timeoutMs, 0);
  return together <= longestHookTimeoutMs
    ? []
    : [
        `The hooks of "${stage}" may take ${together / 1_000} s together, and ${longestHookTimeoutMs / 1_000} s at most ` +
          'are allowed: give them shorter times with "timeoutMs".',
      ];
}

export function hookProblems(hooks: readonly Hook[]): readonly string[] {
  const twice = hooks.find(({ name }, index) => hooks.findIndex((each) => each.name === name) !== index);
  return [
    ...(hooks.length > mostHooks ? [`There are ${hooks.length} hooks, and at most ${mostHooks} can be called.`] : []),
    ...(twice === undefined ? [] : [`Two hooks are named "${twice.name}".`]),
    ...hookStages.flatMap((stage) => longStage(hooks, stage)),
    ...hooks.flatMap((hook) => hookTargetProblems(hook).map((problem) => `Hook "${hook.name}": ${problem}`)),
  ];
}
