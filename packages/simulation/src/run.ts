/**
 * One simulated migration from its begin to its end under a policy, steered by core's convergence engine in the way a
 * migration's step does: a sample is followed, a decision is taken, the decision is carried out at once. Pure; for
 * property tests and for the grid of policies.
 */
import {
  decide,
  follow,
  progressOf,
  type TransferHistory,
  type Decision,
  type JobSample,
  type MigrationProgress,
  type PolicyContent,
} from '@ferry/core';
import { capacityAt, nextChange, type Link } from './link.ts';
import {
  abort,
  advance,
  beginTransfer,
  isOver,
  pauseGuest,
  releaseThrottle,
  sampleOf,
  startPostCopy,
  tune,
  type GuestModel,
  type Transfer,
} from './transfer.ts';

export interface RunInput {
  readonly guest: GuestModel;
  readonly link: Link;
  readonly policy: PolicyContent;
  /** Both hosts could resume an interrupted post-copy. */
  readonly recoverable: boolean;
  /** For `linkShare` of the policy; absent where the hosts do not tell. */
  readonly toldBytesPerSecond?: number;
  /** Post-copy has no limit, as with virsh by default. */
  readonly unlimitedPostCopy?: true;
  /** Time limit of a run, ms of virtual time. */
  readonly watchMs: number;
}

export interface Look {
  readonly atMs: number;
  readonly sample: JobSample;
  readonly progress: MigrationProgress;
  /** At this moment, bytes per second: what the link really carries. */
  readonly linkBytesPerSecond: number;
}

export interface Run {
  /** `unfinished`: still going on when the watching ended. */
  readonly end: 'pre-copy' | 'post-copy' | 'paused' | 'powered-off' | 'given-up' | 'unfinished';
  readonly totalMs: number;
  /** Pause of the guest for the move. */
  readonly downtimeMs: number;
  readonly highestThrottle: number;
  /** Pages that the guest waited for in post-copy. */
  readonly faults: number;
  readonly sentBytes: number;
  readonly decisions: readonly Decision[];
  readonly looks: readonly Look[];
}

/** As often as the engine looks: in the first ten seconds, and after them, ms. */
const lookEveryMs = { first: 500, later: 1_000 } as const;
const firstMs = 10_000;
const mib = 1_048_576;
/** Shutting a guest down and starting it elsewhere, ms. */
const restartMs = 30_000;

export function run({
  guest,
  link,
  policy,
  recoverable,
  toldBytesPerSecond,
  unlimitedPostCopy,
  watchMs,
}: RunInput): Run {
  const mayPostCopy = policy.postCopy === 'allowed' || (policy.postCopy === 'if-recoverable' && recoverable);
  const cap =
    policy.bandwidthMiBPerSecond !== undefined
      ? policy.bandwidthMiBPerSecond * mib
      : policy.linkShare === undefined || toldBytesPerSecond === undefined
        ? undefined
        : policy.linkShare * toldBytesPerSecond;
  let transfer = beginTransfer(guest, {
    downtimeMs: policy.downtime.initialMs,
    ...(cap === undefined
      ? {}
      : { bandwidthBytesPerSecond: cap, ...(unlimitedPostCopy === true ? {} : { postCopyBytesPerSecond: cap }) }),
    ...(policy.throttle === undefined ? {} : { throttle: policy.throttle }),
  });
  const sizeBytes = guest.memory.totalBytes + (guest.disks ?? []).reduce((sum, { bytes }) => sum + bytes, 0);
  const decisions: Decision[] = [];
  const looks: Look[] = [];
  let history: TransferHistory | undefined;
  let progress: MigrationProgress | undefined;
  let downtimeMs = policy.downtime.initialMs;
  let highestThrottle = 0;
  let poweredOff = false;
  for (
    let lookMs = 0;
    !isOver(transfer) && transfer.elapsedMs < watchMs;
    lookMs += lookMs < firstMs ? lookEveryMs.first : lookEveryMs.later
  ) {
    transfer = upTo(transfer, lookMs, link);
    highestThrottle = Math.max(highestThrottle, transfer.throttlePercent);
    if (isOver(transfer)) break;
    const sample = sampleOf(transfer);
    history = follow(history, sample, lookMs);
    progress = progressOf(sample, progress, { history, budgetMs: downtimeMs, now: lookMs });
    looks.push({ atMs: lookMs, sample, progress, linkBytesPerSecond: capacityAt(link, lookMs) });
    // an event reports the switch; from then on nothing is steered
    if (transfer.phase !== 'disks' && transfer.phase !== 'pre-copy') continue;
    const decision = decide(
      policy,
      history,
      {
        downtimeMs,
        sizeBytes,
        mayPostCopy,
        paused: transfer.pausedMs !== undefined,
        decisions,
        ...(policy.deadlineMs === undefined ? {} : { deadlineAt: policy.deadlineMs }),
      },
      lookMs,
    );
    if (decision === undefined) continue;
    decisions.push(decision);
    if (decision.action.do === 'set-downtime') downtimeMs = decision.action.toMs;
    poweredOff ||= decision.action.do === 'power-off';
    transfer = takeMeasure(transfer, decision, link);
  }
  const { elapsedMs, phase, pausedMs, faults, sentBytes } = transfer;
  const postCopied = decisions.some(({ action }) => action.do === 'post-copy');
  const end =
    phase === 'aborted'
      ? poweredOff
        ? 'powered-off'
        : 'given-up'
      : phase !== 'done'
        ? 'unfinished'
        : postCopied
          ? 'post-copy'
          : pausedMs === undefined
            ? 'pre-copy'
            : 'paused';
  const extraMs = poweredOff ? restartMs : 0;
  return {
    end,
    totalMs: elapsedMs + extraMs,
    downtimeMs: poweredOff ? restartMs : phase === 'done' ? transfer.downtimeMs : 0,
    highestThrottle,
    faults,
    sentBytes,
    decisions,
    looks,
  };
}

/** `untilMs`: virtual time since the start of the transfer. */
function upTo(before: Transfer, untilMs: number, link: Link): Transfer {
  let transfer = before;
  while (!isOver(transfer) && transfer.elapsedMs < untilMs - 1e-6) {
    const at = transfer.elapsedMs;
    transfer = advance(
      transfer,
      Math.max(1e-3, Math.min(untilMs, nextChange(link, at)) - at),
      capacityAt(link, at),
      link.latencyMs,
    );
  }
  return transfer;
}

function takeMeasure(transfer: Transfer, { action }: Decision, link: Link): Transfer {
  switch (action.do) {
    case 'set-downtime':
      return tune(transfer, { downtimeMs: action.toMs });
    case 'post-copy':
      return startPostCopy(transfer, link.latencyMs);
    case 'pause':
      return pauseGuest(transfer);
    case 'release-throttle':
      return releaseThrottle(transfer);
    case 'power-off':
    case 'abort':
      return abort(transfer);
    case 'note':
      return transfer;
  }
}
