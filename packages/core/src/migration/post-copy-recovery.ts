/**
 * A post-copy whose stream broke: the guest runs on the target and stops at pages that only the source has. Both halves
 * are needed, neither is ever ended here; QEMU's own recovery is tried for as long as both are there.
 */
import type { HostRef } from '../model/host.ts';
import type { TimeMs } from '../model/ids.ts';
import type { CallFailure, Planned } from '../model/migration.ts';
import type { InstanceView } from '../model/vm.ts';
import { endsAtResume } from '../planning/transfer.ts';
import { noted } from './decision-log.ts';
import { enterPhase } from './phase.ts';
import type { MigrationEffect, Step } from './protocol.ts';

const firstRetryMs = 1_000;
const longestRetryMs = 30_000;
const lookEveryMs = 500;
/** A try to resume that takes longer is said to hang. */
const unansweredMs = 120_000;
/** A source that has nothing left to send, and says for longer that it still sends, waits for good. */
const stuckMs = 60_000;

/** Where the two halves are, for people. */
const halves = ({ from, to, vm }: Planned): string =>
  `${vm.name} runs on ${to.name} and stops at pages that only ${from.name} has, where its other half is kept paused`;

/** A host answers, and has nothing of the VM any more. */
export const isGone = (view: InstanceView): boolean =>
  view.kind === 'absent' || (view.kind === 'present' && ['shut-off', 'crashed'].includes(view.state));

/** `ready`: the call that performs the move is over, so that libvirt takes another. */
export function resumePostCopy(before: Planned, ready: boolean, now: TimeMs): Step {
  const recovery = before.evidence.postCopyRecovery ?? { since: now, tries: 0 };
  const due =
    recovery.triedAt === undefined ||
    now - recovery.triedAt >= Math.min(longestRetryMs, firstRetryMs * 2 ** recovery.tries);
  const look: MigrationEffect = { type: 'observe', afterMs: lookEveryMs };
  const withRecovery = (next: typeof recovery): Planned =>
    enterPhase(
      {
        ...before,
        attention:
          before.attention ??
          `Post-copy is interrupted: ${halves(before)}. Trying to resume; nothing is lost, and neither half may be ended.`,
        evidence: { ...before.evidence, postCopyRecovery: next },
      },
      'post-copy',
      now,
    );
  if (recovery.trying === true && now - (recovery.triedAt ?? now) > unansweredMs) {
    // QEMU on the target may wait for a page while it holds what it needs to answer; restarting its libvirtd makes
    // that worse
    const attention =
      `Post-copy is interrupted: ${halves(before)}. The attempt to resume has not been answered for ` +
      `${Math.round((now - (recovery.triedAt ?? now)) / 60_000)} min; break QEMU's stale connection on ` +
      `${before.to.name} (ss -K sport = :PORT), and restart no libvirtd.`;
    return { migration: { ...withRecovery(recovery), attention }, effects: [look] };
  }
  if (!ready || recovery.trying === true || !due) return { migration: withRecovery(recovery), effects: [look] };
  return {
    migration: withRecovery({ ...recovery, tries: recovery.tries + 1, triedAt: now, trying: true }),
    effects: [{ type: 'recover' }, look],
  };
}

/** Why a post-copy is not resumed into this daemon; undefined where it is tried. */
export const notResumed = ({ name }: Pick<HostRef, 'name'>, libvirtVersion: string): CallFailure | undefined =>
  endsAtResume(libvirtVersion)
    ? {
        outcome: 'refused',
        notAsked: true,
        message:
          `The libvirt daemon of ${name} (${libvirtVersion}) crashes whenever a post-copy is resumed into it, so Ferry ` +
          `does not try. Upgrade libvirt on ${name}, which ends no guest: Ferry resumes it then.`,
      }
    : undefined;

export function recoverEnded(before: Planned, failure: CallFailure | undefined, now: TimeMs): Planned {
  const { postCopyRecovery: recovery } = before.evidence;
  if (recovery === undefined) return before;
  const { trying: _, ...rest } = recovery;
  const migration = { ...before, evidence: { ...before.evidence, postCopyRecovery: rest } };
  if (failure === undefined) return noted(migration, { do: 'note', what: 'resumed' }, 'post-copy was resumed', now);
  return {
    ...migration,
    attention:
      failure.stillRunning === true
        ? stillSends(before, now)
        : `Post-copy is interrupted: ${halves(before)}. ` +
          `${failure.notAsked === true ? '' : 'The last attempt to resume failed: '}${failure.message}`,
  };
}

/**
 * QEMU 7.2 does not come back when the connection breaks between its last page and the target's answer: its migration
 * thread waits for the thread that hears the target, which waits for a recovery, which is refused while the first says
 * that it sends. Pages that were on their way stay lost to the target.
 */
function stillSends(migration: Planned, now: TimeMs): string {
  const { from, to, vm, progress, evidence } = migration;
  if (progress?.remainingBytes !== 0 || now - (evidence.postCopyRecovery?.since ?? now) < stuckMs)
    return `Post-copy is interrupted for libvirt, but QEMU still sends: ${halves(migration)}. Waiting for QEMU to end it.`;
  return (
    `Post-copy is interrupted, and QEMU on ${from.name} cannot resume it: it has sent its last page, and ` +
    `waits for an answer that was lost with the connection. ${halves(migration)}. Neither half was ended. ` +
    `If the guest does not go on, end it on ${to.name} (virsh destroy ${vm.name}); it can ` +
    `then be ended on ${from.name} too, and started from its disks.`
  );
}

/** All of it arrived, and the source's half is left. `failure`: of what follows a move. */
export const halfLeftText = ({ vm, from, to }: Planned, failure: string | undefined): string =>
  `${vm.name} has moved to ${to.name} with all of its memory, but ${from.name} was never told of it and keeps its half ` +
  `of ${vm.name} paused. Ferry does not end it.${failure === undefined ? '' : ` Besides, ${failure}`}`;

/** The sentence for an end in which a half is gone. */
export const lostText = (migration: Planned, source: InstanceView): string =>
  isGone(source)
    ? `${migration.vm.name} runs on ${migration.to.name} without the pages that ` +
      `${migration.from.name} had; it stops where it needs one of them.`
    : `${migration.vm.name} ran on ${migration.to.name}, which has it no more; ` +
      `${migration.from.name} keeps the half that was never sent, paused.`;
