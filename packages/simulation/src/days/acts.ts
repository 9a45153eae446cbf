/** What people do on a simulated day: operators by Ferry, and others who know nothing of it. */
import { FerryError, hasEnded, type Batch, type Migration } from '@ferry/core';
import type { Engine } from '@ferry/engine';
import { endDomain, isActive } from '../domains.ts';
import { createDomain, type SimulatedHost } from '../fleet.ts';
import { folderOf } from '../storage.ts';
import { abort } from '../transfer.ts';
import type { Fault } from './faults.ts';
import type { Deed } from './steps.ts';
import { isRunning } from './truth.ts';
import type { DayWorld } from './world.ts';

export type Act = Exclude<Deed, Fault>;

const by = { actor: 'operator', client: 'simulation' };
const patienceMs = 60_000;
/** A move by hand that has not ended by then is aborted. */
const byHandMs = 60_000;

const textOf = (error: unknown): string =>
  error instanceof FerryError ? `${error.code} ${error.message}` : String(error);

export interface Acts {
  carryOut(act: Act): Promise<void>;
  /** Tries to add the host again until Ferry has it. */
  addAgain(host: string): Promise<void>;
}

export function actsOf(world: DayWorld): Acts {
  const { clock, dice, fleet, truth, load, claims, inStore, plan, note, look, disturb, engine, answerOf } = world;

  /** Nobody waits for a command: a dead control plane never answers. */
  const asked = (what: string, promise: Promise<unknown> | undefined): void => {
    promise
      ?.then((answer) => {
        const isMigration = typeof answer === 'object' && answer !== null && 'phases' in answer;
        return isMigration ? claims.accepted(answer as Migration) : undefined;
      })
      .catch((error: unknown) => note(`${what}: ${textOf(error)}`));
  };
  const batchOf = (host: string, is: (batch: Batch) => boolean): Batch | undefined =>
    engine()
      ?.batches.all()
      .find((batch) => is(batch) && batch.hosts.some(({ name }) => name === host));
  const withBatch = (
    batch: Batch | undefined,
    ask: (batches: Engine['batches'], id: string) => Promise<unknown>,
  ): void => {
    const batches = engine()?.batches;
    if (batch !== undefined && batches !== undefined) asked(`${batch.name} refused`, ask(batches, batch.id));
  };

  /** Where its domain is, powered on: one that runs or is paused before definitions. */
  const placesOf = (vm: string): readonly SimulatedHost[] => {
    const uuid = world.uuidOf(vm);
    const all = [...fleet.hosts.values()].filter(
      ({ powered, daemon, domains }) => powered && daemon && domains.has(uuid),
    );
    const active = all.filter(({ domains }) => {
      const domain = domains.get(uuid);
      return domain !== undefined && isActive(domain);
    });
    return active.length > 0 ? active : all;
  };
  const onlyPlaceOf = (vm: string) => {
    const [host, ...more] = placesOf(vm);
    const domain = host?.domains.get(world.uuidOf(vm));
    const isElsewhere = [...fleet.hosts.values()].some(
      (each) => each !== host && (each.domains.get(world.uuidOf(vm))?.state ?? 'shut-off') !== 'shut-off',
    );
    return host === undefined || domain === undefined || more.length > 0 || isElsewhere ? undefined : { host, domain };
  };

  const guestOff = (vm: string): void => {
    const { host, domain } = onlyPlaceOf(vm) ?? {};
    if (host === undefined || domain === undefined) return;
    if (!isRunning(domain) || fleet.world.jobOf(host, domain.uuid) !== undefined) return;
    truth.harm(domain.uuid, 'somebody shut it down');
    endDomain(fleet.world, host, domain, domain.persistent);
  };
  /** Only where it is certain which definition is the VM, and QEMU would get its disks. */
  const guestOn = (vm: string): void => {
    const { host, domain } = onlyPlaceOf(vm) ?? {};
    if (host === undefined || domain === undefined || isActive(domain)) return;
    const defined = [...fleet.hosts.values()].filter(({ domains }) => domains.has(domain.uuid));
    const paths = new Set(domain.disks.map(({ path }) => path));
    const isHeld = [...host.domains.values()].some(
      (each) => isActive(each) && each.disks.some(({ path }) => paths.has(path)),
    );
    const isThere = [...paths].every((path) => host.volumes.has(path));
    if (defined.length > 1 || isHeld || !isThere || !load.fits(host, domain.memory.totalBytes)) return;
    load.crowded(host);
    truth.started(domain.uuid);
    Object.assign(domain, { state: 'running', reason: 'booted' });
    fleet.world.tell(host, domain.uuid);
  };
  const guestMade = (vm: string): void => {
    const guest = plan.later?.find(({ name }) => name === vm);
    if (guest === undefined) return;
    const host = world.host(guest.host);
    if (!host.powered || !load.fits(host, guest.memory.totalBytes) || placesOf(vm).length > 0) return;
    load.crowded(host);
    claims.made(guest);
    fleet.run(host.name, createDomain(guest));
  };
  const guestDeleted = (vm: string): void => {
    const { host, domain } = onlyPlaceOf(vm) ?? {};
    if (host === undefined || domain === undefined || fleet.world.jobOf(host, domain.uuid) !== undefined) return;
    truth.harm(domain.uuid, 'somebody deleted it');
    endDomain(fleet.world, host, domain, false);
  };
  const movedByHand = (vm: string, name: string): void => {
    const { host, domain } = onlyPlaceOf(vm) ?? {};
    const to = world.host(name);
    if (host === undefined || domain === undefined || host === to || !isRunning(domain)) return;
    const isTied =
      domain.snapshots.length > 0 || domain.disks.some(({ path }) => !to.sharedFolders.includes(folderOf(path)));
    const isBusy = fleet.world.jobOf(host, domain.uuid) !== undefined || to.domains.has(domain.uuid);
    if (isTied || isBusy || !fleet.world.reaches(host, to) || !load.fits(to, domain.memory.totalBytes)) return;
    load.crowded(to);
    inStore.unheard = true;
    const job = fleet.world.begin(
      {
        uuid: domain.uuid,
        destinationUri: to.uri,
        transfer: { mode: 'peer-to-peer', modeReason: '' },
        live: true,
        persist: true,
        undefineSource: true,
        copyDisks: [],
        topOnly: false,
      },
      host,
      to,
    );
    inStore.unheard = false;
    void clock.sleep(byHandMs).then(() => fleet.world.steer(job, abort));
  };

  const addAgain = async (name: string): Promise<void> => {
    for (let tries = 0; tries < 20; tries += 1) {
      if (
        engine()
          ?.hosts()
          .some((each) => each.host.name === name) === true
      )
        return;
      await answerOf((one) => one.addHost({ name, uri: world.host(name).uri }, clock.timeout(20_000))).catch(
        () => undefined,
      );
      await clock.sleep(1_000);
    }
  };

  const carryOut = async (act: Act): Promise<void> => {
    switch (act.do) {
      case 'migrate': {
        const to = act.to === undefined ? {} : { to: act.to };
        return asked('refused', engine()?.startMigration({ vm: act.vm, ...to, ...act.options }, by));
      }
      case 'abort':
      case 'post-copy':
      case 'pause':
      case 'tune': {
        const migration = await world.activeOf(act.vm);
        if (migration === undefined || engine() === undefined) return;
        const { id } = migration;
        const ways = {
          abort: () => engine()?.abortMigration(id),
          'post-copy': () => engine()?.startPostCopy(id),
          pause: () => engine()?.pauseMigration(id),
          tune: () => engine()?.tuneMigration(id, { maxBandwidthMiBPerSecond: dice.between(20, 200) }),
        } as const;
        return asked(`${act.do} refused`, ways[act.do]());
      }
      case 'cleanup':
        return asked('cleanup refused', engine()?.settling.cleanup(act.vm, clock.timeout(patienceMs)));
      case 'guest-off':
        return guestOff(act.vm);
      case 'guest-on':
        return guestOn(act.vm);
      case 'guest-made':
        return guestMade(act.vm);
      case 'guest-deleted':
        return guestDeleted(act.vm);
      case 'moved-by-hand':
        return movedByHand(act.vm, act.to);
      case 'drain': {
        const deadline = act.deadlineMs === undefined ? {} : { deadlineAt: clock.now() + act.deadlineMs };
        return asked('drain refused', engine()?.batches.drain({ hosts: act.hosts, force: false, ...deadline }, by));
      }
      case 'cancel-drain':
        return withBatch(
          batchOf(act.host, (batch) => !hasEnded(batch)),
          (batches, id) => batches.cancel(id, act.abort),
        );
      case 'retry-drain':
        return withBatch(batchOf(act.host, hasEnded), (batches, id) => batches.retry(id));
      case 'restore':
        return asked('restore refused', engine()?.batches.restore(act.host, by));
      case 'cordon':
        return asked('cordon refused', engine()?.cordonHosts([act.host]));
      case 'uncordon':
        return asked('uncordon refused', engine()?.uncordonHosts([act.host]));
      case 'remove-host': {
        const host = engine()
          ?.hosts()
          .find((each) => each.host.name === act.host);
        if (host === undefined) return;
        return disturb(
          act.forMs,
          () => asked('remove-host refused', engine()?.removeHost(host.host.id)),
          () => addAgain(act.host),
        );
      }
    }
  };
  return {
    async carryOut(act) {
      await carryOut(act);
      look();
    },
    addAgain,
  };
}
