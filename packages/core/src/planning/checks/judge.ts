/** What all the checks say of one host, and what that does to the move: by the table, and by the policy. Pure. */
import type { HostView } from '../../model/host.ts';
import type { HostAnswer, MigrationPlan } from '../../model/plan.ts';
import { type Finding, type Reason, type ReasonCode, reasonTable, type CheckVerdict } from '../../model/reasons.ts';
import type { MigrationRequest } from '../../model/request.ts';
import { type CheckInput, memoryNeeded } from '../check-input.ts';
import { planOn } from '../host-plan.ts';
import { answerOf } from './answer.ts';
import type { Check } from './check.ts';
import { memoryWaits } from './memory.ts';
import { hostChecks, moveChecks } from './table.ts';

export interface Judged {
  readonly view: HostView;
  readonly plan: MigrationPlan;
  readonly ports: number;
  readonly reasons: readonly Reason[];
  readonly waits: readonly Reason[];
  readonly answer: HostAnswer;
}

const cpuCodes: readonly ReasonCode[] = [
  'target-cpu-lacks',
  'target-cpu-differs',
  'target-cpu-unknown',
  'target-cpu-model',
  'target-cpu-next-start',
  'target-microcode',
];
const kernelCodes: readonly ReasonCode[] = ['target-kernel-differs', 'target-kernel-unknown'];

/** The operator lifts what the policy refuses; it is still shown. */
const isSkipped = (code: ReasonCode, { skipCpuCheck, skipKernelCheck }: MigrationRequest): boolean =>
  (skipCpuCheck === true && cpuCodes.includes(code)) || (skipKernelCheck === true && kernelCodes.includes(code));

/** With what they do; those that the policy ignores are gone. What the table refuses is refused under every policy. */
export const findingsOf = (
  reasons: readonly Reason[],
  { policy, request }: Pick<CheckInput, 'policy' | 'request'>,
): readonly Finding[] =>
  reasons.flatMap(({ code, host, message, remedy }): readonly Finding[] => {
    const usual: CheckVerdict = reasonTable[code].verdict;
    const wish = usual === 'warn' || usual === 'unknown' ? policy?.checks?.[code] : undefined;
    if (wish === 'ignore') return [];
    return [
      {
        code,
        ...(host === undefined ? {} : { host }),
        message,
        remedy,
        verdict: wish === 'refuse' && !isSkipped(code, request) ? 'refuse' : usual,
      },
    ];
  });

export const plainOf = (findings: readonly Finding[], verdict: CheckVerdict): readonly Reason[] =>
  findings.flatMap(({ verdict: each, ...reason }) => (each === verdict ? [reason] : []));

/** Those by which the move is refused. */
export const refusalsIn = (reasons: readonly Reason[], input: CheckInput): readonly Reason[] =>
  plainOf(findingsOf(reasons, input), 'refuse');

/** `promised`: memory that other migrations will take there. `lookedAt`: unless the host itself is refused. */
export function judgeHost(
  input: CheckInput,
  target: HostView,
  { lookedAt, promised }: { readonly lookedAt: boolean; readonly promised: number },
): Judged {
  const planned = planOn(input, target);
  const asked: { readonly name: string; readonly findings: readonly Finding[] }[] = [];
  const ask = <Q>(checks: readonly Check<Q>[], question: Q): void =>
    void asked.push(...checks.map(({ name, find }) => ({ name, findings: findingsOf(find(question), input) })));
  ask(hostChecks, { input, target });
  const looked = lookedAt && asked.every(({ findings }) => plainOf(findings, 'refuse').length === 0);
  const canAsk = ({ needs }: (typeof moveChecks)[number]): boolean =>
    needs === undefined || (input.recordedOnly !== true && (needs === 'definition' || looked));
  ask(moveChecks.filter(canAsk), { input, target, planned });
  const findings = asked.flatMap((each) => each.findings);
  const reasons = plainOf(findings, 'refuse');
  const waits = [
    ...memoryWaits(input.vm, target, memoryNeeded(input), promised),
    ...planned.waits,
    ...(input.slotWaits?.(target, planned.plan.transfer !== undefined) ?? []),
  ];
  return {
    view: target,
    plan: planned.plan,
    ports: planned.ports,
    reasons,
    waits,
    answer: answerOf(target.host, findings, waits, {
      passed: asked.filter((each) => each.findings.length === 0).map(({ name }) => name),
      notAsked: moveChecks.filter((check) => !canAsk(check)).map(({ name }) => name),
    }),
  };
}
