/**
 * Follows one host: connects, takes a snapshot after subscribing to its events, applies changes as they come, looks at
 * everything again from time to time, and reconnects with back-off. One follower per host, so a dead host costs the
 * others nothing. It reports; it decides nothing.
 */
import {
  FerryError,
  notConnected,
  otherMachine,
  type Host,
  type HostState,
  type HostView,
  type Instance,
  type VmUuid,
} from '@ferry/core';
import type { Clock, HostChange, HostLink, Hypervisor, Log } from '../ports/ports.ts';
import type { Turns } from './turns.ts';

/** Changes that libvirt sends no event for are seen at the latest after this time, in a fleet of up to 1,000 hosts. */
const looksEveryMs = 10_000;
/** In a larger fleet each host is looked at more rarely, so that no more looks than this are made in a second. */
const looksPerSecond = 100;
const reconnectFirstMs = 250;
const reconnectMaxMs = 10_000;
const connectTimeoutMs = 15_000;
/** Domains that are reported in one turn of the event loop. */
const touchedAtOnce = 1_000;

export interface HostFollower {
  host(): Host;
  view(): HostView;
  /** The stored object has changed; the URI has not. */
  change(host: Host): void;
  instances(): readonly Instance[];
  instance(uuid: VmUuid): Instance | undefined;
  /** The open connection; throws FerryError `host-unreachable` while there is none. */
  link(): HostLink;
  /** Reads one domain again now, so that a decision does not wait for its event. */
  refresh(uuid: VmUuid, signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

export interface FollowerEvents {
  /** The host's own state or facts changed. */
  changed(): void;
  /** These instances changed, came, went, or are known or unknown with their host. */
  instancesChanged(vms: Iterable<VmUuid>): void;
  /** A domain was defined, changed or seen for the first time. */
  domainTouched(uuid: VmUuid): void;
  /** The switchover of a migration was seen on this host. */
  switching(uuid: VmUuid, what: 'paused' | 'runs'): void;
}

export function followHost(
  added: Host,
  link: HostLink | undefined,
  cached: { readonly facts?: HostView['facts']; readonly instances: readonly Instance[] } | undefined,
  deps: {
    readonly hypervisor: Hypervisor;
    readonly clock: Clock;
    readonly log: Log;
    readonly events: FollowerEvents;
    readonly hosts: () => readonly Host[];
    /** Hosts in the fleet. */
    readonly fleetSize: () => number;
    /** Connections are made in turns. */
    readonly connecting: Turns;
  },
): HostFollower {
  const { clock, log, events } = deps;
  const stopping = new AbortController();
  let host = added;
  let state: HostState = 'connecting';
  let detail: string | undefined;
  let facts = cached?.facts;
  let freeMemoryBytes: number | undefined;
  let current: HostLink | undefined;
  let delayMs = reconnectFirstMs;
  let known = new Map((cached?.instances ?? []).map((instance) => [instance.uuid, instance]));
  /** `known` as a list, made when it is next asked for. */
  let list: readonly Instance[] | undefined;
  /** What was read separately while all are read: it is newer than the result for all. */
  const readMeanwhile = new Set<Set<VmUuid>>();

  const setInstances = (next: Map<VmUuid, Instance>): void => {
    const before = known;
    const changed = [
      ...[...next].flatMap(([uuid, instance]) => (sameInstance(before.get(uuid), instance) ? [] : [uuid])),
      ...[...before.keys()].filter((uuid) => !next.has(uuid)),
    ];
    if (changed.length === 0) return;
    // a host that has just connected touches all of them
    if (state === 'connected')
      for (const uuid of changed) if (next.has(uuid) && !before.has(uuid)) events.domainTouched(uuid);
    known = next;
    list = undefined;
    events.instancesChanged(changed);
  };

  const setInstance = (uuid: VmUuid, instance: Instance | undefined): void => {
    for (const each of readMeanwhile) each.add(uuid);
    const before = known.get(uuid);
    if (sameInstance(before, instance)) return;
    if (instance === undefined) known.delete(uuid);
    else known.set(uuid, instance);
    list = undefined;
    if (before === undefined) events.domainTouched(uuid);
    events.instancesChanged([uuid]);
  };

  const allOf = async (open: HostLink, signal: AbortSignal): Promise<Map<VmUuid, Instance>> => {
    const meanwhile = new Set<VmUuid>();
    readMeanwhile.add(meanwhile);
    try {
      const all = new Map((await open.instances.all(signal)).map((instance) => [instance.uuid, instance]));
      for (const uuid of meanwhile) {
        const newer = known.get(uuid);
        if (newer === undefined) all.delete(uuid);
        else all.set(uuid, newer);
      }
      return all;
    } finally {
      readMeanwhile.delete(meanwhile);
    }
  };

  const resync = async (open: HostLink, signal: AbortSignal): Promise<void> => {
    const [all, { freeMemoryBytes: free, ...rest }] = await Promise.all([
      allOf(open, signal),
      open.inventory.facts(signal),
    ]);
    // nothing of another machine is taken over, neither its figures nor its domains
    const others = rest.machineUuid === host.machineUuid ? [] : deps.hosts();
    const other = otherMachine(host, rest, others, facts);
    if (other !== undefined) throw new FerryError('host-other-machine', other);
    facts = rest;
    freeMemoryBytes = free;
    setInstances(all);
  };

  const readOne = async (open: HostLink, uuid: VmUuid, signal: AbortSignal): Promise<void> => {
    setInstance(uuid, await open.instances.one(uuid, signal));
  };

  const apply = async (open: HostLink, change: HostChange, signal: AbortSignal): Promise<void> => {
    if (change.type === 'gap') return resync(open, signal);
    if (change.type !== 'domain')
      events.switching(change.uuid, change.type === 'migration-suspended' ? 'paused' : 'runs');
    // the guest is paused for the switch right now: whatever the daemon is asked makes that longer, and the event says
    // it all. One that still counted as running would look like a second copy as soon as the target runs.
    if (change.type === 'migration-suspended') {
      const before = known.get(change.uuid);
      if (before !== undefined) setInstance(change.uuid, { ...before, state: 'paused', reason: 'migration' });
      return;
    }
    await readOne(open, change.uuid, signal);
    if (known.has(change.uuid)) events.domainTouched(change.uuid);
  };

  const resyncRegularly = async (open: HostLink, signal: AbortSignal): Promise<void> => {
    for (let share = shareOf(host.id); ; share = 1) {
      const everyMs = Math.max(looksEveryMs, (deps.fleetSize() / looksPerSecond) * 1_000);
      await clock.sleep(everyMs * share, signal);
      await resync(open, signal);
    }
  };

  /** Of thousands, a part at a time: others have their turn in between. */
  const touchAll = async (signal: AbortSignal): Promise<void> => {
    let step = 0;
    for (const uuid of known.keys()) {
      if (step % touchedAtOnce === 0) await clock.sleep(0, signal);
      step += 1;
      events.domainTouched(uuid);
    }
  };

  const session = async (open: HostLink): Promise<void> => {
    const ended = new AbortController();
    const signal = AbortSignal.any([stopping.signal, ended.signal]);
    void open.closed.then(() => ended.abort(new Error('connection closed')));
    try {
      const changes = await open.instances.watch(signal);
      await resync(open, signal);
      current = open;
      delayMs = reconnectFirstMs;
      state = 'connected';
      detail = undefined;
      events.changed();
      events.instancesChanged(known.keys());
      await touchAll(signal);
      const regular = resyncRegularly(open, signal).catch((error: unknown) => ended.abort(error));
      for await (const change of changes) await apply(open, change, signal);
      ended.abort(new Error('event stream ended'));
      await regular;
    } finally {
      ended.abort(new Error('session over'));
      current = undefined;
      await open
        .close()
        .catch((error: unknown) => log.warn({ err: error, host: host.name }, 'closing the connection failed'));
    }
  };

  const connect = (): Promise<HostLink> =>
    deps.hypervisor.connect(host.uri, AbortSignal.any([stopping.signal, clock.timeout(connectTimeoutMs)]));

  const run = async (): Promise<void> => {
    let first = link;
    let why: HostState = 'unreachable';
    while (!stopping.signal.aborted) {
      try {
        const open = first ?? (await deps.connecting.take(connect, stopping.signal));
        first = undefined;
        await session(open);
        detail = 'the connection was lost.';
        why = 'unreachable';
      } catch (error) {
        detail = error instanceof Error ? error.message : String(error);
        why = error instanceof FerryError && error.code === 'host-other-machine' ? 'other-machine' : 'unreachable';
      }
      first = undefined;
      if (stopping.signal.aborted) return;
      if (state !== why) {
        state = why;
        log.warn(
          { host: host.name, detail },
          why === 'unreachable' ? 'host unreachable' : 'another machine answers at the address of the host',
        );
        events.changed();
        events.instancesChanged(known.keys());
      }
      await clock.sleep(delayMs, stopping.signal).catch(() => undefined);
      delayMs = Math.min(delayMs * 2, reconnectMaxMs);
    }
  };
  const running = run();

  return {
    host: () => host,
    change: (next) => {
      host = next;
    },
    view: () => ({
      host,
      state,
      ...(detail === undefined || state === 'connected' ? {} : { stateDetail: detail }),
      ...(facts === undefined ? {} : { facts }),
      ...(freeMemoryBytes === undefined ? {} : { freeMemoryBytes }),
    }),
    instances: () => (list ??= [...known.values()]),
    instance: (uuid) => known.get(uuid),
    link: () => {
      if (current === undefined && state === 'other-machine')
        throw new FerryError(
          'host-other-machine',
          notConnected({ host, state, ...(detail === undefined ? {} : { stateDetail: detail }) }),
        );
      if (current === undefined)
        throw new FerryError(
          'host-unreachable',
          `${host.name} (${host.uri}) does not answer${detail === undefined ? '.' : `: ${detail}`}`,
        );
      return current;
    },
    refresh: async (uuid, signal) => {
      if (current !== undefined) await readOne(current, uuid, signal);
    },
    stop: async () => {
      stopping.abort(new Error('stopped'));
      await current?.close();
      await running;
    },
  };
}

/** Between 0 and 1, the same for an id each time: hosts that connected at once are not looked at together. */
const shareOf = (id: string): number =>
  Array.from(id).reduce((hash, letter) => (hash * 31 + letter.charCodeAt(0)) % 1_009, 7) / 1_009;

/** Most are the same object; only others are compared. */
const sameInstance = (a: Instance | undefined, b: Instance | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && JSON.stringify(a) === JSON.stringify(b));
