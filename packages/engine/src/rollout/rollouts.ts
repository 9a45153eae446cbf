/**
 * The rollouts of the fleet: stored before anything begins, carried out by what core decides, taken up again after a
 * restart. A drain or a restore begins in the transaction that notes it in its rollout. A hook that works on a host is
 * noted before it is called, and never called twice.
 */
import {
  batchId,
  calledOn,
  cordoned,
  defaultReturnMs,
  defaultWorkMs,
  FerryError,
  hasRolledOut,
  matchesSelector,
  parseSelector,
  refuseRollout,
  uncallable,
  refuseWhileWorkedOn,
  resolve,
  rolloutDocument,
  rolloutHosts,
  rolloutId,
  rolloutName,
  selectedHosts,
  stepRollout,
  uncordoned,
  type BatchId,
  type HostId,
  type HostRef,
  type HostView,
  type RequestedBy,
  type Rollout,
  type RolloutEffect,
  type RolloutEvent,
  type RolloutPlan,
} from '@ferry/core';
import type { Batches } from '../batch/batches.ts';
import type { KnownHosts } from '../fleet/hosts.ts';
import { callHook, hookProblem } from '../hooks/call-hook.ts';
import type { Clock, HookCaller, IntentStore, Log } from '../ports/ports.ts';
import { createDrives } from '../time/drives.ts';
import { collection, document, type Stored } from '../state/collection.ts';
import type { Along } from '../state/first-answers.ts';

const lookEveryMs = 1_000;
/** Rollouts that have ended and are kept. */
const endedKept = 200;

export interface RolloutRequest extends Omit<RolloutPlan, 'returnMs'> {
  readonly hosts: readonly string[];
  /** Hosts with these labels, after those that are named. */
  readonly selector?: string;
  readonly returnMs?: number;
}

export interface Rollouts {
  /** Newest first. */
  all(): readonly Rollout[];
  revisionOf(id: string): number;
  /** Throws FerryError `rollout-unknown`, `rollout-ambiguous`. */
  find(ref: string): Rollout;
  begin(request: RolloutRequest, by: RequestedBy, along?: Along): Promise<Rollout>;
  /** An operator has seen to the host. Throws FerryError `rollout-not-waiting`, `rollout-finished`. */
  goOn(ref: string): Promise<Rollout>;
  /** Throws FerryError `rollout-finished`. */
  cancel(ref: string): Promise<Rollout>;
  /** Throws FerryError `host-in-rollout` while the host is worked on. */
  refuseOn(id: HostId): void;
  /** A rollout that has not ended began this batch. */
  needs(batch: BatchId): boolean;
  hostChanged(view: HostView): void;
  /** Takes up what an earlier control plane left unfinished. */
  recover(): Promise<void>;
  stop(): Promise<void>;
}

export interface RolloutsDeps {
  readonly intents: IntentStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly hooks: HookCaller;
  readonly knownHosts: Pick<KnownHosts, 'host' | 'hosts' | 'serve'>;
  readonly batches: Pick<Batches, 'all' | 'find' | 'drain' | 'restore' | 'cancel' | 'retry'>;
  readonly published: (rollout: Rollout, revision: number) => void;
}

const decodeRollout = document<Rollout>({ id: 'string', name: 'string', phase: 'string', hosts: 'array' });

export function createRollouts(deps: RolloutsDeps): Rollouts {
  const { clock, log, knownHosts, batches } = deps;
  const stored = collection(deps.intents, 'rollouts/', decodeRollout);
  const held = new Map<string, Stored<Rollout>>();
  /** Hooks that are being called, by rollout. */
  const calls = new Map<string, Promise<void>>();

  const drives = createDrives({
    clock,
    everyMs: lookEveryMs,
    rests: (id) => ['stopped', 'done', 'cancelled'].includes(heldOf(id).value.phase),
    round: (id) => round(id),
    failed: (id, error) => log.error({ err: error, rollout: id }, 'a rollout could not go on; it is tried again'),
    rested: () => prune().catch((error: unknown) => log.warn({ err: error }, 'old rollouts could not be removed')),
  });
  const { inTurn, go, wake, stopping } = drives;
  const heldOf = (id: string): Stored<Rollout> => {
    const found = held.get(id);
    if (found === undefined) throw new FerryError('rollout-unknown', `There is no rollout "${id}".`);
    return found;
  };
  const all = (): readonly Rollout[] =>
    [...held.values()].map(({ value }) => value).toSorted((a, b) => (a.id < b.id ? 1 : -1));
  const find = (ref: string): Rollout =>
    resolve(all(), ref, {
      kind: 'rollout',
      id: ({ id }) => id,
      name: ({ name }) => name,
      describe: ({ name }) => name,
    });
  const took = (value: Rollout, revision: number): void => {
    held.set(value.id, { key: value.id, value, revision });
    deps.published(value, revision);
  };
  /** An answer may be lost, and not the write. */
  const lookInStore = async (id: string): Promise<boolean> => {
    const now = await stored.get(id);
    if (now === undefined || now.revision === heldOf(id).revision) return false;
    took(now.value, now.revision);
    return true;
  };

  const step = async (id: string, event: RolloutEvent): Promise<readonly RolloutEffect[]> => {
    const before = heldOf(id);
    const { rollout, effects } = stepRollout(before.value, event, clock.now());
    if (JSON.stringify(rollout) === JSON.stringify(before.value)) return effects;
    try {
      const written = await stored.commit([stored.put(id, rollout, before.revision)]);
      if ('conflict' in written) throw new FerryError('store-conflict', `${rollout.name} was changed meanwhile.`);
      took(rollout, written.revision);
    } catch (error) {
      await lookInStore(id);
      throw error;
    }
    return effects;
  };

  /** Begins a batch and notes it, both or neither. */
  const begin = async (id: string, what: 'drain' | 'restore', { id: host, name }: HostRef): Promise<void> => {
    const { value: rollout } = heldOf(id);
    const { actor, client, plan } = rollout;
    const drain = rollout.hosts.find((each) => each.host.id === host)?.drain;
    const along: Along = (batch) => {
      const before = heldOf(id);
      const event: RolloutEvent = { type: 'began', host, what, batch: batchId(batch) };
      return [stored.put(id, stepRollout(before.value, event, clock.now()).rollout, before.revision)];
    };
    try {
      const by = { actor, client };
      await (what === 'drain'
        ? batches.drain({ hosts: [host], force: plan.force === true }, by, along)
        : batches.restore(host, by, along, drain));
      await lookInStore(id);
    } catch (error) {
      if (await lookInStore(id)) return;
      if (!(error instanceof FerryError) || error.code.startsWith('store-') || error.unanswered) throw error;
      if (error.code !== 'drain-none') {
        await step(id, { type: 'refused', host, message: `${name}: ${error.message}` });
        return;
      }
      await knownHosts.serve([host], uncordoned);
      await step(id, { type: 'nothing-to-restore', host });
    }
  };

  /** Out of turn: a hook may take hours, and what an operator asks for meanwhile does not wait for it. */
  const call = (id: string, what: 'ask' | 'work', { id: host, name }: HostRef): void => {
    if (calls.has(id)) return;
    const calling = (async () => {
      const { value: rollout } = heldOf(id);
      const target = what === 'ask' ? rollout.plan.onlyIf : rollout.plan.work;
      if (target === undefined) return;
      const document = rolloutDocument(rollout, what, knownHosts.host(host), clock.now());
      // what works on a host goes on when Ferry stops: ended in the middle of its work, it would leave the host half done
      const until = what === 'ask' ? stopping : new AbortController().signal;
      const { answer } = await callHook(deps, target, document, until);
      if (stopping.aborted) return;
      await inTurn(id, () => step(id, { type: 'answered', host, what, answer }));
    })()
      .catch((error: unknown) => {
        if (!stopping.aborted) log.warn({ err: error, host: name, what }, 'the hook of a rollout has no answer');
      })
      .finally(() => {
        calls.delete(id);
        wake(id);
      });
    calls.set(id, calling);
  };

  const carryOut = async (id: string, effect: RolloutEffect): Promise<void> => {
    switch (effect.do) {
      case 'ask':
      case 'work':
        return call(id, effect.do, effect.host);
      case 'drain':
      case 'restore':
        return begin(id, effect.do, effect.host);
      case 'open':
        await knownHosts.serve([effect.host.id], uncordoned);
        await step(id, { type: 'opened', host: effect.host.id });
        return;
      case 'cancel':
        await batches.cancel(effect.batch, false);
        return;
      case 'retry':
        // one that an operator has tried again, and that is done, is looked at
        if (batches.find(effect.batch).phase !== 'done') await batches.retry(effect.batch);
        return;
    }
  };
  const carryOutAll = async (id: string, effects: readonly RolloutEffect[]): Promise<void> => {
    for (const effect of effects)
      await carryOut(id, effect).catch((error: unknown) => {
        if (!stopping.aborted)
          log.warn({ err: error, rollout: heldOf(id).value.name }, `${effect.do} was not done; it is tried again`);
      });
  };
  const round = async (id: string): Promise<void> => {
    const working = calledOn(heldOf(id).value);
    if (working !== undefined && !calls.has(id)) await step(id, { type: 'call-lost', host: working.id });
    const own = new Set(heldOf(id).value.hosts.flatMap(({ drain, restore }) => [drain, restore]));
    const effects = await step(id, {
      type: 'looked',
      hosts: knownHosts.hosts(),
      batches: batches.all().filter((batch) => own.has(batch.id)),
      calling: calls.has(id),
    });
    await carryOutAll(id, effects);
  };
  const prune = async (): Promise<void> => {
    for (const { id } of all().filter(hasRolledOut).slice(endedKept)) {
      const old = held.get(id);
      if (old !== undefined) await stored.commit([stored.delete(id, old.revision)]);
      held.delete(id);
    }
  };
  const command = async (ref: string, event: RolloutEvent): Promise<Rollout> => {
    const { id } = find(ref);
    try {
      return await inTurn(id, async () => {
        await carryOutAll(id, await step(id, event));
        return heldOf(id).value;
      });
    } finally {
      go(id);
    }
  };

  const meant = ({ hosts, selector }: RolloutRequest): readonly HostView[] => {
    const named = hosts.map((ref) => knownHosts.host(ref));
    if (selector === undefined) return named;
    const parsed = parseSelector(selector);
    const chosen = knownHosts.hosts().filter(({ host }) => matchesSelector(parsed, host.labels ?? []));
    selectedHosts(selector, chosen, knownHosts.hosts());
    return [...named, ...chosen];
  };

  const beginNow = async (
    request: RolloutRequest,
    { actor, client }: RequestedBy,
    along: Along = () => [],
  ): Promise<Rollout> => {
    const { hosts: _refs, selector: _selector, returnMs = defaultReturnMs, work, ...rest } = request;
    const longer = work === undefined ? {} : { work: { timeoutMs: defaultWorkMs, ...work } };
    const plan: RolloutPlan = { ...rest, ...longer, returnMs };
    const views = meant(request);
    const now = clock.now();
    refuseRollout(views, plan, knownHosts.hosts(), all(), now);
    // before a host is emptied for a hook that cannot be called
    for (const target of [plan.work, plan.onlyIf]) {
      const problem = target === undefined ? undefined : await hookProblem(deps, target);
      if (problem !== undefined) throw uncallable(problem);
    }
    const hosts = rolloutHosts(views, plan, now);
    const id = rolloutId(`${now.toString(36)}${clock.randomText(5)}`);
    const name = rolloutName(
      hosts.map(({ host }) => host),
      id,
    );
    const rollout: Rollout = { id, name, actor, client, plan, hosts, startedAt: now, phase: 'running' };
    const revision = await knownHosts.serve(
      plan.upgrade === true ? views.map(({ host }) => host.id) : [],
      (host) => cordoned(host, now),
      async () => [stored.put(id, rollout, 0), ...along(id)],
    );
    took(rollout, revision);
    go(id);
    return rollout;
  };

  return {
    all,
    find,
    revisionOf: (id) => held.get(id)?.revision ?? 0,
    // no two at once have the same host
    begin: (request, by, along) => inTurn('', () => beginNow(request, by, along)),
    goOn: (ref) => command(ref, { type: 'continue-requested' }),
    cancel: (ref) => command(ref, { type: 'cancel-requested' }),
    refuseOn: (id) => refuseWhileWorkedOn(all(), id),
    needs: (batch) =>
      all().some(
        (each) => !hasRolledOut(each) && each.hosts.some(({ drain, restore }) => drain === batch || restore === batch),
      ),
    hostChanged({ host, state }) {
      if (state === 'connected') return;
      for (const { value } of held.values()) {
        const { id, phase, hosts } = value;
        const is = hosts.some((each) => each.host.id === host.id && ['working', 'returning'].includes(each.state));
        if (!is || hasRolledOut({ phase })) continue;
        void inTurn(id, () => step(id, { type: 'left', host: host.id })).catch((error: unknown) =>
          log.warn({ err: error, host: host.name }, 'that a host has gone was not noted'),
        );
      }
    },
    async recover() {
      for (const each of (await stored.list()).items) held.set(each.key, each);
      for (const { id } of all()) go(id);
    },
    stop: () => drives.stop(),
  };
}
