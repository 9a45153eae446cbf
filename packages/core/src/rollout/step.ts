/**
 * What becomes of a rollout when something happens: one host after the other is emptied, worked on, waited for, and gets
 * its VMs back. It stops at the first that does not come through, and goes on only when an operator says so. It
 * neither looks nor acts. Pure.
 */
import type { Batch } from '../model/batch.ts';
import { notConnected } from '../fleet/machine.ts';
import { FerryError } from '../model/errors.ts';
import type { HostRef, HostView } from '../model/host.ts';
import type { HostId, TimeMs } from '../model/ids.ts';
import type { Rollout, RolloutHost, RolloutHostState } from '../model/rollout.ts';
import type { RolloutEffect, RolloutEvent } from './protocol.ts';

export interface RolloutStep {
  readonly rollout: Rollout;
  readonly effects: readonly RolloutEffect[];
}

export const hasRolledOut = ({ phase }: Pick<Rollout, 'phase'>): boolean => phase === 'done' || phase === 'cancelled';

type Looked = Extract<RolloutEvent, { type: 'looked' }>;

export function stepRollout(rollout: Rollout, event: RolloutEvent, now: TimeMs): RolloutStep {
  switch (event.type) {
    case 'continue-requested':
      return continued(rollout, now);
    case 'cancel-requested':
      return still(cancelled(rollout));
    case 'call-lost':
      return still(callLost(rollout, event.host));
    case 'looked':
      if (rollout.phase === 'cancelling') return windUp(rollout, event, now);
      return rollout.phase === 'running' ? goOn(rollout, event, now) : still(rollout);
    case 'began':
      return still(change(rollout, event.host, (each) => ({ ...each, [event.what]: event.batch })));
    case 'left':
      return still(change(rollout, event.host, (each) => left(rollout, each)));
    case 'opened':
      return still(change(rollout, event.host, (each) => opened(each, now)));
    case 'answered':
      return still(answered(rollout, event, now));
    case 'refused':
      return still(rollout.phase === 'running' ? stopped(rollout, event.message) : rollout);
    case 'nothing-to-restore':
      return still(change(rollout, event.host, (each) => nothingLeft(each, now)));
  }
}

const still = (rollout: Rollout): RolloutStep => ({ rollout, effects: [] });

const change = (rollout: Rollout, id: HostId, make: (each: RolloutHost) => RolloutHost): Rollout => ({
  ...rollout,
  hosts: rollout.hosts.map((each) => (each.host.id === id ? make(each) : each)),
});

function as({ note: _note, ...each }: RolloutHost, state: RolloutHostState, now: TimeMs, note?: string): RolloutHost {
  return { ...each, state, since: now, ...(note === undefined ? {} : { note }) };
}

/** While a hook works, its daemon may just be restarted: what counts is lost after that. */
const left = ({ plan }: Rollout, each: RolloutHost): RolloutHost =>
  each.state === 'returning' || (each.state === 'working' && plan.work === undefined) ? { ...each, left: true } : each;

const nothingLeft = (each: RolloutHost, now: TimeMs): RolloutHost =>
  each.state === 'restoring' ? as(each, 'done', now, 'No VM had left it.') : each;

/** In service again, or not held back any more. */
function opened({ cordoned: _cordoned, ...each }: RolloutHost, now: TimeMs): RolloutHost {
  return each.state === 'returning' ? as(each, 'returned', now) : each;
}

function withAttention({ attention: _before, ...rollout }: Rollout, attention?: string): Rollout {
  return attention === undefined ? rollout : { ...rollout, attention };
}

/** Nothing begins until an operator says so. */
const stopped = (rollout: Rollout, why: string, andThen = 'goes on from there'): Rollout =>
  withAttention(
    { ...rollout, phase: 'stopped' },
    `${why} See to it: "ferry rollout continue ${rollout.name}" ${andThen}, and "ferry rollout cancel ${rollout.name}" ends it.`,
  );
const saysWorkedOn = ({ name }: HostRef): string => `says that the work on ${name} is done`;

const isOver = ({ state }: RolloutHost): boolean => state === 'done' || state === 'skipped' || state === 'held';

/** The host whose turn it is. In upgrade mode those that have returned have their VMs back when no other is left. */
const currentOf = ({ hosts }: Rollout): RolloutHost | undefined =>
  hosts.find((each) => !isOver(each) && each.state !== 'returned') ?? hosts.find(({ state }) => state === 'returned');

function goOn(rollout: Rollout, seen: Looked, now: TimeMs): RolloutStep {
  const closed = heldBack(rollout, seen, ['skipped']);
  if (closed.length > 0) return { rollout, effects: closed };
  const each = currentOf(rollout);
  if (each === undefined) return still({ ...withAttention(rollout), phase: 'done', endedAt: now });
  const view = seen.hosts.find(({ host }) => host.id === each.host.id);
  if (view === undefined) return still(stopped(rollout, `${each.host.name} is no longer in the fleet.`));
  const { host } = each;
  const to = (state: RolloutHostState): Rollout => change(rollout, host.id, (mine) => as(mine, state, now));
  switch (each.state) {
    case 'waiting':
      if (view.state !== 'connected') return still(stopped(rollout, notConnected(view)));
      return still(to(rollout.plan.onlyIf === undefined ? 'draining' : 'asking'));
    case 'asking':
      return { rollout, effects: [{ do: 'ask', host }] };
    case 'draining':
      return each.drain === undefined
        ? { rollout, effects: [{ do: 'drain', host }] }
        : drained(rollout, each, seen.batches, now);
    case 'working':
      return working(rollout, each);
    case 'returning':
      return returning(rollout, each, view, now);
    case 'returned':
      return still(to('restoring'));
    case 'restoring':
      return each.restore === undefined
        ? { rollout, effects: [{ do: 'restore', host }] }
        : restored(rollout, each, seen.batches, now);
    case 'done':
    case 'skipped':
    case 'held':
      return still(rollout);
  }
}

/** Those that it cordoned take VMs again, in these states. */
const heldBack = ({ hosts }: Rollout, seen: Looked, states: readonly RolloutHostState[]): readonly RolloutEffect[] =>
  hosts
    .filter(
      ({ host, state, cordoned }) =>
        cordoned === true && states.includes(state) && seen.hosts.some((view) => view.host.id === host.id),
    )
    .map(({ host }) => ({ do: 'open', host }));

type SeenBatch = Looked['batches'][number];
const batchOf = (batches: readonly SeenBatch[], id: Batch['id'] | undefined): SeenBatch | undefined =>
  batches.find((each) => each.id === id);

function drained(rollout: Rollout, each: RolloutHost, batches: readonly SeenBatch[], now: TimeMs): RolloutStep {
  const batch = batchOf(batches, each.drain);
  const { host } = each;
  switch (batch?.phase) {
    case 'scheduled':
    case 'running':
    case 'cancelling':
      return still(rollout);
    case 'done':
      return still(withAttention(change(rollout, host.id, (mine) => as(mine, 'working', now))));
    case 'incomplete':
      return still(stopped(rollout, `${host.name} is not empty: ${batch.attention ?? 'VMs did not leave it.'}`));
    case 'cancelled':
    case undefined:
      return still(stopped(rollout, `The drain of ${host.name} was cancelled.`));
  }
}

function working(rollout: Rollout, each: RolloutHost): RolloutStep {
  const { host } = each;
  if (rollout.plan.work === undefined)
    return still(
      withAttention(
        rollout,
        `${host.name} is empty. When it has been worked on and is up again: ferry rollout continue ${rollout.name}`,
      ),
    );
  // stored before it is done, and done once
  return each.called === true
    ? still(rollout)
    : {
        rollout: change(rollout, host.id, (mine) => ({ ...mine, called: true })),
        effects: [{ do: 'work', host }],
      };
}

function returning(rollout: Rollout, each: RolloutHost, view: HostView, now: TimeMs): RolloutStep {
  if (view.state === 'unreachable' && each.left !== true)
    return still(change(rollout, each.host.id, () => left(rollout, each)));
  const missing = notHealthy(rollout, each, view);
  const { host } = each;
  if (missing === undefined) {
    const healthy = withAttention(rollout);
    return rollout.plan.upgrade === true
      ? { rollout: healthy, effects: [{ do: 'open', host }] }
      : still(change(healthy, host.id, (mine) => as(mine, 'restoring', now)));
  }
  if (now - each.since < rollout.plan.returnMs) return still(withAttention(rollout, missing));
  const seconds = Math.round(rollout.plan.returnMs / 1_000);
  return still(stopped(rollout, `${host.name} is not back as expected after ${seconds} s: ${missing}`));
}

/** What it lacks, in a sentence. */
function notHealthy({ plan }: Rollout, each: RolloutHost, view: HostView): string | undefined {
  const { name } = each.host;
  if (view.state !== 'connected') return notConnected(view);
  if (plan.reboots === true && each.left !== true)
    return `${name} has not lost its connection yet, so it has not rebooted.`;
  const wanted = [
    ['libvirt', plan.libvirtVersion, view.facts?.libvirtVersion],
    ['QEMU', plan.qemuVersion, view.facts?.qemuVersion],
  ] as const;
  const other = wanted.find(([, version, now]) => version !== undefined && version !== now);
  return other === undefined
    ? undefined
    : `${name} has ${other[0]} ${other[2] ?? '(none)'}, and ${other[1] ?? ''} is expected.`;
}

function restored(rollout: Rollout, each: RolloutHost, batches: readonly SeenBatch[], now: TimeMs): RolloutStep {
  const batch = batchOf(batches, each.restore);
  const { host } = each;
  switch (batch?.phase) {
    case 'scheduled':
    case 'running':
    case 'cancelling':
      return still(rollout);
    case 'done':
      return still(change(rollout, host.id, (mine) => as(mine, 'done', now)));
    case 'incomplete':
    case 'cancelled':
    case undefined:
      return still(
        stopped(
          rollout,
          `Not all VMs are back on ${host.name}: ${batch?.attention ?? 'the restore was cancelled.'}`,
          'leaves them and goes on with the next host',
        ),
      );
  }
}

function answered(
  rollout: Rollout,
  { host: id, what, answer }: Extract<RolloutEvent, { type: 'answered' }>,
  now: TimeMs,
): Rollout {
  const each = rollout.hosts.find(({ host }) => host.id === id);
  // an operator went on meanwhile
  if (each?.state !== (what === 'ask' ? 'asking' : 'working')) return rollout;
  const { result, message = '' } = answer;
  // a program is ended by its time; behind an address the work may go on
  const hasEnded = rollout.plan.work?.url === undefined || result === 'ok' || result === 'refused';
  if (rollout.phase === 'cancelling')
    return what === 'ask' || !hasEnded
      ? rollout
      : change(rollout, id, (mine) => as(mine, 'held', now, `The rollout was cancelled; its hook ended: ${result}.`));
  const said = message === '' ? '' : `: ${message.replace(/[.\s]+$/, '')}`;
  if (result === 'ok') return change(rollout, id, (mine) => as(mine, what === 'ask' ? 'draining' : 'returning', now));
  if (what === 'ask' && result === 'refused')
    return change(rollout, id, (mine) => as(mine, 'skipped', now, `The hook says that it is not needed${said}.`));
  const how = result === 'timed-out' ? 'did not end in time' : result === 'refused' ? 'refused' : 'failed';
  const why = `The hook for ${each.host.name} ${how}${said}.`;
  return what === 'ask'
    ? stopped(rollout, why, 'asks it again')
    : stopped(
        hasEnded ? change(rollout, id, (mine) => ({ ...mine, note: why })) : rollout,
        `${why} It is not called again. To have it called: cancel the rollout, run "ferry host restore ${each.host.name}", ` +
          'mend the hook, and start a new rollout.',
        saysWorkedOn(each.host),
      );
}

/** The host on which a hook works. */
export const calledOn = ({ phase, hosts }: Rollout): HostRef | undefined =>
  phase === 'running' ? hosts.find(({ state, called }) => state === 'working' && called === true)?.host : undefined;

/** Whether the hook has ended is not known: it is not called again. */
function callLost(rollout: Rollout, id: HostId): Rollout {
  const host = calledOn(rollout);
  return host?.id === id
    ? stopped(
        rollout,
        `How the hook for ${host.name} ended is not known, since Ferry was restarted or could not store it; it is not ` +
          'called again. It may still work on the host.',
        saysWorkedOn(host),
      )
    : rollout;
}

function continued(rollout: Rollout, now: TimeMs): RolloutStep {
  refuseEnded(rollout);
  const each = currentOf(rollout);
  const waits = each?.state === 'working' && rollout.plan.work === undefined;
  if (rollout.phase === 'cancelling' || each === undefined || (rollout.phase === 'running' && !waits))
    throw new FerryError(
      'rollout-not-waiting',
      `${rollout.name} does not wait for you: ${each === undefined ? 'it ends' : `${each.host.name} is ${each.state}`}.`,
    );
  const again = withAttention({ ...rollout, phase: 'running' });
  const to = (make: (mine: RolloutHost) => RolloutHost): RolloutStep => still(change(again, each.host.id, make));
  switch (each.state) {
    case 'working':
      return to((mine) => as(mine, 'returning', now));
    case 'returning':
      // the operator says that it has rebooted
      return to((mine) => ({ ...mine, since: now, left: true }));
    case 'draining':
      return { rollout: again, effects: each.drain === undefined ? [] : [{ do: 'retry', batch: each.drain }] };
    case 'restoring':
      return each.restore === undefined
        ? still(again)
        : to((mine) => as(mine, 'done', now, 'Not all of its VMs are back.'));
    case 'waiting':
    case 'asking':
    case 'returned':
    case 'done':
    case 'skipped':
    case 'held':
      return still(again);
  }
}

function refuseEnded(rollout: Rollout): void {
  if (hasRolledOut(rollout))
    throw new FerryError('rollout-finished', `${rollout.name} has ended already: ${rollout.phase}.`);
}

function cancelled(rollout: Rollout): Rollout {
  refuseEnded(rollout);
  return { ...withAttention(rollout), phase: 'cancelling' };
}

/** The drain that runs is cancelled, hosts that were held back for the rollout take VMs again, and it has ended. */
function windUp(rollout: Rollout, seen: Looked, now: TimeMs): RolloutStep {
  const draining = rollout.hosts.find(({ state }) => state === 'draining');
  const drain = batchOf(seen.batches, draining?.drain);
  if (drain?.phase === 'running') return { rollout, effects: [{ do: 'cancel', batch: drain.id }] };
  if (drain?.phase === 'cancelling') return still(rollout);
  const worked = rollout.hosts.find(mayBeWorkedOn)?.host;
  if (worked !== undefined && seen.calling)
    return still(
      withAttention(rollout, `The hook still works on ${worked.name}; the rollout is cancelled when it has ended.`),
    );
  const closed = heldBack(rollout, seen, ['waiting', 'asking', 'draining', 'skipped']);
  if (closed.length > 0) return { rollout, effects: closed };
  const away = rollout.hosts.filter(({ state, drain: by }) => by !== undefined && state !== 'done');
  const names = away.map(({ host }) => host.name);
  const first = worked === undefined ? '' : `The hook may still work on ${worked.name}: see to that first. `;
  return still({
    ...withAttention(
      rollout,
      names.length === 0
        ? undefined
        : `${first}VMs of ${names.join(', ')} may still be elsewhere: bring them back with "ferry host restore HOST".`,
    ),
    phase: 'cancelled',
    endedAt: now,
    hosts: rollout.hosts.map((each) => (isOver(each) ? each : as(each, 'held', now, heldNote(each)))),
  });
}

/** Its hook was called, and that it has ended is not noted. */
const mayBeWorkedOn = ({ state, called, note }: RolloutHost): boolean =>
  state === 'working' && called === true && note === undefined;

function heldNote(each: RolloutHost): string {
  const { state, note } = each;
  if (state === 'waiting') return 'The rollout was cancelled before its turn.';
  if (state === 'working' && note !== undefined) return `The rollout was cancelled. ${note}`;
  if (mayBeWorkedOn(each))
    return 'The rollout was cancelled; how its hook ended is not known, and it may still work on the host.';
  return `The rollout was cancelled when it was ${state}.`;
}
