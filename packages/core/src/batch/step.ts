/**
 * What becomes of a batch when something happens: which members begin, what each has come to, and when the whole has
 * ended. The same for a drain and a restore but for what they are looked at for. It neither looks nor acts. Pure.
 */
import type { Batch, BatchMember, MemberState } from '../model/batch.ts';
import type { HostRef } from '../model/host.ts';
import type { HostId, TimeMs, VmUuid } from '../model/ids.ts';
import { FerryError } from '../model/errors.ts';
import { namesOf as shortly } from '../planning/wait-reasons.ts';
import { inOrder, isUnderWay, turnsOf, type Turns } from './lanes.ts';
import type { BatchEffect, BatchEvent, SeenVm } from './protocol.ts';

/** The most members of a batch: the stored document holds them packed. */
export const mostMembers = 2_000;
/** After its first try a member is tried this often again, each time on another host. */
export const triesAgain = 2;
/** Before a member that was refused is tried again; longer each time. */
const refusedPauseMs = 10_000;
/** For a guest to shut down when it is asked to. */
const shutDownMs = 300_000;

export interface BatchStep {
  readonly batch: Batch;
  readonly effects: readonly BatchEffect[];
}

export const hasEnded = ({ phase }: Pick<Batch, 'phase'>): boolean =>
  phase === 'done' || phase === 'incomplete' || phase === 'cancelled';

/** It was to begin at a time that has not come, or could not. */
const isUnbegun = ({ beginsAt, startedAt }: Pick<Batch, 'beginsAt' | 'startedAt'>): boolean =>
  beginsAt !== undefined && startedAt < beginsAt;

export function stepBatch(batch: Batch, event: BatchEvent, now: TimeMs): BatchStep {
  switch (event.type) {
    case 'looked':
      return hasEnded(batch) || batch.phase === 'scheduled'
        ? still(batch)
        : goOn(looked(batch, event, now), event, now);
    case 'began':
      return still(change(batch, event.vm, began(event.migration)));
    case 'refused':
      return still(change(batch, event.vm, (member) => refused(batch, member, event, now)));
    case 'asked':
      return still(change(batch, event.vm, (member) => asked(member, now)));
    case 'started':
      return still(change(batch, event.vm, started));
    case 'ended':
      return still(change(batch, event.vm, (member) => ended(batch, member, event, now)));
    case 'confirmed':
      return still(confirmed(batch, event.active, now));
    case 'unconfirmed':
      return still({ ...batch, attention: event.message });
    case 'due':
      return batch.phase === 'scheduled'
        ? still({ ...withAttention(batch, undefined), phase: 'running', startedAt: now, members: event.members })
        : still(batch);
    case 'not-begun':
      return batch.phase === 'scheduled' ? still(notBegun(batch, event.message, now)) : still(batch);
    case 'cancel-requested':
      return still(cancelled(batch, event.abort, now));
    case 'retry-requested':
      return still(again(batch));
  }
}

const still = (batch: Batch): BatchStep => ({ batch, effects: [] });

const change = (batch: Batch, vm: VmUuid, make: (member: BatchMember) => BatchMember): Batch => ({
  ...batch,
  members: batch.members.map((member) => (member.vm.uuid === vm ? make(member) : member)),
});

/** Without what was said of the state before. */
function as(
  { note: _note, notBefore: _notBefore, since: _since, ...member }: BatchMember,
  state: MemberState,
  note?: string,
): BatchMember {
  return { ...member, state, ...(note === undefined ? {} : { note: shortened(note) }) };
}

/** A refusal has a reason for each host of the cluster, and a batch is one document. */
const mostOfNote = 300;
const shortened = (note: string): string => (note.length <= mostOfNote ? note : `${note.slice(0, mostOfNote - 1)}…`);

const began =
  (migration: NonNullable<BatchMember['migration']>) =>
  (member: BatchMember): BatchMember => ({ ...as(member, 'moving'), migration });

/** From now on it has its time to shut down. */
const asked = (member: BatchMember, now: TimeMs): BatchMember =>
  member.state === 'stopping' ? { ...member, asked: true, since: now } : member;

/** Of a VM that was shut down for a move that did not come about, the rest stays as it is. */
const started = (member: BatchMember): BatchMember =>
  member.off === true ? withoutOff(member) : as(member, 'started');

const withoutOff = ({ off: _off, asked: _asked, ...member }: BatchMember): BatchMember => member;

const withoutLoad = ({ curve: _curve, diskBytes: _bytes, ...member }: BatchMember): BatchMember => member;

/** Tries to start a VM again that was shut down for a move that did not come about. */
const startTries = 6;

/** Its move or its start did not begin. */
function refused(
  { phase }: Batch,
  member: BatchMember,
  { message, waits }: Extract<BatchEvent, { type: 'refused' }>,
  now: TimeMs,
): BatchMember {
  if (isToStartAgain(member)) {
    const note = shortened(`It was shut down for its move, and cannot be started on ${member.from.name}: ${message}`);
    const tries = member.tries + 1;
    return tries < startTries
      ? { ...member, tries, notBefore: now + refusedPauseMs, note }
      : { ...withoutOff(member), note };
  }
  const notAsked = member.off === true ? member : withoutOff(member);
  if (waits === true && phase === 'running')
    return { ...as(notAsked, 'waiting', message), notBefore: now + refusedPauseMs };
  return phase === 'cancelling'
    ? as(notAsked, 'held', message)
    : failedTry(notAsked, message, now + pauseAfter(member));
}

const pauseAfter = ({ tries }: BatchMember): number => refusedPauseMs * (tries + 1);

/** Tried in vain: again after the pause, or not any more. */
function failedTry(member: BatchMember, message: string, notBefore: TimeMs): BatchMember {
  const tries = member.tries + 1;
  return tries > triesAgain
    ? { ...as(member, 'failed', message), tries }
    : { ...as(member, 'waiting', message), tries, notBefore };
}

function ended(
  batch: Batch,
  member: BatchMember,
  { outcome, to, message = '' }: Extract<BatchEvent, { type: 'ended' }>,
  now: TimeMs,
): BatchMember {
  switch (outcome) {
    case 'succeeded':
      return { ...withoutLoad(withoutOff(as(member, 'moved'))), ...(to === undefined ? {} : { to }) };
    case 'cancelled':
      return as(
        member,
        'held',
        batch.phase === 'cancelling'
          ? `Its migration was aborted with the ${batch.kind}.`
          : `Its migration was aborted, so it stays; the ${batch.kind} goes on without it.`,
      );
    case 'failed': {
      if (batch.phase === 'cancelling') return as(member, 'held', message);
      const { to: proposed, ...rest } = member;
      const failed = to ?? proposed;
      const tried = failed === undefined ? [] : [...(member.tried ?? []), failed.id];
      // the home of a VM that is restored stays the same
      return failedTry({ ...(batch.kind === 'restore' ? member : rest), tried }, message, now);
    }
  }
}

/** What the fleet shows of each member, and VMs that have appeared on a host that is drained. */
type Looked = Extract<BatchEvent, { type: 'looked' }>;

function looked(batch: Batch, { vms, silent }: Looked, now: TimeMs): Batch {
  const seen = new Map(vms.map((vm) => [vm.uuid, vm]));
  const members = batch.members.map((member) => {
    const vm = seen.get(member.vm.uuid);
    return isIn(silent, member.from.id) ? member : measured(asSeen(batch, member, vm, now), vm);
  });
  const known = new Set(members.map(({ vm }) => vm.uuid));
  const come =
    batch.kind === 'drain' && batch.phase === 'running'
      ? vms
          .filter((vm) => vm.isActive && !known.has(vm.uuid) && isIn(batch.hosts, vm.host.id))
          .map((vm) => asWished(batch, memberOf(vm)))
      : [];
  const joined = { ...batch, members: [...members, ...come].slice(0, Math.max(members.length, mostMembers)) };
  return come.length === 0 ? joined : withoutStrangers(joined);
}

const withoutStrangers = ({ strangersSince: _since, ...batch }: Batch): Batch => batch;

const measured = (member: BatchMember, vm: SeenVm | undefined): BatchMember =>
  (member.state === 'waiting' || member.state === 'moving') &&
  vm?.curve !== undefined &&
  vm.curve.at > (member.curve?.at ?? 0)
    ? { ...member, curve: vm.curve }
    : member;

const isIn = (hosts: readonly HostRef[], id: HostId): boolean => hosts.some((host) => host.id === id);

/** A VM on a host that is drained, as a member. */
export function memberOf({ uuid, name, memoryBytes, host, way, wayNote, isPersistent }: SeenVm): BatchMember {
  const member: BatchMember = { vm: { uuid, name }, memoryBytes, from: host, way, state: 'waiting', tries: 0 };
  if (way === 'never') return { ...member, state: 'stays', note: 'Its label says that it is never moved.' };
  if (way === 'leave-running')
    return { ...member, state: 'stays', note: wayNote ?? 'Its label says that it is left running.' };
  if (isPersistent || (way !== 'cold' && way !== 'shutdown')) return member;
  const note = 'It is transient: shut down, it would be gone. So it is left running.';
  return { ...member, way: 'leave-running', state: 'stays', note };
}

/** With what holds for all members. */
export const asWished = ({ neverDegrade }: Pick<Batch, 'neverDegrade'>, member: BatchMember): BatchMember =>
  neverDegrade === true ? { ...member, neverDegrade } : member;

function asSeen(batch: Batch, member: BatchMember, vm: SeenVm | undefined, now: TimeMs): BatchMember {
  switch (member.state) {
    case 'moving':
    case 'moved':
    case 'stopped':
    case 'started':
    case 'gone':
      return member;
    case 'stopping':
      if (vm?.isActive !== true)
        return member.way === 'cold'
          ? { ...as(member, batch.phase === 'cancelling' ? 'held' : 'waiting'), off: true }
          : as(member, 'stopped', 'It was shut down, and is started by the restore.');
      return isToAskAgain(batch, member) || now - (member.since ?? now) < shutDownMs
        ? member
        : as(member, 'failed', `The guest has not shut down for ${shutDownMs / 60_000} minutes.`);
    case 'waiting':
    case 'stays':
    case 'failed':
    case 'held':
      return asFound(batch, member, vm);
  }
}

function asFound(batch: Batch, member: BatchMember, vm: SeenVm | undefined): BatchMember {
  if (vm === undefined) return as(member, 'gone', 'No host has it any more.');
  if (vm.host.id !== member.from.id && vm.migration === undefined) {
    const where = `It is on ${vm.host.name} now; somebody else moved it`;
    // whether there is room for it to run, whoever moved it knows
    const off = member.off === true && !vm.isActive ? ', after it was shut down for this move. It is shut off' : '';
    return as(member, 'gone', `${where}${off}.`);
  }
  if (member.state !== 'waiting')
    return member.off === true && vm.isActive ? withoutOff(member) : foundLate(member, vm);
  if (batch.kind === 'drain' && member.off !== true && vm.isActive && vm.host.id === member.from.id) {
    // its labels may have changed, or its definition has gone
    const fresh = memberOf(vm);
    if (fresh.state === 'stays') return { ...as(member, 'stays', fresh.note), way: fresh.way };
    if (fresh.way !== member.way) return { ...member, way: fresh.way };
  }
  if (member.off === true && vm.isActive) return as(withoutOff(member), 'held', 'Somebody has started it; it stays.');
  if (member.way === 'start') return vm.isActive ? as(member, 'started', 'It was running already.') : member;
  if (!vm.isActive && batch.kind === 'drain' && member.off !== true) return as(member, 'stays', 'It is shut off.');
  return member;
}

/** Whether it was asked is not known, as after a restart in between. To be asked twice does a guest no harm. */
const isToAskAgain = ({ phase }: Pick<Batch, 'phase'>, { state, asked: wasAsked }: BatchMember): boolean =>
  phase === 'running' && state === 'stopping' && wasAsked !== true;

/** A guest that obeys after all, when nobody waits for it any more. */
const foundLate = (member: BatchMember, vm: SeenVm): BatchMember => {
  if (member.state !== 'failed' || member.asked !== true || vm.isActive || vm.migration !== undefined) return member;
  return member.way === 'cold'
    ? { ...member, off: true }
    : as(member, 'stopped', 'It was shut down, and is started by the restore.');
};

/** Begins what may begin, and sees to the end. */
function goOn(batch: Batch, seen: Looked, now: TimeMs): BatchStep {
  const { vms, silent, lanes = [] } = seen;
  const migrating = new Set(vms.filter(({ migration }) => migration !== undefined).map(({ uuid }) => uuid));
  if (batch.phase === 'cancelling') return windUp(batch, seen, now);
  const late = batch.deadlineAt !== undefined && now >= batch.deadlineAt ? missed(batch) : batch;
  const effects: BatchEffect[] = late.members
    .filter((member) => isToAskAgain(late, member) && !isIn(silent, member.from.id))
    .map((member) => ({ do: 'shut-down', member }));
  const turns = turnsOf(late, vms, lanes, now);
  const stopping = new Set<VmUuid>();
  // one after the other: what one is to take elsewhere is not reserved before its move begins
  let cold = late.members.some(isOnItsWayCold);
  for (const member of inOrder(late.members)) {
    const { vm, from, way, notBefore = 0 } = member;
    if (notBefore > now || migrating.has(vm.uuid) || isIn(silent, from.id)) continue;
    const shutsDown = way === 'cold' && member.off !== true;
    if ((shutsDown && cold) || !turns.take(member)) continue;
    cold ||= shutsDown;
    if (way === 'shutdown' || shutsDown) {
      stopping.add(vm.uuid);
      effects.push({ do: 'shut-down', member });
    } else effects.push({ do: way === 'start' ? 'start' : 'begin', member });
  }
  const pace = turns.pace();
  const next: Batch = {
    ...late,
    ...(pace.length === 0 ? {} : { pace }),
    members: late.members.map((member) =>
      stopping.has(member.vm.uuid) ? { ...as(member, 'stopping'), since: now } : member,
    ),
  };
  effects.push(...startsOf(next, seen, now));
  if (
    effects.length > 0 ||
    next.members.some((member) => member.state === 'waiting' || isUnderWay(member.state) || isToStartAgain(member))
  )
    return { batch: withAttention(next, attentionOf(next, migrating, silent, turns)), effects };
  // a restore ends with its members; of a drain the hosts have the last word
  return next.kind === 'drain' ? { batch: next, effects: [{ do: 'confirm' }] } : still(close(next, now));
}

const isOnItsWayCold = ({ way, state, off }: BatchMember): boolean =>
  way === 'cold' && (state === 'stopping' || (state === 'waiting' && off === true));

const withAttention = ({ attention: _before, ...batch }: Batch, attention: string | undefined): Batch => ({
  ...batch,
  ...(attention === undefined ? {} : { attention }),
});

function attentionOf(
  { members }: Batch,
  migrating: ReadonlySet<VmUuid>,
  silent: readonly HostRef[],
  turns: Turns,
): string | undefined {
  const waitedFor = silent.find(({ id }) => members.some(({ state, from }) => state === 'waiting' && from.id === id));
  if (waitedFor !== undefined) return `${waitedFor.name} does not answer; its VMs wait until it does.`;
  const others = members.filter(({ state, vm }) => state === 'waiting' && migrating.has(vm.uuid));
  if (others.length > 0) return `Moved by other migrations, and waited for: ${namesOf(others)}.`;
  const dark = turns.dark();
  if (dark !== undefined) return dark;
  const refused = members.find(({ state, note }) => state === 'waiting' && note !== undefined);
  return refused === undefined ? undefined : `${refused.vm.name}: ${refused.note ?? ''}`;
}

const namesOf = (members: readonly BatchMember[]): string => shortly(members.map(({ vm }) => vm.name));

const missed = (batch: Batch): Batch => ({
  ...batch,
  members: batch.members.map((member) =>
    member.state === 'waiting' ? as(member, 'failed', 'The deadline passed before its turn came.') : member,
  ),
});

const isToStartAgain = ({ off, state }: BatchMember): boolean =>
  off === true && (state === 'failed' || state === 'held');

/**
 * VMs that were shut down for a move that does not come about run again where they are: where that host shows them shut
 * off, and nothing moves them.
 */
const startsOf = ({ members }: Batch, { vms, silent }: Looked, now: TimeMs): readonly BatchEffect[] =>
  members
    .filter(
      (member) =>
        isToStartAgain(member) &&
        (member.notBefore ?? 0) <= now &&
        !isIn(silent, member.from.id) &&
        vms.some(
          ({ uuid, host, isActive, migration }) =>
            uuid === member.vm.uuid && host.id === member.from.id && !isActive && migration === undefined,
        ),
    )
    .map((member) => ({ do: 'start', member }));

/** What runs goes on to its end; then the batch has ended. */
function windUp(batch: Batch, seen: Looked, now: TimeMs): BatchStep {
  const running = batch.members.filter(({ state }) => isUnderWay(state));
  const toStart = batch.members.filter(isToStartAgain);
  if (running.length === 0 && toStart.length === 0) return still({ ...batch, phase: 'cancelled', endedAt: now });
  const waitedFor = seen.silent.find(({ id }) => toStart.some(({ from }) => from.id === id));
  const aborts =
    batch.abort === true
      ? running.flatMap(({ migration }) => (migration === undefined ? [] : [{ do: 'abort' as const, migration }]))
      : [];
  return {
    batch:
      waitedFor === undefined
        ? batch
        : withAttention(batch, `${waitedFor.name} does not answer; ${namesOf(toStart)} is started once it does.`),
    effects: [...startsOf(batch, seen, now), ...aborts],
  };
}

/** A VM that has not left though it should have. */
const isLeft = ({ state, way }: BatchMember): boolean =>
  state === 'failed' || state === 'held' || (state === 'stays' && way === 'leave-running');

function close(batch: Batch, now: TimeMs): Batch {
  const left = batch.members.filter(isLeft);
  return left.length === 0
    ? { ...withAttention(batch, undefined), phase: 'done', endedAt: now }
    : {
        ...withAttention(
          batch,
          `${left.length} VM(s) ${batch.kind === 'drain' ? 'did not leave' : 'were not brought back'}: ${namesOf(left)}.`,
        ),
        phase: 'incomplete',
        endedAt: now,
      };
}

/**
 * Done is what the hosts show themselves. A member that is there again, or still, has its turn again; a VM that is not
 * known joins when the fleet is looked at next.
 */
function confirmed(batch: Batch, active: ReadonlyMap<HostId, ReadonlySet<VmUuid>>, now: TimeMs): Batch {
  if (batch.phase !== 'running' || batch.members.some(({ state }) => state === 'waiting' || isUnderWay(state)))
    return batch;
  const there = new Set([...active.values()].flatMap((vms) => [...vms]));
  const at = (uuid: VmUuid): HostRef | undefined => batch.hosts.find(({ id }) => active.get(id)?.has(uuid) === true);
  const back = batch.members.filter(
    ({ vm, way, state }) =>
      at(vm.uuid) !== undefined &&
      (['moved', 'gone', 'stopped'].includes(state) ||
        (state === 'stays' && way !== 'never' && way !== 'leave-running')),
  );
  const known = new Set(batch.members.map(({ vm }) => vm.uuid));
  const unknown = [...there].filter((uuid) => !known.has(uuid));
  if (back.length === 0 && unknown.length === 0) return close(batch, now);
  const members = batch.members.map((member) =>
    back.includes(member) ? runsThere(member, at(member.vm.uuid) ?? member.from, now) : member,
  );
  // a copy that does not go away, such as the half of a migration, is there for a person
  if (unknown.length === 0 && members.every(({ state }) => state !== 'waiting'))
    return close({ ...batch, members }, now);
  if (unknown.length === 0) return { ...batch, members };
  const { strangersSince = now } = batch;
  if (back.length === 0 && now - strangersSince >= strangersMs) return withStrangers(batch, unknown, now);
  return {
    ...batch,
    members,
    strangersSince,
    attention: `${unknown.length} VM(s) have appeared on the host meanwhile.`,
  };
}

/** For a VM that has appeared to be seen by the fleet: one that is not by then is a copy that counts elsewhere. */
const strangersMs = 60_000;

/** They keep the host from being empty, and are nobody's to move. */
function withStrangers(batch: Batch, unknown: readonly VmUuid[], now: TimeMs): Batch {
  const closed = close(batch, now);
  const says = `${unknown.length} domain(s) run there that do not count as VMs of the host: ${shortly(unknown)}.`;
  return {
    ...closed,
    phase: 'incomplete',
    attention: closed.phase === 'done' ? says : `${closed.attention ?? ''} ${says}`,
  };
}

const runsThere = (member: BatchMember, from: HostRef, now: TimeMs): BatchMember =>
  failedTry({ ...member, from }, `It is on ${from.name} again.`, now);

/** How long after its time a drain may still begin: later nobody reckons with it. */
const beginsWithinMs = 900_000;

/** Its time has come, or has gone without it. */
export function dueness({ beginsAt = 0, deadlineAt = Infinity }: Batch, now: TimeMs): 'early' | 'due' | 'late' {
  if (now < beginsAt) return 'early';
  return now < Math.min(beginsAt + beginsWithinMs, deadlineAt) ? 'due' : 'late';
}

/** What keeps it from beginning may pass. */
function notBegun(batch: Batch, message: string, now: TimeMs): Batch {
  return dueness(batch, now) !== 'late'
    ? withAttention(batch, `It cannot begin: ${message}`)
    : { ...withAttention(batch, `It has not begun: ${message}`), phase: 'incomplete', endedAt: now };
}

function cancelled(batch: Batch, abort: boolean, now: TimeMs): Batch {
  if (hasEnded(batch)) throw new FerryError('drain-finished', `${batch.name} has ended already: ${batch.phase}.`);
  if (batch.phase === 'scheduled') return { ...withAttention(batch, undefined), phase: 'cancelled', endedAt: now };
  return {
    ...batch,
    phase: 'cancelling',
    ...(abort ? { abort: true as const } : {}),
    members: batch.members.map((member) =>
      member.state === 'waiting' ? as(member, 'held', `The ${batch.kind} was cancelled before its turn came.`) : member,
    ),
  };
}

function again({
  endedAt: _endedAt,
  abort: _abort,
  attention: _attention,
  deadlineAt: _deadline,
  pace: _pace,
  strangersSince: _since,
  ...batch
}: Batch): Batch {
  if (batch.phase === 'done' || batch.phase === 'cancelling')
    throw new FerryError('drain-finished', `${batch.name} cannot be tried again: it is ${batch.phase}.`);
  if (isUnbegun(batch))
    throw new FerryError('drain-finished', `${batch.name} cannot be tried again: it has not begun.`);
  return {
    ...batch,
    phase: 'running',
    members: batch.members.map(({ tried: _tried, ...member }) =>
      // also one that its label left running: the label may be another now
      isLeft(member) ? { ...as(member, 'waiting'), tries: 0 } : member,
    ),
  };
}
