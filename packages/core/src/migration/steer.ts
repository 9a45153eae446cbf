/**
 * What the policy makes of a running transfer: takes a sample in, asks the convergence engine, and turns its decision
 * into effects. What was decided is on the migration before it is carried out, so a restart does not decide it again.
 */
import { decide, type Situation } from '../convergence/decide.ts';
import { follow, withNewRate } from '../convergence/transfer-history.ts';
import type { Action, Decision } from '../model/decision.ts';
import type { TimeMs } from '../model/ids.ts';
import type { Migration, Planned } from '../model/migration.ts';
import type { Prediction } from '../model/prediction.ts';
import type { TransferHistory, JobSample } from '../model/transfer.ts';
import { resolvePolicy } from '../policy/resolve.ts';
import { endsAnyGuest } from '../prediction/remedies.ts';
import { bandwidthInForce, transferLimits } from './bandwidth.ts';
import { stopTransfer } from './dead-copy.ts';
import { budgetOf, noFigures, ofThisAttempt, noted, withDecision } from './decision-log.ts';
import { progressOf } from './progress.ts';
import type { MigrationEffect, MigrationEvent, OperatorLimits, Step } from './protocol.ts';

export function sampled(before: Planned, sample: JobSample, now: TimeMs): Step {
  const history = follow(before.transferHistory, sample, now);
  const seen = withMemoryLimit(
    {
      ...before,
      transferHistory: history,
      progress: progressOf(withMemory(before, sample), before.progress, {
        history,
        budgetMs: budgetOf(before),
        now,
        postCopy: before.phase === 'post-copy',
      }),
    },
    sample,
    now,
  );
  const again = withEarlyLimits(seen.migration);
  const { migration, effects } = steered(again.migration, history, sample, now);
  return { migration, effects: [...seen.effects, ...again.effects, ...effects] };
}

/** Memory travels. */
const hasBegun = ({ transferHistory }: Pick<Migration, 'transferHistory'>): boolean =>
  (transferHistory?.passes.at(-1)?.iteration ?? 0) > 0;

/**
 * libvirt applies the limits of the request just before it lets QEMU send: those that an operator set
 * between the two are set once more.
 */
function withEarlyLimits(migration: Planned): Step<Planned> {
  const { earlyLimits, ...evidence } = migration.evidence;
  if (earlyLimits === undefined || !hasBegun(migration)) return { migration, effects: [] };
  return {
    migration: { ...migration, evidence },
    effects: [{ type: 'tune', limits: transferLimits(migration, earlyLimits) }],
  };
}

/**
 * The memory's share of the link is set once the disks are being copied. A limit at the start applies to each disk too,
 * and QEMU counts the empty parts of a disk as sent. A later limit applies to memory only (libvirt 9.0,
 * qemuDomainMigrateSetMaxSpeed).
 */
function withMemoryLimit(migration: Planned, { totalBytes }: JobSample, now: TimeMs): Step<Planned> {
  const { each, memory } = bandwidthInForce(migration);
  if (
    memory === undefined ||
    each !== undefined ||
    totalBytes === 0 ||
    migration.evidence.memoryLimitedAt !== undefined
  )
    return { migration, effects: [] };
  return {
    migration: { ...migration, evidence: { ...migration.evidence, memoryLimitedAt: now } },
    effects: [{ type: 'tune', limits: { memoryBandwidthMiBPerSecond: memory } }],
  };
}

function steered(migration: Planned, history: TransferHistory, sample: JobSample, now: TimeMs): Step {
  if (
    migration.phase !== 'transferring' ||
    migration.policy === undefined ||
    migration.evidence.gaveUp !== undefined ||
    migration.abortRequestedAt !== undefined
  )
    return { migration, effects: [] };
  const { plan, evidence, deadlineAt } = migration;
  const situation: Situation = {
    downtimeMs: budgetOf(migration),
    sizeBytes: sizeOf(migration, sample),
    mayPostCopy: plan.transfer?.postCopy === true,
    paused: evidence.pausedAt !== undefined,
    decisions: ofThisAttempt(migration),
    ...(plan.how === 'guest' && plan.live ? {} : { noGuestRuns: true as const }),
    ...(deadlineAt === undefined ? {} : { deadlineAt }),
  };
  const decision = decide(migration.policy, history, situation, now);
  return decision === undefined ? { migration, effects: [] } : taken(migration, decision, now);
}

/** While disks are copied libvirt does not speak of the memory that comes after them. */
function withMemory({ plan, memoryBytes = 0 }: Planned, sample: JobSample): JobSample {
  const toCome =
    plan.how === 'guest' && (sample.disk?.totalBytes ?? 0) > 0 && (sample.memory?.totalBytes ?? 0) === 0
      ? memoryBytes
      : 0;
  return toCome === 0
    ? sample
    : { ...sample, totalBytes: sample.totalBytes + toCome, remainingBytes: sample.remainingBytes + toCome };
}

/** Memory and the data of the copied disks, bytes; 0 until libvirt reports it. */
const sizeOf = ({ plan, memoryBytes }: Planned, sample: JobSample): number =>
  (memoryBytes ?? sample.memory?.totalBytes ?? sample.totalBytes) +
  plan.disks.reduce((sum, { how, allocationBytes }) => sum + (how === 'copy' ? (allocationBytes ?? 0) : 0), 0);

/** What a decision changes on the migration, and what has to be done for it. */
export function taken(before: Planned, decision: Decision, now: TimeMs): Step {
  const migration = withDecision(before, decision);
  const { action, text } = decision;
  const withEvidence = (evidence: Partial<Migration['evidence']>, ...effects: MigrationEffect[]): Step => ({
    migration: { ...migration, evidence: { ...migration.evidence, ...evidence } },
    effects,
  });
  switch (action.do) {
    case 'set-downtime':
      return { migration, effects: [{ type: 'tune', limits: { maxDowntimeMs: action.toMs } }] };
    case 'post-copy':
      return { migration, effects: [{ type: 'post-copy' }] };
    case 'release-throttle':
      return { migration, effects: [{ type: 'release-throttle' }] };
    case 'pause':
      return withEvidence({ pausedAt: now }, { type: 'pause-guest' });
    case 'abort':
      return withEvidence({ gaveUp: { text, at: now } }, stopTransfer(before));
    case 'power-off':
      // a transient domain is nothing any more once it is shut off
      return before.plan.persistence === 'transient'
        ? withEvidence({ gaveUp: { text, at: now } }, stopTransfer(before))
        : withEvidence({ gaveUp: { text, at: now, powerOff: true } }, stopTransfer(before));
    case 'note':
      return { migration, effects: [] };
  }
}

/** What was predicted before the transfer; a decision, with the figures behind it, where no step ends any guest. */
export function predicted(before: Migration, prediction: Prediction, now: TimeMs): Migration {
  const migration = { ...before, prediction };
  if (before.policy === undefined || endsAnyGuest(before.policy)) return migration;
  const { text, dirtyBytesPerSecond = 0, bandwidthBytesPerSecond = 0, pauseMs } = prediction;
  const figures = {
    ...noFigures(migration),
    dirtyBytesPerSecond,
    linkBytesPerSecond: bandwidthBytesPerSecond,
    ...(pauseMs === undefined ? {} : { neededPauseMs: pauseMs }),
  };
  return withDecision(migration, { at: now, action: { do: 'note', what: 'prediction' }, figures, text });
}

/** Limits from an operator: from now on the policy goes by them, as if they had been asked for at the begin. */
export function withLimits(asked: Migration, limits: OperatorLimits, now: TimeMs): Migration {
  const before = notTuning(asked);
  const { maxDowntimeMs, maxBandwidthMiBPerSecond, deadlineMs } = limits;
  const quicklyFinish = limits.quicklyFinish === true && before.request.quicklyFinish !== true;
  // a pause that was named is the longest, also of one that finishes quickly
  const named = maxDowntimeMs ?? (quicklyFinish ? before.request.maxDowntimeMs : undefined);
  const { policy: old } = before;
  const policy =
    old === undefined
      ? undefined
      : resolvePolicy(old, old.from, {
          ...limits,
          quicklyFinish,
          ...(named === undefined ? {} : { maxDowntimeMs: named }),
        });
  let migration: Migration = {
    ...early(before, limits),
    request: { ...before.request, ...limits },
    ...(policy === undefined ? {} : { policy }),
  };
  const say = (text: string, action: Action = { do: 'note', what: 'operator' }): void => {
    migration = noted(migration, action, `the operator ${text}`, now);
  };
  if (deadlineMs !== undefined) {
    migration = { ...migration, deadlineAt: now + deadlineMs };
    say(`set the deadline: ${Math.round(deadlineMs / 1_000)} s from now`);
  }
  if (quicklyFinish && policy !== undefined)
    say(`asked it to finish quickly, with a pause of up to ${policy.downtime.limitMs} ms`);
  if (maxBandwidthMiBPerSecond !== undefined) {
    if (migration.transferHistory !== undefined)
      migration = { ...migration, transferHistory: withNewRate(migration.transferHistory, now) };
    say(`set the bandwidth: ${maxBandwidthMiBPerSecond} MiB/s`);
  }
  if (maxDowntimeMs !== undefined)
    say(`set the pause budget: ${maxDowntimeMs} ms`, { do: 'set-downtime', toMs: maxDowntimeMs });
  return migration;
}

function early(migration: Migration, { maxBandwidthMiBPerSecond, maxDowntimeMs }: OperatorLimits): Migration {
  if (migration.phase !== 'transferring' || hasBegun(migration)) return migration;
  const earlyLimits = {
    ...migration.evidence.earlyLimits,
    ...(maxBandwidthMiBPerSecond === undefined ? {} : { maxBandwidthMiBPerSecond }),
    ...(maxDowntimeMs === undefined ? {} : { maxDowntimeMs }),
  };
  return Object.keys(earlyLimits).length === 0
    ? migration
    : { ...migration, evidence: { ...migration.evidence, earlyLimits } };
}

type Refusal = Extract<MigrationEvent, { readonly type: 'measure-refused' }>;

const measureNames: Readonly<Record<Refusal['measure'], string>> = {
  'post-copy': 'post-copy',
  'pause-guest': 'the pause',
  tune: 'a new limit',
  'release-throttle': 'undoing throttling',
};

/** A measure that a host did not take: said, and the policy's next one is free. */
export function measureRefused(before: Migration, { measure, message }: Refusal, now: TimeMs): Migration {
  const { pausedAt: _, ...unpaused } = before.evidence;
  const migration =
    measure === 'pause-guest' ? { ...before, evidence: unpaused } : measure === 'tune' ? notTuning(before) : before;
  return noted(migration, { do: 'note', what: 'refused' }, `${measureNames[measure]} was refused: ${message}`, now);
}

function notTuning(migration: Migration): Migration {
  const { tuning, ...evidence } = migration.evidence;
  return tuning === undefined ? migration : { ...migration, evidence };
}
