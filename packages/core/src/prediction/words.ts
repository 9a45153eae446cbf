/** A prediction in words: what the guest does, what comes of it, what the policy makes of that. */
import { lasting, mib, pause } from '../convergence/units.ts';
import type { Policy } from '../model/policy.ts';
import type { Prediction, Remedy } from '../model/prediction.ts';
import { abortsOf } from './remedies.ts';

/** `why`: why nothing can be predicted. */
export function predictionText(
  prediction: Omit<Prediction, 'text'>,
  policy: Policy,
  sizeBytes: number,
  why?: string,
): string {
  const {
    kind,
    dirtyBytesPerSecond = 0,
    bandwidthBytesPerSecond = 0,
    budgetMs,
    inMs = 0,
    latestMs = 0,
    pauseMs = 0,
    remedies,
  } = prediction;
  const writes = `the guest writes ${mib(dirtyBytesPerSecond)} MiB/s`;
  const has = `${writes}, the migration has ${mib(bandwidthBytesPerSecond)}`;
  const ends = `pre-copy would end after about ${lasting(inMs)}, ${lasting(latestMs)} at most, sooner where memory is empty`;
  const next = policyText(remedies, policy, sizeBytes);
  switch (kind) {
    case 'unknown':
      return (
        (prediction.dirtyBytesPerSecond === undefined ? '' : `${writes}; `) +
        `Ferry cannot tell whether pre-copy will end: ${why ?? ''}`
      );
    case 'converges':
      return `${has}: ${ends}`;
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
