/**
 * A simulated day: the real engine and its stores over the simulated fleet, under one clock, through a list of commands
 * and faults. Everything heals in the end, and what Ferry then says must be what is true. It breaks off at the first
 * thing that must never be.
 */
import {
  FerryError,
  hasEnded,
  isFinished,
  vmUuid,
  type Migration,
  type MigrationPhase,
  type VmUuid,
} from '@ferry/core';
import { memoryStores, startEngine, type Engine, type InventoryCache } from '@ferry/engine';
import { virtualClock } from '../clock.ts';
import type { SimulatedHost } from '../fleet.ts';
import { simulatedHypervisor } from '../hypervisor.ts';
import { steadyLink, type Link } from '../link.ts';
import { actsOf } from './acts.ts';
import { createClaims } from './claims.ts';
import { dice } from './dice.ts';
import { claimsOfDrains } from './drain-claims.ts';
import { faultsOf, type Fault } from './faults.ts';
import { portsOf, type InStore, type Life } from './life.ts';
import { watchLoad } from './load.ts';
import { dayMs, lineOf, type DayPlan, type Step } from './steps.ts';
import { watchTruth } from './truth.ts';
import type { DayWorld } from './world.ts';

const mib = 1_048_576;
/** By then every migration must have come to its end, and Ferry must know everything. */
const quietMs = 40 * 60_000;
/** Whatever starts services starts one again that did not come up. */
const startAgainMs = 5_000;
/** A step that waits for a phase waits no longer. */
const phaseWaitMs = 90_000;
/** Of core; see planning/slots.ts. */
const usualLimits = { outgoing: 8, incoming: 8 };

export interface Day {
  /** What must never be; empty on a good day. */
  readonly broken: readonly string[];
  /** Everything that happened. */
  readonly log: readonly string[];
  readonly migrations: number;
}

export async function liveDay(plan: DayPlan, seed: number): Promise<Day> {
  using clock = virtualClock({ seed });
  const startMs = clock.now();
  const cast = dice(seed ^ 0x5eed);
  const log: string[] = [];
  const note = (text: string): void =>
    void log.push(`${((clock.now() - startMs) / 1_000).toFixed(1).padStart(7)} ${text}`);
  const inStore: InStore = {
    fates: [],
    death: undefined,
    unheard: false,
    storeRefuses: false,
    storeLoses: undefined,
  };
  const cuts = new Set<string>();
  /** Words that will be lost: of a VM, or of any (`*`). */
  const wordsLost = new Set<string>();
  const link: Link = steadyLink(plan.mibPerSecond * mib);
  const guests = [...plan.guests, ...(plan.later ?? [])];
  const uuids = guests.map(({ uuid }) => vmUuid(uuid));
  const nameOf = (uuid: VmUuid): string => guests.find((each) => each.uuid === uuid)?.name ?? uuid;
  const truth = watchTruth(
    uuids,
    () => fleet.world,
    () => clock.now(),
    nameOf,
  );
  const fleet = simulatedHypervisor({
    clock,
    hosts: plan.hosts,
    guests: plan.guests,
    links: () => link,
    nature: {
      carries: (from, to) => !cuts.has(`${from.name}>${to.name}`),
      confirmMs({ domain: { name } }) {
        if (!wordsLost.delete(name) && !wordsLost.delete('*')) return cast.between(5, 200);
        note('the word that the guest runs is lost');
        return undefined;
      },
      began: (job) => load.began(job, inStore.unheard),
      copied: truth.nature.copied,
      resumedItself(job) {
        note(`${job.domain.name} runs again on ${job.from.name}: libvirt heard nothing from ${job.to.name}`);
        truth.nature.resumedItself(job);
        const since = disturbing.size > 0 ? undefined : disturbedAt;
        const hadMs = clock.now() - (job.unconfirmedSinceMs ?? 0) - startMs;
        if (truth.twiceByItself(job.domain.uuid) && since !== undefined && clock.now() - since > hadMs + 45_000)
          claims.say(
            `${job.domain.name} runs twice, and Ferry had ${Math.round(hadMs / 1_000)} s to end the stale source`,
          );
      },
      changed: () => look(),
    },
  });
  const reports = new Map<string, Parameters<InventoryCache['save']>[1]>();
  const remembered: Pick<InventoryCache, 'save' | 'load' | 'remove'> = {
    save: async (host, report) => void reports.set(host, report),
    load: async () => new Map(reports),
    remove: async (host) => void reports.delete(host),
  };
  const inMemory = memoryStores({
    clock,
    beforeCommit: () => {
      const lost = inStore.storeLoses;
      inStore.storeLoses = undefined;
      if (lost !== undefined) note(`the store: ${lost}`);
      return lost;
    },
  });
  const stores = { ...inMemory, inventory: { ...inMemory.inventory, ...remembered } };

  /** When something last kept Ferry from seeing or acting, and what does so now. */
  let disturbedAt = startMs;
  const disturbing = new Set<object>();
  const disturb = async (forMs: number, begin: () => void, end: () => void | Promise<void>): Promise<void> => {
    const it = {};
    disturbing.add(it);
    disturbedAt = clock.now();
    begin();
    await clock.sleep(forMs);
    await end();
    disturbing.delete(it);
    disturbedAt = clock.now();
  };

  let life: Life = { alive: false, gone: Promise.withResolvers() };
  let engine: Engine | undefined;
  const undisturbedSince = (): number | undefined => (disturbing.size > 0 ? undefined : disturbedAt);
  const claims = createClaims({
    truth,
    now: () => clock.now(),
    undisturbedSince,
    isKnown: (name) => engine?.hosts().some(({ host }) => host.name === name) === true,
  });
  const load = watchLoad({
    world: () => fleet.world,
    limits: plan.limits ?? usualLimits,
    now: () => clock.now(),
    say: claims.say,
  });
  const drains = claimsOfDrains({
    truth,
    hosts: () => fleet.hosts,
    since: claims.since,
    note,
    say: claims.say,
  });
  const shown = new Map<VmUuid, string>();
  const look = (): void => {
    truth.look();
    load.look();
    for (const uuid of uuids) {
      const places = truth.places(uuid).join(' ');
      if ((shown.get(uuid) ?? '') !== places) note(`  ${nameOf(uuid)} is ${places === '' ? 'nowhere' : places}`);
      shown.set(uuid, places);
    }
  };

  /** Its connections end with it. */
  const kill = (killed: Life): void => {
    if (!killed.alive) return;
    killed.alive = false;
    killed.gone.resolve();
    inStore.death = undefined;
    note('Ferry is killed');
    for (const host of fleet.hosts.values())
      for (const lose of host.connections) lose(new Error('the control plane is gone'));
  };
  const begin = async (): Promise<void> => {
    life = { alive: true, gone: Promise.withResolvers() };
    const mine = life;
    engine = undefined;
    const ports = portsOf(mine, {
      fleet,
      stores,
      clock,
      dice: cast,
      inStore,
      note,
      asked: (host, call, [uuid]) => load.asked(host, call, uuid),
      happened: look,
      die: () => kill(mine),
    });
    try {
      // one that is killed while it starts never answers
      const started = await Promise.race([startEngine(ports), mine.gone.promise]);
      if (started === undefined) return;
      engine = started;
      note('Ferry has started');
      const never = new AbortController().signal;
      void (async () => {
        for await (const { event } of started.events(undefined, never)) {
          if (!mine.alive) return;
          if (event.type === 'alarm') {
            note(`Ferry raises ${event.code} of ${event.vm}: ${event.message}`);
            claims.raised(event.vm);
          }
          if (event.type === 'migration') heard(event.migration);
          if (event.type === 'batch') drains.batch(event.batch);
        }
      })().catch((error: unknown) => note(`no more events: ${String(error)}`));
    } catch (error) {
      note(`Ferry does not start: ${error instanceof Error ? error.message : String(error)}`);
      mine.alive = false;
      await clock.sleep(startAgainMs);
      if (life === mine) await begin();
    }
  };
  const phases = new Map<string, string>();
  const waiting = new Set<(migration: Migration) => void>();
  const heard = (migration: Migration): void => {
    const { id, vm, phase, outcome, error, to, from, vmIsNow } = migration;
    load.heard(migration);
    if (phases.get(id) === phase) return;
    if (!phases.has(id)) drains.began(migration);
    phases.set(id, phase);
    const where = vmIsNow === undefined ? '' : `, is ${vmIsNow.state} on ${vmIsNow.host}`;
    note(
      outcome === undefined
        ? `migration of ${vm.name} ${from.name} > ${to?.name ?? '?'}: ${phase}`
        : `migration of ${vm.name} ${outcome}${where}${error === undefined ? '' : `: ${error.code} ${error.message}`}`,
    );
    if (outcome !== undefined) claims.ended(migration);
    for (const tell of waiting) tell(migration);
  };
  const comesTo = async (phase: MigrationPhase, vm: string | undefined): Promise<boolean> => {
    const come = Promise.withResolvers<true>();
    const tell = (migration: Migration): void => {
      if (migration.phase === phase && (vm === undefined || migration.vm.name === vm)) come.resolve(true);
    };
    waiting.add(tell);
    const came = await Promise.race([come.promise, clock.sleep(phaseWaitMs)]);
    waiting.delete(tell);
    return came === true;
  };

  const started = begin();
  await reachStart(() => engine !== undefined, clock);
  await started;
  for (const { name, uri } of fleet.hosts.values()) await engine?.addHost({ name, uri }, clock.timeout(60_000));
  await reachStart(() => (engine?.vms().length ?? 0) >= plan.guests.length, clock);
  const { name: _, version: __, changedAt: ___, ...usual } = engine?.policies.find('default') ?? fail();
  await engine?.policies.put('handover', { ...usual, singleCopy: 'handover' });
  if (plan.limits !== undefined) {
    const { outgoing: maxOutgoingPerHost, incoming: maxIncomingPerHost } = plan.limits;
    await engine?.changeCluster('default', (before) => ({ ...before, maxOutgoingPerHost, maxIncomingPerHost }));
  }
  for (const [vm, way] of Object.entries(plan.ways ?? {}))
    if (plan.guests.some(({ name }) => name === vm))
      await engine?.labelVm(vm, { add: [`ferry.maintenance=${way}`], remove: [] });
  const dayStartMs = clock.now();
  disturbedAt = dayStartMs;

  /** A dead control plane never answers; undefined then. */
  const answerOf = async <T>(question: (engine: Engine) => Promise<T>): Promise<T | undefined> =>
    engine === undefined || !life.alive
      ? undefined
      : ((await Promise.race([question(engine), life.gone.promise])) ?? undefined);
  const world: DayWorld = {
    plan,
    clock,
    dice: cast,
    fleet,
    truth,
    load,
    claims,
    inStore,
    cuts,
    note,
    look,
    disturb,
    loseNextWord: (vm = '*') => void wordsLost.add(vm),
    kill: () => kill(life),
    start: begin,
    isAlive: () => life.alive,
    engine: () => engine,
    answerOf,
    comesTo,
    activeOf: async (vm) =>
      (await answerOf((asked) => asked.migrations({ state: 'active' })))?.items.find((each) => each.vm.name === vm),
    host: (name): SimulatedHost => fleet.hosts.get(name) ?? fail(),
    uuidOf: (name) => vmUuid(guests.find((each) => each.name === name)?.uuid ?? fail()),
  };
  const acts = actsOf(world);
  const goesWrong = faultsOf(world);
  const carryOut = async (step: Step): Promise<void> => {
    const { when } = step;
    if (when !== undefined) {
      if (!(await comesTo(when.phase, when.vm))) return;
      if (when.afterMs !== undefined) await clock.sleep(when.afterMs);
    }
    note(`> ${lineOf(step).replace(/^\S+ s /, '')}`);
    return isFault(step) ? goesWrong(step) : acts.carryOut(step);
  };

  const doing: Promise<void>[] = [];
  const check = (): void => {
    look();
    if (engine !== undefined && life.alive) claims.see(engine.vms(), (id) => engine?.hostNameOf(id) ?? id);
  };
  const isBroken = (): boolean => truth.broken.length > 0 || claims.broken.length > 0;
  for (const step of plan.steps) {
    while (clock.now() < dayStartMs + step.atMs && !isBroken()) {
      await clock.sleep(Math.min(5_000, dayStartMs + step.atMs - clock.now()));
      check();
    }
    if (isBroken()) break;
    doing.push(carryOut(step));
  }
  while (clock.now() < dayStartMs + dayMs && !isBroken()) {
    await clock.sleep(5_000);
    check();
  }
  let migrations = 0;
  if (!isBroken()) {
    const over = await Promise.race([Promise.all(doing), clock.sleep(quietMs)]);
    if (over === undefined) claims.say('a step of the day never ends');
    inStore.fates.length = 0;
    wordsLost.clear();
    for (const host of fleet.hosts.values())
      if (engine?.hosts().every((each) => each.host.name !== host.name) === true) await acts.addAgain(host.name);
    const lastMs = clock.now() + quietMs;
    note('everything is healed');
    const isQuiet = async (): Promise<boolean> =>
      engine?.batches.all().every(hasEnded) === true &&
      (await answerOf((asked) => asked.migrations({ state: 'active' })))?.items.length === 0;
    // a command that is still being planned is no migration yet: quiet is what stays quiet
    for (let quietSince = clock.now(); clock.now() - quietSince < 60_000 && clock.now() < lastMs && !isBroken();) {
      await clock.sleep(5_000);
      check();
      if (!(await isQuiet())) quietSince = clock.now();
    }
    const all = (await answerOf((asked) => asked.migrations({ limit: 1_000 })))?.items ?? [];
    migrations = all.length;
    for (const migration of all.filter((each) => !isFinished(each)))
      claims.say(`the migration of ${migration.vm.name} never ends: ${migration.phase}, ${migration.attention ?? ''}`);
    if (engine === undefined || !life.alive) claims.say('Ferry does not run, and nothing keeps it from that');
    else if (!isBroken()) {
      drains.atTheEnd(
        engine.batches.all(),
        engine.hosts().map(({ host: { name, service } }) => ({ name, state: service?.state ?? 'schedulable' })),
      );
      await claims.atTheEnd(engine, {
        hosts: fleet.hosts,
        guests: plan.guests,
        migrations: all,
        wasShutDown: drains.wasShutDown,
        isStopped: drains.isStopped,
      });
    }
  }
  life.alive = false;
  return {
    broken: [...truth.broken, ...claims.broken],
    log: [...log, ...[...truth.broken, ...claims.broken].map((each) => `!! ${each}`)],
    migrations,
  };
}

async function reachStart(there: () => boolean, clock: { sleep(ms: number): Promise<void> }): Promise<void> {
  for (let tries = 0; tries < 3_000 && !there(); tries += 1) await clock.sleep(10);
  if (!there()) throw new Error('the day does not begin: Ferry does not see its fleet');
}

const faults: ReadonlySet<string> = new Set<Fault['do']>([
  'power-cut',
  'daemon-dies',
  'cut-off',
  'disk-full',
  'link-cut',
  'call-meets',
  'word-lost',
  'store-refuses',
  'store-loses',
  'kill',
]);
const isFault = (step: Step): step is Fault & Step => faults.has(step.do);

const fail = (): never => {
  throw new FerryError('request-invalid', 'The day names what is not there.');
};
