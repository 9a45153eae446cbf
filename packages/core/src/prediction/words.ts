/** A prediction in words: what the guest does, what comes of it, what the policy makes of that. */
import { lasting, mib, pause } from '../convergence/units.ts';
import type { TimeMs } from '../model/ids.ts';
import type { Policy } from '../model/policy.ts';
import type { Interval, Prediction, Remedy } from '../model/prediction.ts';
import { abortsOf } from './remedies.ts';

export interface Surroundings {
  readonly sizeBytes: number;
  readonly now: TimeMs;
  /** Why nothing can be predicted. */
  readonly why: string | undefined;
}

/** A measurement that is older than this is told with its age, ms. */
const oldMs = 10_000;

export function predictionText(
  prediction: Omit<Prediction, 'text'>,
  policy: Policy,
  { sizeBytes, now, why = '' }: Surroundings,
): string {
  const {
    kind,
    dirtyBytesPerSecond = 0,
    bandwidthBytesPerSecond = 0,
    budgetMs,
    measuredAt = now,
    totalMs,
    pauseMs = 0,
    remedies,
  } = prediction;
  const age = now - measuredAt < oldMs ? '' : ` (measured ${lasting(now - measuredAt)} ago)`;
  const writes = `the guest writes ${mib(dirtyBytesPerSecond)} MiB/s${age}`;
  const has = `${writes}, the migration has ${mib(bandwidthBytesPerSecond)}`;
  const next = policyText(remedies, policy, sizeBytes);
  const ends = `pre-copy would end after ${totalMs === undefined ? '' : aboutText(totalMs)}`;
  switch (kind) {
    case 'unknown':
      return (
        (prediction.dirtyBytesPerSecond === undefined ? '' : `${writes}; `) +
        `Ferry cannot tell whether pre-copy will end: ${why}`
      );
    case 'converges':
      return remedies.length === 0
        ? `${has}: ${ends}`
        : `${has}: pre-copy alone would take longer than the policy waits; ${next}`;
    case 'at-risk':
      return prediction.pauseMs === undefined
        ? `${has}: ${ends}, too late; ${next}`
        : `${has}: pre-copy may not end by itself, it could take a pause of up to ${pause(pauseMs)} and ` +
            `may take ${pause(budgetMs)}; if so, ${next}`;
    case 'does-not-converge':
      return (
        `${writes}, ${(dirtyBytesPerSecond / bandwidthBytesPerSecond).toFixed(1)} times the ` +
        `${mib(bandwidthBytesPerSecond)} of this migration: pre-copy will not end by itself, it would take ` +
        `a pause of ${pause(pauseMs)} or more and may take ${pause(budgetMs)}; ${next}`
      );
  }
}

/** "about 4.8 s (1.2 s to 16 s)" */
const aboutText = ({ low, expected, high }: Interval): string =>
  `about ${timeText(expected)} (${high === undefined ? `at least ${timeText(low)}` : `${timeText(low)} to ${timeText(high)}`})`;

const timeText = (ms: number): string => (ms < 10_000 ? `${(ms / 1_000).toFixed(1)} s` : lasting(ms));

function policyText(remedies: readonly Remedy[], policy: Policy, sizeBytes: number): string {
  const aborts = abortsOf(policy, sizeBytes);
  const up = aborts.length === 0 ? 'it would never be aborted' : `it would be aborted ${aborts.join(', or ')}`;
  if (remedies.length === 0) return `the policy "${policy.name}" has no step that would help: ${up}`;
  const last = remedies.at(-1)?.do;
  const sure = last === 'post-copy' || last === 'pause' || last === 'power-off';
  return `the policy "${policy.name}" ${remedies.map(remedyText).join(', then ')}${sure ? '' : `; if that is not enough, ${up}`}`;
}

function remedyText({ do: what, toMs = 0, when = '' }: Remedy): string {
  switch (what) {
    case 'throttle':
      return 'slows the guest down';
    case 'set-downtime':
      return `raises the pause budget to ${pause(toMs)} ${when} if that is enough`;
    case 'post-copy':
      return `switches to post-copy ${when}`;
    case 'pause':
      return `pauses the guest ${when} until it has arrived`;
    case 'power-off':
      return `shuts the guest down ${when} and moves it cold`;
  }
}
