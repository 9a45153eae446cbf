/**
 * Predicts from its steps alone what a policy will do about a guest whose pre-copy does not converge. decide.ts, which
 * knows more, decides during the transfer.
 */
import { budgetFor } from '../convergence/decide.ts';
import { lasting } from '../convergence/units.ts';
import type { PolicyContent, PolicyStep } from '../model/policy.ts';
import type { Remedy } from '../model/prediction.ts';
import { allows } from '../policy/policy.ts';

const gib = 1_073_741_824;

/**
 * Measures in their order, up to the first that surely ends it. `neededMs`: the pause that it would take, as far as
 * that is known.
 */
export function remediesOf(
  policy: PolicyContent,
  neededMs: number,
  sizeBytes: number,
  mayPostCopy: boolean,
): readonly Remedy[] {
  const remedies: Remedy[] = policy.throttle === undefined ? [] : [{ do: 'throttle' }];
  for (const step of policy.steps) {
    if (!canCome(step, policy)) continue;
    const when = dueText(step, sizeBytes);
    if (step.do === 'pause' || step.do === 'power-off' || (step.do === 'post-copy' && mayPostCopy))
      return [...remedies, { do: step.do, when }];
    const toMs = budgetOf(step, policy, neededMs);
    if (toMs !== undefined && !remedies.some((remedy) => remedy.do === 'set-downtime'))
      remedies.push({ do: 'set-downtime', toMs, when });
  }
  return remedies;
}

/** When it would be aborted, in words, one sentence part for each step that does; empty: never. */
export const abortsOf = (policy: PolicyContent, sizeBytes: number): readonly string[] => [
  ...new Set(
    policy.steps.filter((step) => step.do === 'abort' && canCome(step, policy)).map((step) => dueText(step, sizeBytes)),
  ),
];

/** From the start of the transfer, ms; Infinity: time alone does not end it. */
export const givenUpAfterMs = (policy: PolicyContent, sizeBytes: number): number =>
  Math.min(
    ...policy.steps.map((step) =>
      step.do !== 'abort'
        ? Infinity
        : step.when === 'elapsed'
          ? elapsedMs(step, sizeBytes)
          : step.when === 'deadline'
            ? (policy.deadlineMs ?? Infinity)
            : Infinity,
    ),
  );

export const elapsedMs = (
  { ms = 0, msPerGib = 0 }: { readonly ms?: number; readonly msPerGib?: number },
  sizeBytes: number,
): number => Math.max(ms, (msPerGib * sizeBytes) / gib);

/** Some step ends it, whatever the guest does: there is nothing to warn of. */
export const endsAnyGuest = (policy: PolicyContent): boolean =>
  (['pause', 'power-off', 'post-copy'] as const).some((measure) => allows(policy, measure));

const canCome = (step: PolicyStep, { deadlineMs }: PolicyContent): boolean =>
  step.when !== 'deadline' || deadlineMs !== undefined;

/** The pause budget after this step, if that is enough. */
function budgetOf(
  step: PolicyStep,
  { downtime: { initialMs, limitMs } }: PolicyContent,
  neededMs: number,
): number | undefined {
  const enough = (toMs: number): number | undefined => (neededMs <= toMs && toMs <= limitMs ? toMs : undefined);
  switch (step.do) {
    case 'fit-downtime':
      return neededMs > limitMs ? undefined : Math.min(limitMs, budgetFor(neededMs));
    case 'raise-downtime':
      return enough(step.toMs);
    case 'double-downtime':
      return neededMs > limitMs
        ? undefined
        : Math.min(limitMs, initialMs * 2 ** Math.ceil(Math.log2(Math.max(2, neededMs / initialMs))));
    case 'post-copy':
    case 'pause':
    case 'power-off':
    case 'abort':
      return undefined;
  }
}

function dueText(step: PolicyStep, sizeBytes: number): string {
  switch (step.when) {
    case 'forecast':
      return 'after the first pass';
    case 'passes':
      return `after ${step.count} passes`;
    case 'stalled':
      return `after ${step.passes} passes without gain`;
    case 'elapsed':
      return `after ${lasting(elapsedMs(step, sizeBytes))}`;
    case 'no-progress':
      return `after ${lasting(step.ms)} without progress`;
    case 'throttled':
      return `once it is slowed down by ${step.percent} %`;
    case 'deadline':
      return 'at the deadline';
  }
}
