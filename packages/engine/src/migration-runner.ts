/**
 * Carries one migration through its life: feeds events to core's `step`, stores what changed before any effect begins,
 * and turns the outcome of each effect into the next event. It holds no rule of its own; stopping it leaves the
 * migration running, to be adopted later.
 */
import { budgetOf, FerryError, keepsDefinition, step, type CallFailure, type CheckResult, type DefinitionPlan, type InstanceView, type JobSample, type Migration, type MigrationEffect, type MigrationEvent, type Outlook, type VmUuid } from '@ferry/core';
import type { CarriedSnapshots } from './carried-snapshots.ts';
import { moveDirect } from './direct-move.ts';
import { bringBelongings, bringsBelongings } from './belongings.ts';
import { finishMove, rewritten, takeBack, type MoveContext } from './move-ending.ts';
import type { Inspection } from './inspection.ts';
import type { Clock, HostLink, Log, PerformRequest, StoredDefinition, TransferLimits } from './ports.ts';
import type { StorageSide, Volumes } from './volumes.ts';

const sampleEveryMs = 500;
/** After this time a transfer is a long one, and its figures are asked for half as often: QEMU answers them between its other work. */
const longTransferMs = 10_000;
/** Progress is stored this often, so that a restart does not show an older percentage. */
const storeProgressEveryMs = 2_000;
/** Figures are kept this often. */
const keepSampleEveryMs = 1_000;
const observeTimeoutMs = 5_000;
/** Bounds a call about a running transfer; QEMU may be slow to answer, and a guest that hangs never does. */
const measureTimeoutMs = 30_000;
const storeRetryMs = 1_000;
/** Bounds making and deleting volumes, each as a whole. */
const storageTimeoutMs = 60_000;
const cleanRetryMs = 1_000;

export interface RunnerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly installation: string;
  /** The open connection of a host; throws FerryError `host-unreachable`. */
  readonly linkOf: (hostId: string) => HostLink;
  /** URI by which other hosts reach this one. */
  readonly uriOf: (hostId: string) => string;
  readonly stored: (uuid: VmUuid, host: string) => Promise<StoredDefinition | undefined>;
  readonly volumes: Volumes;
  readonly rewriteDefinition: (xml: string, plan: DefinitionPlan) => string;
  readonly kept: KeptInstances;
  readonly snapshots: CarriedSnapshots;
  /** Remembers that the daemon of one host does not reach that of another. */
  readonly notReached: (from: string, to: string, message: string) => Promise<void>;
  readonly check: (migration: Migration, signal: AbortSignal) => Promise<CheckResult>;
  /** Whether it will converge, where that is worth measuring; never rejects. */
  readonly foresee: (migration: Migration, signal: AbortSignal) => Promise<Outlook | undefined>;
  /** Keeps figures of a transfer. */
  readonly sampled: (migration: Migration, sample: JobSample) => void;
  readonly inspected: (inspection: Inspection) => Promise<void>;
  /** Stores the migration; a finished one goes to the journal. Resolves when it is durable. */
  readonly store: (migration: Migration) => Promise<void>;
  /** Called after each change; `kept` tells a stored change from progress. */
  readonly changed: (migration: Migration, kept: boolean) => void;
  /** Reads the VM again on both hosts. */
  readonly refresh: (migration: Migration, signal: AbortSignal) => Promise<void>;
}

/** What must be remembered of instances beyond what libvirt says of them. */
export interface KeptInstances {
  /** A definition that is kept on purpose and is not the VM. */
  park(vm: VmUuid, hostId: string): Promise<void>;
  unpark(vm: VmUuid, hostId: string): Promise<void>;
  /** It arrived paused, with storage that makes a second move before a resume dangerous. */
  arrivedPaused(vm: VmUuid, hostId: string): Promise<void>;
}

export interface MigrationRunner {
  current(): Migration;
  dispatch(event: MigrationEvent): void;
  /** Limits from now on. Resolves when they are in force and stored. */
  tune(limits: TransferLimits & { readonly deadlineMs?: number; readonly quicklyFinish?: boolean }, signal: AbortSignal): Promise<Migration>;
  /** Rejects with FerryError `migration-not-transferring`, `post-copy-not-allowed`. */
  startPostCopy(signal: AbortSignal): Promise<Migration>;
  /** The guest is paused until it has arrived. Rejects with FerryError `migration-not-transferring`. */
  pause(): Promise<Migration>;
  stop(): Promise<void>;
}

export function runMigration(initial: Migration, deps: RunnerDeps): MigrationRunner {
  const { clock, log } = deps;
  const stopping = new AbortController();
  const { signal } = stopping;
  const waiting: MigrationEvent[] = [];
  let migration = initial;
  let draining: Promise<void> | undefined;
  let progressStoredAt = 0;
  let sampleKeptAt = 0;
  let sampling = false;
  let observation: { readonly dueAt: number; readonly cancel: AbortController } | undefined;

  const save = async (next: Migration): Promise<void> => {
    for (;;) {
      try {
        return await deps.store(next);
      } catch (error) {
        log.error({ err: error, migration: next.id }, 'the migration could not be stored; nothing is done until it is');
        await clock.sleep(storeRetryMs, signal);
      }
    }
  };

  const drain = async (): Promise<void> => {
    await Promise.resolve();
    for (let event = waiting.shift(); event !== undefined && !signal.aborted; event = waiting.shift()) {
      const now = clock.now();
      const { migration: next, effects } = step(migration, event, now);
      const onlyProgress = event.type === 'sampled';
      const changed = next !== migration && JSON.stringify(next) !== JSON.stringify(migration);
      if (event.type === 'sampled' && now - sampleKeptAt >= keepSampleEveryMs) {
        sampleKeptAt = now;
        deps.sampled(migration, event.sample);
      }
      if (changed && (!onlyProgress || next.decisions !== migration.decisions || now - progressStoredAt >= storeProgressEveryMs)) {
        await save(next);
        progressStoredAt = now;
      }
      const decided = next.decisions !== migration.decisions;
      migration = next;
      if (changed) deps.changed(migration, !onlyProgress || decided);
      for (const effect of effects) supervise(effect);
    }
    draining = undefined;
  };

  const dispatch = (event: MigrationEvent): void => {
    if (signal.aborted) return;
    waiting.push(event);
    draining ??= drain().catch((error: unknown) => {
      draining = undefined;
      if (!signal.aborted) log.error({ err: error, migration: migration.id }, 'migration step failed');
    });
  };

  const supervise = (effect: MigrationEffect): void => {
    void execute(effect).catch((error: unknown) => {
      if (!signal.aborted) log.error({ err: error, migration: migration.id, effect: effect.type }, 'effect failed');
    });
  };

  const source = (): HostLink => deps.linkOf(migration.from.id);
  const targetId = (): string => {
    if (migration.to === undefined) throw new Error('a migration past its checks has a target');
    return migration.to.id;
  };
  const target = (): HostLink => deps.linkOf(targetId());
  /** The domain that libvirt moves: the VM's own, or the helper with its disks. */
  const travelling = (): VmUuid => migration.plan?.helper?.uuid ?? migration.vm.uuid;
  const targetSide = (): StorageSide => ({ id: targetId(), name: migration.to?.name ?? '', storage: target().storage });
  const marker = () => ({ installation: deps.installation, migration: migration.id, epoch: 1 });
  const bounded = (): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(storageTimeoutMs)]);

  const look = async (hostId: string, uuid: VmUuid = travelling()): Promise<InstanceView> => {
    try {
      return await deps.linkOf(hostId).migration.observe(uuid, AbortSignal.any([signal, AbortSignal.timeout(observeTimeoutMs)]));
    } catch (error) {
      return { kind: 'unreachable', message: error instanceof Error ? error.message : String(error) };
    }
  };

  const observe = async (afterMs: number): Promise<void> => {
    const dueAt = clock.now() + afterMs;
    if (observation !== undefined && observation.dueAt <= dueAt) return;
    observation?.cancel.abort(new Error('an earlier look replaces this one'));
    const mine = { dueAt, cancel: new AbortController() };
    observation = mine;
    if (afterMs > 0) await clock.sleep(afterMs, AbortSignal.any([signal, mine.cancel.signal])).catch(() => undefined);
    if (observation !== mine || signal.aborted) return;
    observation = undefined;
    const [here, there] = await Promise.all([look(migration.from.id), look(targetId())]);
    dispatch({ type: 'observed', source: here, target: there });
  };

  const sampleRegularly = async (): Promise<void> => {
    if (sampling) return;
    sampling = true;
    const since = clock.now();
    while (!signal.aborted && ['transferring', 'switching', 'post-copy'].includes(migration.phase)) {
      try {
        const sample = await source().migration.sample(travelling(), AbortSignal.any([signal, AbortSignal.timeout(observeTimeoutMs)]));
        if (sample !== undefined) dispatch({ type: 'sampled', sample });
      } catch (error) {
        if (!signal.aborted) log.warn({ err: error, migration: migration.id }, 'no figures of the running job');
      }
      await clock.sleep(clock.now() - since < longTransferMs ? sampleEveryMs : 2 * sampleEveryMs, signal).catch(() => undefined);
    }
    sampling = false;
  };

  /** What libvirt is to give the target in place of what it would give by itself; undefined when nothing is to be other. */
  const definitionFor = async (): Promise<PerformRequest['definition']> => {
    const { plan } = migration;
    const { definitions } = source();
    if (plan?.helper !== undefined) {
      const moved = (plan.disks ?? []).filter(({ how }) => how === 'copy').flatMap(({ targetPath }, index): readonly (readonly [string, string])[] => (targetPath === undefined ? [] : [[helperTarget(index), targetPath]]));
      return moved.length === 0 ? undefined : { live: deps.rewriteDefinition(await definitions.readMigratable(plan.helper.uuid, signal), { disks: Object.fromEntries(moved) }) };
    }
    if (plan?.definition === undefined) return undefined;
    const live = rewritten(migration, await definitions.readMigratable(migration.vm.uuid, signal), deps);
    return plan.persistence === 'transient' || plan.persistence === 'temporary' ? { live } : { live, persistent: rewritten(migration, await definitions.read(migration.vm.uuid, signal), deps) };
  };

  const performRequest = async (): Promise<PerformRequest> => {
    const definition = await definitionFor();
    const { plan, request } = migration;
    const bandwidth = request.maxBandwidthMiBPerSecond ?? plan?.transfer?.bandwidthMiBPerSecond;
    const copied = (plan?.disks ?? []).filter(({ how }) => how === 'copy');
    const persistent = plan?.persistence !== 'transient' && plan?.helper === undefined;
    return {
      uuid: travelling(),
      destinationUri: deps.uriOf(targetId()),
      ...(bandwidth === undefined ? {} : { maxBandwidthMiBPerSecond: bandwidth }),
      ...(definition === undefined ? {} : { definition }),
      transfer: plan?.transfer ?? { mode: 'peer-to-peer', modeReason: 'as before' },
      live: plan?.live !== false && plan?.helper === undefined,
      persist: persistent && plan?.persistence !== 'temporary',
      undefineSource: persistent && plan?.persistence === 'permanent',
      copyDisks: plan?.helper === undefined ? copied.map((disk) => disk.target) : copied.map((_, index) => helperTarget(index)),
      topOnly: copied.some(({ volume }) => volume?.backing !== undefined),
    };
  };

  const context = (): MoveContext => ({ migration, deps, source, target, signal, bounded });

  const performDirect = async (): Promise<{ readonly failure?: CallFailure }> => {
    const request = await performRequest();
    return moveDirect({
      source: () => source().migration.openSide(request, 'source', signal),
      target: () => target().migration.openSide(request, 'target', signal),
      handingOver: async () => {
        dispatch({ type: 'handing-over' });
        await draining;
      },
      lookAtTarget: () => look(targetId()),
      keepsDefinition: migration.plan !== undefined && migration.plan.helper === undefined && keepsDefinition(migration.plan),
      sleep: (ms) => clock.sleep(ms, signal),
      log,
    });
  };

  const perform = async (): Promise<void> => {
    void sampleRegularly();
    let failure: CallFailure | undefined;
    try {
      failure = (await (migration.plan?.transfer?.mode === 'direct' ? performDirect() : source().migration.perform(await performRequest(), signal))).failure;
    } catch (error) {
      failure = { outcome: error instanceof FerryError ? 'refused' : 'unknown', message: error instanceof Error ? error.message : String(error) };
    }
    dispatch(failure === undefined ? { type: 'perform-ended' } : { type: 'perform-ended', failure });
  };

  /** What a policy or an operator has done about a running transfer; a host's no is told. */
  const measure = async (name: Extract<MigrationEvent, { type: 'measure-refused' }>['measure'], take: (within: AbortSignal) => Promise<void>): Promise<void> => {
    try {
      await take(AbortSignal.any([signal, AbortSignal.timeout(measureTimeoutMs)]));
    } catch (error) {
      if (!signal.aborted) dispatch({ type: 'measure-refused', measure: name, message: error instanceof Error ? error.message : String(error) });
    }
  };

  const switchToPostCopy = async (within: AbortSignal): Promise<void> => {
    await source().migration.startPostCopy(migration.vm.uuid, within);
    dispatch({ type: 'post-copy-started' });
  };

  const recover = async (): Promise<void> => {
    void sampleRegularly();
    let failure: CallFailure | undefined;
    try {
      failure = (await source().migration.recover(await performRequest(), signal)).failure;
    } catch (error) {
      failure = { outcome: 'unknown', message: error instanceof Error ? error.message : String(error) };
    }
    dispatch(failure === undefined ? { type: 'recover-ended' } : { type: 'recover-ended', failure });
  };

  const prepare = async (): Promise<void> => {
    try {
      const { plan } = migration;
      const foreseen = deps.foresee(migration, signal);
      if (bringsBelongings(migration)) await bringBelongings(migration, source(), target(), bounded());
      if (plan?.carriesSnapshots === true) await deps.snapshots.takeOff(migration, source(), bounded());
      const volumes = plan?.disks.some(({ how }) => how === 'copy') === true ? deps.volumes.make(migration, targetSide(), bounded()) : undefined;
      if (plan?.helper !== undefined) {
        const disks = plan.disks.filter(({ how }) => how === 'copy').map(({ path = '', format = 'raw', capacityBytes = 0, asFile }, index) => ({ target: helperTarget(index), path, format: asFile === true ? 'raw' : format, sizeBytes: capacityBytes }));
        const helper = source().definitions.startHelper({ ...plan.helper, disks }, marker(), bounded());
        // both end before anything is taken back
        const failed = (await Promise.allSettled([volumes, helper])).find((each) => each.status === 'rejected');
        if (failed !== undefined) throw failed.reason;
      } else await volumes;
      if (plan?.helper !== undefined) {
        // it is all there is to mark
      } else if (plan?.how !== 'definition' && plan?.how !== 'stored-definition') {
        await source().migration.mark(migration.vm.uuid, marker(), signal);
        if (plan?.live === true) await source().migration.tune(migration.vm.uuid, { maxDowntimeMs: budgetOf(migration) }, signal);
      }
      const outlook = await foreseen;
      if (outlook !== undefined) dispatch({ type: 'foretold', outlook });
      dispatch({ type: 'prepared' });
    } catch (error) {
      dispatch({ type: 'prepared', failure: { outcome: 'refused', message: error instanceof Error ? error.message : String(error) } });
    }
  };

  /** Repeated until both hosts answer: half a clean-up is no end. */
  const clean = async (): Promise<void> => {
    for (;;) {
      try {
        const event = await finishMove(context());
        await deps.refresh(migration, signal).catch((error: unknown) => log.warn({ err: error, migration: migration.id }, 'inventory not refreshed'));
        return dispatch(event);
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, migration: migration.id }, 'cleaning up goes on');
        await clock.sleep(cleanRetryMs, signal);
      }
    }
  };

  /** Tried for a while; what cannot be taken back stays recorded and is recognised later. Snapshots are not given up. */
  const undo = async (): Promise<void> => {
    for (let tries = 0; tries < 10 || migration.plan?.carriesSnapshots === true; tries += 1) {
      try {
        await takeBack(context());
        break;
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, migration: migration.id }, 'what was prepared cannot be taken back yet');
        await clock.sleep(cleanRetryMs, signal);
      }
    }
    await deps.refresh(migration, signal).catch((error: unknown) => log.warn({ err: error, migration: migration.id }, 'inventory not refreshed'));
    dispatch({ type: 'cleaned' });
  };

  const execute = async (effect: MigrationEffect): Promise<void> => {
    switch (effect.type) {
      case 'check':
        // it was just shut down by us: nobody may have told the inventory yet
        if (migration.evidence.poweredOffAt !== undefined) await deps.refresh(migration, signal).catch((error: unknown) => log.warn({ err: error, migration: migration.id }, 'inventory not refreshed'));
        return dispatch({ type: 'checked', result: await deps.check(migration, signal) });
      case 'prepare':
        return prepare();
      case 'perform':
        return perform();
      case 'observe':
        if (migration.adopted === true) void sampleRegularly();
        return observe(effect.afterMs);
      case 'abort-job':
        return source().migration.abortJob(travelling(), signal);
      case 'note-not-reached':
        return deps.notReached(migration.from.id, targetId(), effect.message);
      case 'tune':
        return measure('tune', (within) => source().migration.tune(travelling(), effect.limits, within));
      case 'post-copy':
        return measure('post-copy', switchToPostCopy);
      case 'pause-guest':
        return measure('pause-guest', (within) => source().migration.suspend(travelling(), within));
      case 'release-throttle':
        return measure('release-throttle', (within) => source().migration.releaseThrottle(travelling(), within));
      case 'recover':
        return recover();
      case 'release-target':
        return target().migration.resume(travelling(), signal);
      case 'shut-down-source':
        return source().migration.shutdown(travelling(), signal);
      case 'suspend-both':
        await Promise.allSettled([source(), target()].map((link) => link.migration.suspend(travelling(), bounded())));
        return undefined;
      case 'resume-source':
        return source().migration.resume(travelling(), signal);
      case 'remove-source-process':
        return source().migration.remove(travelling(), 'process', signal);
      case 'remove-target-process':
        return target().migration.remove(travelling(), 'process', signal);
      case 'clean':
        return clean();
      case 'undo':
        return undo();
    }
  };

  return {
    current: () => migration,
    dispatch,
    async tune(limits, within) {
      const { deadlineMs: _deadlineMs, quicklyFinish: _quicklyFinish, ...ofTransfer } = limits;
      if (Object.keys(ofTransfer).length > 0 && ['transferring', 'switching', 'post-copy'].includes(migration.phase)) await source().migration.tune(travelling(), ofTransfer, within);
      dispatch({ type: 'limits-changed', limits });
      await draining;
      return migration;
    },
    async startPostCopy(within) {
      if (migration.plan?.transfer?.postCopy !== true) throw new FerryError('post-copy-not-allowed', `Migration ${migration.id} was not started with post-copy allowed.`);
      if (migration.phase !== 'transferring') throw new FerryError('migration-not-transferring', `Migration ${migration.id} is not transferring memory but ${migration.phase}.`);
      await switchToPostCopy(within);
      await draining;
      return migration;
    },
    async pause() {
      if (migration.phase !== 'transferring' || migration.plan?.live !== true || migration.plan.how !== 'guest') throw new FerryError('migration-not-transferring', `Migration ${migration.id} has no running guest on its way: it is ${migration.phase}.`);
      dispatch({ type: 'pause-requested' });
      await draining;
      return migration;
    },
    stop: async () => {
      stopping.abort(new Error('the control plane stops'));
      await draining;
    },
  };
}

/** Device of the helper domain for the disk at this place; libvirt's names for the first 26 and beyond. */
const helperTarget = (index: number): string => `sd${index < 26 ? '' : String.fromCodePoint(96 + Math.floor(index / 26))}${String.fromCodePoint(97 + (index % 26))}`;
