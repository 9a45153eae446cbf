/**
 * A post-copy whose stream broke: the guest runs on the target and stops at pages that only the source has. Both halves
 * are needed, neither is ever ended here; QEMU's own recovery is tried for as long as both are there.
 */
import type { TimeMs } from '../model/ids.ts';
import type { CallFailure, Planned } from '../model/migration.ts';
import type { InstanceView } from '../model/vm.ts';
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
export function resumeBroken(before: Planned, ready: boolean, now: TimeMs): Step {
  const broken = before.evidence.broken ?? { since: now, tries: 0 };
  const due =
    broken.triedAt === undefined || now - broken.triedAt >= Math.min(longestRetryMs, firstRetryMs * 2 ** broken.tries);
  const look: MigrationEffect = { type: 'observe', afterMs: lookEveryMs };
  const withBroken = (next: typeof broken): Planned =>
    enterPhase(
      {
        ...before,
        attention:
          before.attention ??
          `Post-copy is interrupted: ${halves(before)}. Trying to resume; nothing is lost, and neither half may be ended.`,
        evidence: { ...before.evidence, broken: next },
      },
      'post-copy',
      now,
    );
  if (broken.trying === true && now - (broken.triedAt ?? now) > unansweredMs) {
    // QEMU on the target may wait for a page while it holds what it needs to answer; restarting its libvirtd makes
    // that worse
    const attention =
      `Post-copy is interrupted: ${halves(before)}. The attempt to resume has not been answered for ` +
      `${Math.round((now - (broken.triedAt ?? now)) / 60_000)} min; break QEMU's stale connection on ` +
      `${before.to.name} (ss -K sport = :PORT), and restart no libvirtd.`;
    return { migration: { ...withBroken(broken), attention }, effects: [look] };
  }
  if (!ready || broken.trying === true || !due) return { migration: withBroken(broken), effects: [look] };
  return {
    migration: withBroken({ ...broken, tries: broken.tries + 1, triedAt: now, trying: true }),
    effects: [{ type: 'recover' }, look],
  };
}

export function recoverEnded(before: Planned, failure: CallFailure | undefined, now: TimeMs): Planned {
  const { broken } = before.evidence;
  if (broken === undefined) return before;
  const { trying: _, ...rest } = broken;
  const migration = { ...before, evidence: { ...before.evidence, broken: rest } };
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
  if (progress?.remainingBytes !== 0 || now - (evidence.broken?.since ?? now) < stuckMs)
    return `Post-copy is interrupted for libvirt, but QEMU still sends: ${halves(migration)}. Waiting for QEMU to end it.`;
  return (
    `Post-copy is interrupted, and QEMU on ${from.name} cannot resume it: it has sent its last page, and ` +
    `waits for an answer that was lost with the connection. ${halves(migration)}. Neither half was ended. ` +
    `If the guest does not go on, end it on ${to.name} (virsh destroy ${vm.name}); it can ` +
    `then be ended on ${from.name} too, and started from its disks.`
  );
}

/** The sentence for an end in which a half is gone. */
export const lostText = (migration: Planned, source: InstanceView): string =>
  isGone(source)
    ? `${migration.vm.name} runs on ${migration.to.name} without the pages that ` +
      `${migration.from.name} had; it stops where it needs one of them.`
    : `${migration.vm.name} ran on ${migration.to.name}, which has it no more; ` +
      `${migration.from.name} keeps the half that was never sent, paused.`;
