/**
 * Carries out the effects that core's `step` asks for, and dispatches what came of each. It decides nothing: what is
 * repeated, and how often, is all that it knows.
 */
import {
  hookDocument,
  isHalf,
  isPlanned,
  judge,
  type Hook,
  type InstanceView,
  type Migration,
  type MigrationEffect,
  type MigrationEvent,
  type Planned,
} from '@ferry/core';
import { proveApart } from '../../fleet/two-machines.ts';
import { callHook } from '../../hooks/call-hook.ts';
import type { HostLink } from '../../ports/ports.ts';
import { bothHosts, travelling, type MoveContext, type RunnerDeps } from './context.ts';
import { finishMove, takeBack, takeBackUnplanned } from './ending.ts';
import { prepareMove } from './preparing.ts';
import { recoverMove, transferMove } from './transferring.ts';
import type { MoveWatch } from './watching.ts';

/** Bounds a call about a running transfer; QEMU may be slow to answer, and a guest that hangs never does. */
const measureTimeoutMs = 30_000;
/** Bounds each call and each step; what a host does beyond it, the looks at it show. */
const stepTimeoutMs = 60_000;
const cleanRetryMs = 1_000;
/** Failures before an operator hears of them: a host may just be slow to answer. */
const triesUntilReported = 5;

export interface CarryingOut {
  readonly deps: RunnerDeps;
  readonly current: () => Migration;
  readonly watch: MoveWatch;
  readonly dispatch: (event: MigrationEvent) => void;
  /** Resolves when what was dispatched is stored. */
  readonly handled: () => Promise<void> | undefined;
  readonly signal: AbortSignal;
}

/** Resolves when the effect has ended; with the reason where a host refuses a measure. */
export type CarryOut = (effect: MigrationEffect) => Promise<unknown>;

export function carryOutOn({ deps, current, watch, dispatch, handled, signal }: CarryingOut): CarryOut {
  const { clock, log } = deps;
  const planned = (): Planned => {
    const migration = current();
    if (!isPlanned(migration)) throw new Error('a migration past its check has a target and a plan');
    return migration;
  };
  const source = (): HostLink => deps.linkOf(current().from.id);
  const target = (): HostLink => deps.linkOf(planned().to.id);
  const bounded = (): AbortSignal => AbortSignal.any([signal, clock.timeout(stepTimeoutMs)]);
  const apart = (): Promise<void> =>
    proveApart({ name: current().from.name, link: source() }, { name: planned().to.name, link: target() }, bounded());
  const context = (): MoveContext => ({
    migration: planned(),
    current: planned,
    deps,
    source,
    target,
    signal,
    bounded,
    apart,
  });

  const perform = async (): Promise<void> => {
    void watch.sampleRegularly();
    const failure = await transferMove(context(), {
      handingOver: async () => {
        dispatch({ type: 'handing-over' });
        await handled();
      },
      lookAtTarget: () => watch.look(planned().to.id),
    });
    dispatch(failure === undefined ? { type: 'perform-ended' } : { type: 'perform-ended', failure });
    if (failure === undefined && planned().plan.transfer?.mode === 'peer-to-peer')
      await deps.reached(current().from.id, planned().to.id);
  };

  /** A measure of a policy or an operator in a running transfer. Resolves with the error of a host that refuses it. */
  const measure = async (
    name: Extract<MigrationEvent, { type: 'measure-refused' }>['measure'],
    take: (within: AbortSignal) => Promise<void>,
  ): Promise<unknown> => {
    try {
      await take(AbortSignal.any([signal, clock.timeout(measureTimeoutMs)]));
      return undefined;
    } catch (error) {
      if (!signal.aborted)
        dispatch({
          type: 'measure-refused',
          measure: name,
          message: error instanceof Error ? error.message : String(error),
        });
      return error;
    }
  };

  const switchToPostCopy = async (within: AbortSignal): Promise<void> => {
    await source().steering.startPostCopy(current().vm.uuid, within);
    dispatch({ type: 'post-copy-started' });
  };

  const recover = async (): Promise<void> => {
    void watch.sampleRegularly();
    const failure = await recoverMove(context());
    dispatch(failure === undefined ? { type: 'recover-ended' } : { type: 'recover-ended', failure });
  };

  /** What is made ready at the moment; never rejects. */
  let preparing: Promise<void> | undefined;
  const prepare = async (): Promise<void> => {
    try {
      const prediction = await prepareMove(context());
      if (prediction !== undefined) dispatch({ type: 'predicted', prediction });
      dispatch({ type: 'prepared' });
    } catch (error) {
      dispatch({
        type: 'prepared',
        failure: { outcome: 'refused', message: error instanceof Error ? error.message : String(error) },
      });
    }
  };

  /** Whoever is still asked when something else is to happen is not waited for any more. */
  let asking: AbortController | undefined;
  const ask = async (hook: Hook): Promise<void> => {
    asking?.abort(new Error('the migration was aborted'));
    const own = new AbortController();
    asking = own;
    const document = hookDocument(current(), hook, clock.now());
    const called = await callHook(deps, hook, document, AbortSignal.any([signal, own.signal])).catch(
      (error: unknown) => {
        if (!own.signal.aborted) throw error;
        return undefined;
      },
    );
    if (asking === own) asking = undefined;
    if (called === undefined) return;
    const { result, message } = called.answer;
    if (result !== 'ok')
      log.warn({ migration: current().id, hook: hook.name, result, message }, 'a hook did not agree');
    dispatch({ type: 'hook-answered', hook, ...called });
  };

  const refresh = (): Promise<void> =>
    deps
      .refresh(current().vm.uuid, bothHosts(current()), bounded())
      .catch((error: unknown) => log.warn({ err: error, migration: current().id }, 'inventory not refreshed'));

  /** Repeated until both hosts answer: half a clean-up is no end. */
  const clean = async (): Promise<void> => {
    let reported = '';
    for (let tries = 1; ; tries += 1) {
      try {
        const event = await finishMove(context());
        await refresh();
        return dispatch(event);
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, migration: current().id }, 'cleaning up goes on');
        const message = error instanceof Error ? error.message : String(error);
        if (tries >= triesUntilReported && message !== reported) dispatch({ type: 'cleaning-fails', message });
        if (tries >= triesUntilReported) reported = message;
        await clock.sleep(cleanRetryMs, signal);
      }
    }
  };

  /**
   * Tried for a while; what cannot be taken back stays recorded and is recognised later. Snapshots are not given up.
   */
  const undo = async (): Promise<void> => {
    // a call that is still on its way would be done after it is taken back
    await preparing;
    for (let tries = 0; tries < 10 || current().plan?.carriesSnapshots === true; tries += 1) {
      try {
        await (isPlanned(current()) ? takeBack(context()) : takeBackUnplanned(current(), source, bounded));
        break;
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, migration: current().id }, 'what was prepared cannot be taken back yet');
        await clock.sleep(cleanRetryMs, signal);
      }
    }
    await refresh();
    dispatch({ type: 'cleaned' });
  };

  /**
   * Only a half that is proved to be another process than the copy that stays. What was seen may be some seconds old:
   * the other host took its time to answer, or the store to keep it. What runs meanwhile is no half to be ended.
   */
  const endHalf = async (hostId: string, isStill: (view: InstanceView) => boolean): Promise<void> => {
    await apart();
    if (isStill(await watch.look(hostId))) await deps.linkOf(hostId).power.end(travelling(planned()), bounded());
  };
  /** Of the VM itself, whose policy allows it: only while it is on the source alone. */
  const endSourceGuest = async (): Promise<void> => {
    await apart();
    const there = await watch.look(planned().to.id);
    const here = await watch.look(current().from.id);
    if (judge(here, there).kind === 'stayed') await source().power.end(current().vm.uuid, bounded());
  };
  const isPaused = (view: InstanceView): boolean => view.kind === 'present' && view.state === 'paused';

  const execute = async (effect: MigrationEffect): Promise<unknown> => {
    switch (effect.type) {
      case 'check':
        // Ferry has just shut it down: the event may not have reached the inventory yet
        if (current().evidence.poweredOffAt !== undefined) await refresh();
        return dispatch({ type: 'checked', ...(await deps.check(current(), signal)) });
      case 'choose-ports': {
        const transfer = deps.otherPorts(planned());
        return dispatch({ type: 'ports-chosen', ...(transfer === undefined ? {} : { transfer }) });
      }
      case 'call-hook':
        return ask(effect.hook);
      case 'look-again':
        return dispatch({ type: 'looked-again', reasons: await deps.changedSince(current(), signal) });
      case 'prepare':
        preparing = prepare();
        return preparing;
      case 'perform':
        return perform();
      case 'observe':
        // nobody else does in a transfer that outlives the call, or the control plane, that began it
        void watch.sampleRegularly();
        return watch.observe(effect.afterMs);
      case 'abort-job':
        return source().transfer.abort(travelling(planned()), bounded());
      case 'note-not-reached':
        return deps.notReached(current().from.id, planned().to.id, effect.message);
      case 'tune':
        return measure('tune', async (within) => {
          await source().steering.tune(travelling(planned()), effect.limits, within);
          if (effect.asked !== undefined) dispatch({ type: 'limits-changed', limits: effect.asked });
        });
      case 'post-copy':
        return measure('post-copy', switchToPostCopy);
      case 'pause-guest':
        return measure('pause-guest', (within) => source().power.suspend(travelling(planned()), within));
      case 'release-throttle':
        return measure('release-throttle', (within) =>
          source().steering.releaseThrottle(travelling(planned()), within),
        );
      case 'cut-copies':
        await source().steering.cutCopies(travelling(planned()), bounded());
        return source().transfer.abort(travelling(planned()), bounded());
      case 'end-helper':
        if (planned().plan.helper === undefined) throw new Error('only a helper is ended without a proof');
        return source().power.end(travelling(planned()), bounded());
      case 'recover':
        return recover();
      case 'release-target':
        return target().power.resume(travelling(planned()), bounded());
      case 'shut-down-source':
        return source().power.shutdown(travelling(planned()), bounded());
      case 'end-source-guest':
        return endSourceGuest();
      case 'suspend-both':
        await apart();
        await Promise.allSettled(
          [source(), target()].map((link) => link.power.suspend(travelling(planned()), bounded())),
        );
        return undefined;
      case 'resume-source':
        return source().power.resume(travelling(planned()), bounded());
      case 'remove-source-process':
        return endHalf(current().from.id, isHalf);
      case 'remove-target-process':
        return endHalf(planned().to.id, isPaused);
      case 'clean':
        return clean();
      case 'undo':
        asking?.abort(new Error('the migration was aborted'));
        return undo();
    }
  };

  return execute;
}
