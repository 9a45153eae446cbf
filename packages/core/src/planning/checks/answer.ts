/** What was found of one host, as it is shown. Pure. */
import type { HostRef } from '../../model/host.ts';
import type { HostAnswer } from '../../model/plan.ts';
import type { Finding, Reason } from '../../model/reasons.ts';

export const answerOf = (
  { id, name }: HostRef,
  findings: readonly Finding[],
  waits: readonly Reason[],
  { passed, notAsked }: Pick<HostAnswer, 'passed' | 'notAsked'> = { passed: [], notAsked: [] },
): HostAnswer => ({
  host: { id, name },
  verdict: findings.some(({ verdict }) => verdict === 'refuse') ? 'refused' : waits.length > 0 ? 'waits' : 'fits',
  findings: [...findings, ...waits.map((wait): Finding => ({ ...wait, verdict: 'wait' }))],
  passed,
  notAsked,
});
