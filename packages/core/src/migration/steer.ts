/**
 * What the policy makes of a running transfer: takes a sample in, asks the convergence engine, and turns its decision into effects. What was
 * decided is on the migration before it is carried out, so a restart does not decide it again.
 */
import { follow, withNewRate } from '../convergence/course.ts';
import { decide, type Action, type Decision } from '../convergence/decide.ts';
import type { Outlook } from '../convergence/outlook.ts';
import type { JobSample } from '../convergence/sample.ts';
import type { Figures } from '../convergence/words.ts';
import type { TimeMs } from '../ids.ts';
import type { Migration, MigrationRequest } from '../model.ts';
import type { PolicyContent } from '../policy/policy.ts';
import { resolvePolicy } from '../policy/resolve.ts';
import { progressOf } from './progress.ts';
import type { MigrationEffect, Step } from './step.ts';

const decisionsKept = 64;
/** QEMU's own, where no policy says otherwise. */
const usualPauseMs = 300;

/** The pause budget in force, ms. */
export function budgetOf({ policy, decisions = [] }: Pick<Migration, 'policy' | 'decisions'>): number {
  const last = decisions.findLast(({ action }) => action.do === 'set-downtime')?.action;
  return last?.do === 'set-downtime' ? last.toMs : (policy?.downtime.initialMs ?? usualPauseMs);
}

export function sampled(before: Migration, sample: JobSample, now: TimeMs): Step {
  const course = follow(before.course, sample, now);
  const migration: Migration = { ...before, course, progress: progressOf(withMemory(before, sample), before.progress, course, budgetOf(before), now) };
  if (migration.phase !== 'transferring' || migration.policy === undefined || migration.evidence.gaveUp !== undefined || migration.abortRequestedAt !== undefined) return { migration, effects: [] };
  const decision = decide(fitting(migration.policy, migration), course, { downtimeMs: budgetOf(migration), sizeBytes: sizeOf(migration, sample), mayPostCopy: migration.plan?.transfer?.postCopy === true, paused: migration.evidence.pausedAt !== undefined, decisions: migration.decisions ?? [], ...(migration.deadlineAt === undefined ? {} : { deadlineAt: migration.deadlineAt }) }, now);
  return decision === undefined ? { migration, effects: [] } : taken(migration, decision, now);
}

/** While disks are copied libvirt does not speak of the memory that comes after them. */
function withMemory({ plan, memoryBytes = 0 }: Migration, sample: JobSample): JobSample {
  const toCome = plan?.how === 'guest' && (sample.disk?.totalBytes ?? 0) > 0 && (sample.memory?.totalBytes ?? 0) === 0 ? memoryBytes : 0;
  return toCome === 0 ? sample : { ...sample, totalBytes: sample.totalBytes + toCome, remainingBytes: sample.remainingBytes + toCome };
}

/** Where no guest runs there is none to pause or to shut down. Steps keep their places. */
const fitting = (policy: PolicyContent, { plan }: Migration): PolicyContent =>
  plan?.how === 'guest' && plan.live ? policy : { ...policy, steps: policy.steps.map((step) => (step.do === 'abort' ? step : { when: 'no-progress', ms: Infinity, do: 'abort' })) };

/** Memory and what the copied disks hold, bytes; 0 before libvirt tells. */
const sizeOf = ({ plan, memoryBytes }: Migration, sample: JobSample): number => (memoryBytes ?? sample.memory?.totalBytes ?? sample.totalBytes) + (plan?.disks ?? []).reduce((sum, { how, allocationBytes }) => sum + (how === 'copy' ? (allocationBytes ?? 0) : 0), 0);

const withDecision = (migration: Migration, decision: Decision): Migration => ({ ...migration, decisions: [...(migration.decisions ?? []), decision].slice(-decisionsKept) });

/** What a decision changes on the migration, and what has to be done for it. */
export function taken(before: Migration, decision: Decision, now: TimeMs): Step {
  const migration = withDecision(before, decision);
  const { action, text } = decision;
  const withEvidence = (evidence: Partial<Migration['evidence']>, ...effects: MigrationEffect[]): Step => ({ migration: { ...migration, evidence: { ...migration.evidence, ...evidence } }, effects });
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
      return withEvidence({ gaveUp: { text } }, { type: 'abort-job' });
    case 'power-off':
      // a transient domain is nothing any more once it is shut off
      return before.plan?.persistence === 'transient' ? withEvidence({ gaveUp: { text } }, { type: 'abort-job' }) : withEvidence({ gaveUp: { text, powerOff: true } }, { type: 'abort-job' });
    case 'note':
      return { migration, effects: [] };
  }
}

const noFigures = (migration: Migration): Figures => ({ part: 'memory', iteration: migration.progress?.iteration ?? 0, restBytes: migration.progress?.remainingBytes ?? 0, dirtyBytesPerSecond: 0, linkBytesPerSecond: 0, presentBytesPerSecond: 0, downtimeMs: budgetOf(migration), throttlePercent: 0, unchangedMs: 0, elapsedMs: 0 });

/** Something that no figures led to: an operator's word, or a measure that a host refused. */
export const told = (migration: Migration, action: Action, text: string, now: TimeMs): Migration => withDecision(migration, { at: now, action, figures: noFigures(migration), text });

/** What was told before the transfer began, with the figures that led to it. */
export function foretold(migration: Migration, { text, dirtyBytesPerSecond = 0, bandwidthBytesPerSecond = 0, pauseMs }: Outlook, now: TimeMs): Migration {
  const figures = { ...noFigures(migration), dirtyBytesPerSecond, linkBytesPerSecond: bandwidthBytesPerSecond, ...(pauseMs === undefined ? {} : { neededPauseMs: pauseMs }) };
  return withDecision(migration, { at: now, action: { do: 'note', what: 'outlook' }, figures, text });
}

/** Limits from an operator: from now on the policy goes by them. */
export function withLimits(before: Migration, limits: Pick<MigrationRequest, 'maxBandwidthMiBPerSecond' | 'maxDowntimeMs' | 'deadlineMs' | 'quicklyFinish'>, now: TimeMs): Migration {
  const { maxDowntimeMs, maxBandwidthMiBPerSecond, deadlineMs, quicklyFinish } = limits;
  let migration: Migration = { ...before, request: { ...before.request, ...limits } };
  if (deadlineMs !== undefined) {
    migration = told({ ...migration, deadlineAt: now + deadlineMs }, { do: 'note', what: 'operator' }, `the operator set the deadline: ${Math.round(deadlineMs / 1_000)} s from now`, now);
    const { policy } = migration;
    if (policy !== undefined && !policy.steps.some(({ when }) => when === 'deadline')) migration = { ...migration, policy: { ...policy, steps: [...policy.steps, { when: 'deadline', do: 'abort' }] } };
  }
  if (quicklyFinish === true && migration.policy !== undefined && before.request.quicklyFinish !== true) {
    const policy = resolvePolicy(migration.policy, migration.policy.from, { quicklyFinish });
    migration = told({ ...migration, policy }, { do: 'note', what: 'operator' }, `the operator wants it to finish quickly: with a pause of up to ${policy.downtime.limitMs} ms`, now);
  }
  if (maxBandwidthMiBPerSecond !== undefined) migration = told({ ...migration, ...(migration.course === undefined ? {} : { course: withNewRate(migration.course, now) }) }, { do: 'note', what: 'operator' }, `the operator set the bandwidth: ${maxBandwidthMiBPerSecond} MiB/s`, now);
  if (maxDowntimeMs === undefined) return migration;
  const changed = told(migration, { do: 'set-downtime', toMs: maxDowntimeMs }, `the operator set the pause budget: ${maxDowntimeMs} ms`, now);
  return changed.policy === undefined ? changed : { ...changed, policy: { ...changed.policy, downtime: { initialMs: maxDowntimeMs, limitMs: maxDowntimeMs } } };
}
