/**
 * A migration that Ferry drives itself, call by call, so that the hosts need not trust each other: begin, prepare,
 * perform, finish, confirm. The source is let go or resumed only by what the target is seen to be, never by a missing
 * answer: that is how a lost reply leaves one running copy. Source of the order: virDomainMigrateVersion3Full in
 * libvirt.
 */
import { FerryError, handoverOf, type CallFailure, type InstanceView } from '@ferry/core';
import type { DirectSide, Handover, Log } from '../../ports/ports.ts';

const lookEveryMs = 500;
/** To open both connections, and to begin. */
const beginMs = 60_000;
/** The target starts a QEMU for the guest, which may have to get hold of its memory first. */
const prepareMs = 600_000;
/** The guest stands still meanwhile. What the target then shows decides, and not that it is late. */
const finishMs = 30_000;

export interface DirectMove {
  readonly source: () => Promise<DirectSide>;
  readonly target: () => Promise<DirectSide>;
  /** Stores that the memory has gone over and the target may run from now on. Resolves when it is durable. */
  readonly handingOver: () => Promise<void>;
  readonly lookAtTarget: () => Promise<InstanceView>;
  /** See core's `keepsDefinition`. */
  readonly keepsDefinition: boolean;
  readonly sleep: (ms: number) => Promise<void>;
  readonly log: Log;
}

/** Resolves when all calls have ended. A failure says why the VM stayed, or what is not known. */
export async function moveDirect(move: DirectMove): Promise<{ readonly failure?: CallFailure }> {
  const { sleep } = move;
  await using source = await opened(move.source, sleep);
  await using target = await opened(move.target, sleep);
  const begun = await within(beginMs, source.begin(), sleep);
  let prepared: Handover;
  try {
    prepared = await within(prepareMs, target.prepare(begun), sleep);
  } catch (error) {
    // ends what begin began
    await within(beginMs, source.confirm(begun, true), sleep).catch((refusal: unknown) =>
      move.log.warn({ err: refusal }, 'the source does not take back what it began'),
    );
    return { failure: target.failureOf(error) };
  }
  let performed: Handover;
  try {
    performed = await source.perform(prepared);
  } catch (error) {
    // the source goes on running; the target drops its half, at the latest with the connection
    await within(finishMs, target.finish(prepared, true), sleep).catch((refusal: unknown) =>
      move.log.warn({ err: refusal }, 'the target does not answer the cancelling'),
    );
    return { failure: source.failureOf(error) };
  }
  await move.handingOver();
  let finished = performed;
  let refusal: CallFailure | undefined;
  try {
    finished = await within(finishMs, target.finish(performed, false), sleep);
  } catch (error) {
    refusal = target.failureOf(error);
  }
  const outcome = refusal === undefined ? 'arrived' : await outcomeOf(move, refusal);
  // the connection ends without a word, and the source stays paused: whether the guest has run elsewhere is unknown
  if (outcome === 'unclear') return { failure: { outcome: 'unknown', message: refusal?.message ?? '' } };
  try {
    await within(beginMs, source.confirm(finished, outcome === 'stayed'), sleep);
  } catch (error) {
    move.log.warn({ err: error }, 'the source did not confirm; what it is then seen to be decides');
    return { failure: { ...source.failureOf(error), outcome: 'unknown' } };
  }
  return outcome === 'arrived' ? {} : { failure: { outcome: 'refused', message: refusal?.message ?? '' } };
}

/** A host that takes a call and never answers keeps nobody waiting. What it answers later is of no interest. */
async function within<T>(ms: number, call: Promise<T>, sleep: DirectMove['sleep']): Promise<T> {
  const late = sleep(ms).then(() => {
    throw new FerryError('host-timed-out', `The host did not answer within ${ms / 1_000} s.`);
  });
  return Promise.race([call, late]);
}

async function opened(open: () => Promise<DirectSide>, sleep: DirectMove['sleep']): Promise<DirectSide> {
  const opening = open();
  try {
    return await within(beginMs, opening, sleep);
  } catch (error) {
    void opening.then(
      (side) => side[Symbol.asyncDispose](),
      () => undefined,
    );
    throw error;
  }
}

/** Waits until the target reports what became of the guest: until then the source stays paused. */
async function outcomeOf(
  { lookAtTarget, sleep, keepsDefinition }: DirectMove,
  refusal: CallFailure,
): Promise<'arrived' | 'stayed' | 'unclear'> {
  for (;;) {
    const outcome = handoverOf(await lookAtTarget(), { answered: refusal.outcome === 'refused', keepsDefinition });
    if (outcome !== 'waits') return outcome;
    await sleep(lookEveryMs);
  }
}
