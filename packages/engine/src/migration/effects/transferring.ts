/**
 * The calls that take a guest over, by the hosts themselves or driven by Ferry, and that take up an interrupted post-copy.
 * The answers say why the VM stayed, or nothing; where it is, core concludes from what both
 * hosts show.
 */
import { FerryError, keepsDefinition, notResumed, type CallFailure } from '@ferry/core';
import { moveDirect, type DirectMove } from './direct.ts';
import type { MoveContext } from './context.ts';
import { performRequest } from './perform-request.ts';

type Handing = Pick<DirectMove, 'handingOver' | 'lookAtTarget'>;

/**
 * Resolves when the calls have ended, with what failed; never rejects. `handing`: for a migration that Ferry drives
 * itself.
 */
export async function transferMove(context: MoveContext, handing: Handing): Promise<CallFailure | undefined> {
  const { migration, source, signal } = context;
  try {
    const { failure } = await (migration.plan.transfer?.mode === 'direct'
      ? driveDirect(context, handing)
      : source().transfer.perform(await performRequest(context), signal));
    return failure;
  } catch (error) {
    return {
      outcome: error instanceof FerryError ? 'refused' : 'unknown',
      message: error instanceof Error ? error.message : String(error),
    };
  }
}

async function driveDirect(context: MoveContext, handing: Handing): Promise<{ readonly failure?: CallFailure }> {
  const { current, deps, source, target, signal } = context;
  const request = await performRequest(context);
  const { plan } = current();
  return moveDirect({
    ...handing,
    source: () => source().transfer.openSide(request, 'source', signal),
    target: () => target().transfer.openSide(request, 'target', signal),
    keepsDefinition: plan.helper === undefined && keepsDefinition(plan),
    sleep: (ms) => deps.clock.sleep(ms, signal),
    log: deps.log,
  });
}

/** Takes up an interrupted post-copy. Resolves when the call has ended, with what failed; never rejects. */
export async function recoverMove(context: MoveContext): Promise<CallFailure | undefined> {
  try {
    const { libvirtVersion } = await context.target().inventory.facts(context.bounded());
    // a daemon that comes back in another version is asked
    const refused = notResumed(context.migration.to, libvirtVersion);
    if (refused !== undefined) return refused;
    return (await context.source().transfer.recover(await performRequest(context), context.signal)).failure;
  } catch (error) {
    return { outcome: 'unknown', message: error instanceof Error ? error.message : String(error) };
  }
}
