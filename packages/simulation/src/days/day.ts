/**
 * A simulated day: the real engine and its stores over the simulated fleet, under one clock, through a list of commands
 * and faults. Everything heals in the end, and what Ferry then says must be what is true. It breaks off at the first
 * thing that must never be.
 */
import { FerryError, isFinished, vmUuid, type Migration, type VmUuid } from '@ferry/core';
import { memoryStores, startEngine, type Engine, type InventoryCache } from '@ferry/engine';
import { virtualClock } from '../clock.ts';
import { endDomain } from '../domains.ts';
import { keepaliveMs, type SimulatedHost } from '../fleet.ts';
import { simulatedHypervisor } from '../hypervisor.ts';
import { steadyLink, type Link } from '../link.ts';
import { createClaims } from './claims.ts';
import { dice } from './dice.ts';
import { portsOf, type InStore, type Life } from './life.ts';
import { dayMs, lineOf, type DayPlan, type Step } from './steps.ts';
import { isRunning, watchTruth } from './truth.ts';

const mib = 1_048_576;
/** By then every migration must have come to its end, and Ferry must know everything. */
const quietMs = 40 * 60_000;
/** Whatever starts services starts one again that did not come up. */
const startAgainMs = 5_000;

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
  const inStore: InStore = { fates: [], death: undefined, storeRefuses: false, storeLoses: undefined };
  const cuts = new Set<string>();
  let wordLost = false;
  const link: Link = steadyLink(plan.mibPerSecond * mib);
  const uuids = plan.guests.map(({ uuid }) => vmUuid(uuid));
  const nameOf = (uuid: VmUuid): string => plan.guests.find((each) => each.uuid === uuid)?.name ?? uuid;
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
      confirmMs() {
        if (!wordLost) return cast.between(5, 200);
        wordLost = false;
        note('the word that the guest runs is lost');
        return undefined;
      },
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
  const claims = createClaims({
    truth,
    now: () => clock.now(),
    undisturbedSince: () => (disturbing.size > 0 ? undefined : disturbedAt),
  });
  const shown = new Map<VmUuid, string>();
  const look = (): void => {
    truth.look();
    for (const uuid of uuids) {
      const places = truth.places(uuid).join(' ');
      if (shown.get(uuid) !== places) note(`  ${nameOf(uuid)} is ${places === '' ? 'nowhere' : places}`);
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
  const heard = (migration: Migration): void => {
    const { id, vm, phase, outcome, error, to, from, vmIsNow } = migration;
    if (phases.get(id) === phase) return;
    phases.set(id, phase);
    const where = vmIsNow === undefined ? '' : `, is ${vmIsNow.state} on ${vmIsNow.host}`;
    note(
      outcome === undefined
        ? `migration of ${vm.name} ${from.name} > ${to?.name ?? '?'}: ${phase}`
        : `migration of ${vm.name} ${outcome}${where}${error === undefined ? '' : `: ${error.code} ${error.message}`}`,
    );
    if (outcome !== undefined) claims.ended(migration);
  };

  const started = begin();
  await reachStart(() => engine !== undefined, clock);
  await started;
  for (const { name, uri } of fleet.hosts.values()) await engine?.addHost({ name, uri }, clock.timeout(60_000));
  await reachStart(() => (engine?.vms().length ?? 0) >= plan.guests.length, clock);
  const { name: _, version: __, changedAt: ___, ...usual } = engine?.policies.find('default') ?? fail();
  await engine?.policies.put('handover', { ...usual, singleCopy: 'handover' });
  const dayStartMs = clock.now();
  disturbedAt = dayStartMs;

  const hostOf = (name: string): SimulatedHost => fleet.hosts.get(name) ?? fail();
  const uuidOf = (name: string): VmUuid => vmUuid(plan.guests.find((each) => each.name === name)?.uuid ?? fail());
  /** A dead control plane never answers; undefined then. */
  const answerOf = async <T>(question: (engine: Engine) => Promise<T>): Promise<T | undefined> =>
    engine === undefined || !life.alive
      ? undefined
      : ((await Promise.race([question(engine), life.gone.promise])) ?? undefined);
  const activeOf = async (vm: string): Promise<Migration | undefined> =>
    (await answerOf((asked) => asked.migrations({ state: 'active' })))?.items.find((each) => each.vm.name === vm);
  /** Nobody waits for a command: a dead control plane never answers. */
  const asked = (what: string, promise: Promise<unknown> | undefined): void => {
    promise
      ?.then((answer) => {
        const isMigration = typeof answer === 'object' && answer !== null && 'phases' in answer;
        return isMigration ? claims.accepted(answer as Migration) : undefined;
      })
      .catch((error: unknown) => note(`${what}: ${textOf(error)}`));
  };
  const by = { actor: 'operator', client: 'simulation' };

  const loseConnections = async (host: SimulatedHost, still: () => boolean, afterMs: number): Promise<void> => {
    await clock.sleep(afterMs);
    if (still()) for (const lose of host.connections) lose(new Error('connection lost'));
  };

  const powerOff = (host: SimulatedHost): void => {
    host.powered = false;
    for (const job of fleet.world.jobs()) {
      if (job.from !== host && job.to !== host) continue;
      const { uuid } = job.domain;
      const other = job.from === host ? job.to : job.from;
      if (job.transfer.phase === 'post-copy') truth.harm(uuid, `${host.name} lost power in post-copy`);
      if (other.domains.get(uuid)?.reason !== undefined && job.transfer.phase !== 'post-copy' && job.from === host)
        truth.harm(uuid, `${host.name} lost power`);
      // a target that dies is noticed by the source, and the other way round
      if (job.unconfirmedSinceMs === undefined) fleet.world.endedIn(job);
    }
    for (const domain of host.domains.values()) {
      if (domain.state === 'shut-off') continue;
      truth.harm(domain.uuid, `${host.name} lost power`);
      if (domain.persistent) Object.assign(domain, { state: 'shut-off', reason: 'other' });
      else host.domains.delete(domain.uuid);
    }
    look();
  };
  const powerOn = (host: SimulatedHost): void => {
    host.powered = true;
    host.daemon = true;
    for (const domain of host.domains.values())
      if (domain.autostart && domain.state === 'shut-off')
        Object.assign(domain, { state: 'running', reason: 'booted' });
    look();
  };
  const daemonDies = (host: SimulatedHost): void => {
    host.daemon = false;
    for (const job of fleet.world.jobs()) {
      if ((job.from !== host && job.to !== host) || job.unconfirmedSinceMs !== undefined) continue;
      fleet.world.broke(job);
    }
    look();
  };

  const carryOut = async (step: Step): Promise<void> => {
    note(`> ${lineOf(step).replace(/^\S+ s /, '')}`);
    switch (step.do) {
      case 'migrate':
        return asked(
          'refused',
          engine?.startMigration(
            { vm: step.vm, ...(step.to === undefined ? {} : { to: step.to }), ...step.options },
            by,
          ),
        );
      case 'abort':
      case 'post-copy':
      case 'pause':
      case 'tune': {
        const migration = await activeOf(step.vm);
        if (migration === undefined || engine === undefined) return;
        const { id } = migration;
        const acts = {
          abort: () => engine?.abortMigration(id),
          'post-copy': () => engine?.startPostCopy(id),
          pause: () => engine?.pauseMigration(id),
          tune: () => engine?.tuneMigration(id, { maxBandwidthMiBPerSecond: cast.between(20, 200) }),
        } as const;
        return asked(`${step.do} refused`, acts[step.do]());
      }
      case 'cleanup':
        return asked('cleanup refused', engine?.settling.cleanup(step.vm, clock.timeout(60_000)));
      case 'guest-off':
      case 'guest-on': {
        const uuid = uuidOf(step.vm);
        const active = [...fleet.hosts.values()].filter(
          ({ domains }) => (domains.get(uuid)?.state ?? 'shut-off') !== 'shut-off',
        );
        const [host] = active;
        const domain = host?.domains.get(uuid);
        if (step.do !== 'guest-off' || host === undefined || domain === undefined || active.length > 1) return;
        if (!isRunning(domain) || fleet.world.jobOf(host, uuid) !== undefined) return;
        truth.harm(uuid, 'somebody shut it down');
        return endDomain(fleet.world, host, domain, domain.persistent);
      }
      case 'remove-host': {
        const host = engine?.hosts().find((each) => each.host.name === step.host);
        if (host === undefined) return;
        return disturb(
          step.forMs,
          () => {
            claims.forgot(step.host);
            asked('remove-host refused', engine?.removeHost(host.host.id));
          },
          () => addAgain(step.host),
        );
      }
      case 'power-cut': {
        const host = hostOf(step.host);
        if (!host.powered) return;
        void loseConnections(host, () => !host.powered, cast.chance(0.5) ? 0 : keepaliveMs);
        return disturb(
          step.forMs,
          () => powerOff(host),
          () => powerOn(host),
        );
      }
      case 'daemon-dies': {
        const host = hostOf(step.host);
        if (!host.powered || !host.daemon) return;
        void loseConnections(host, () => true, 0);
        return disturb(
          step.forMs,
          () => daemonDies(host),
          () => void (host.daemon = true),
        );
      }
      case 'cut-off': {
        const host = hostOf(step.host);
        if (!host.reachable) return;
        void loseConnections(host, () => !host.reachable, keepaliveMs);
        return disturb(
          step.forMs,
          () => void (host.reachable = false),
          () => void (host.reachable = true),
        );
      }
      case 'disk-full': {
        const host = hostOf(step.host);
        return disturb(
          step.forMs,
          () => void (host.full = true),
          () => void (host.full = false),
        );
      }
      case 'link-cut': {
        const ways = [`${step.from}>${step.to}`, ...(step.bothWays ? [`${step.to}>${step.from}`] : [])];
        for (const way of ways) cuts.add(way);
        await clock.sleep(step.forMs);
        for (const way of ways) cuts.delete(way);
        return;
      }
      case 'call-meets':
        disturbedAt = clock.now();
        inStore.fates.push({ host: step.host, fate: step.fate, calls: step.calls });
        return;
      case 'word-lost':
        wordLost = true;
        return;
      case 'store-refuses':
        return disturb(
          step.forMs,
          () => void (inStore.storeRefuses = true),
          () => void (inStore.storeRefuses = false),
        );
      case 'store-loses':
        inStore.storeLoses = step.fate;
        return;
      case 'kill':
        if (!life.alive) return;
        inStore.death = { calls: step.calls, after: step.after };
        return disturb(
          step.forMs,
          () => {},
          async () => {
            // one that had nothing to do dies all the same
            kill(life);
            inStore.death = undefined;
            await begin();
          },
        );
    }
  };
  const addAgain = async (name: string): Promise<void> => {
    for (let tries = 0; tries < 20; tries += 1) {
      if (engine?.hosts().some((each) => each.host.name === name) === true) return;
      await answerOf((asked) => asked.addHost({ name, uri: hostOf(name).uri }, clock.timeout(20_000))).catch(
        () => undefined,
      );
      await clock.sleep(1_000);
    }
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
    wordLost = false;
    for (const host of fleet.hosts.values())
      if (engine?.hosts().every((each) => each.host.name !== host.name) === true) await addAgain(host.name);
    const lastMs = clock.now() + quietMs;
    note('everything is healed');
    const isQuiet = async (): Promise<boolean> =>
      (await answerOf((asked) => asked.migrations({ state: 'active' })))?.items.length === 0;
    // a command that is still being planned is no migration yet: quiet is what stays quiet
    for (let quietSince = clock.now(); clock.now() - quietSince < 60_000 && clock.now() < lastMs && !isBroken();) {
      await clock.sleep(5_000);
      check();
      if (!(await isQuiet())) quietSince = clock.now();
    }
    const all = (await answerOf((asked) => asked.migrations({ limit: 1_000 })))?.items ?? [];
    migrations = all.length;
    for (const migration of all.filter((each) => !isFinished(each) && !truth.keepsBothHalves(each.vm.uuid)))
      claims.say(`the migration of ${migration.vm.name} never ends: ${migration.phase}, ${migration.attention ?? ''}`);
    if (engine === undefined || !life.alive) claims.say('Ferry does not run, and nothing keeps it from that');
    else if (!isBroken()) await claims.atTheEnd(engine, fleet.hosts, plan.guests, all);
  }
  life.alive = false;
  return {
    broken: [...truth.broken, ...claims.broken],
    log: [...log, ...[...truth.broken, ...claims.broken].map((each) => `!! ${each}`)],
    migrations,
  };
}

const textOf = (error: unknown): string =>
  error instanceof FerryError ? `${error.code} ${error.message}` : String(error);

async function reachStart(there: () => boolean, clock: { sleep(ms: number): Promise<void> }): Promise<void> {
  for (let tries = 0; tries < 3_000 && !there(); tries += 1) await clock.sleep(10);
  if (!there()) throw new Error('the day does not begin: Ferry does not see its fleet');
}

const fail = (): never => {
  throw new FerryError('request-invalid', 'The day names what is not there.');
};
