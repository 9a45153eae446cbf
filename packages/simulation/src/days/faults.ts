/** What goes wrong on a simulated day: with hosts, links, calls, the store and the control plane. */
import { keepaliveMs, type SimulatedHost } from '../fleet.ts';
import type { Deed } from './steps.ts';
import type { DayWorld } from './world.ts';

export type Fault = Extract<
  Deed,
  {
    readonly do:
      | 'power-cut'
      | 'daemon-dies'
      | 'cut-off'
      | 'disk-full'
      | 'link-cut'
      | 'call-meets'
      | 'word-lost'
      | 'store-refuses'
      | 'store-loses'
      | 'kill';
  }
>;

export function faultsOf(world: DayWorld): (fault: Fault) => Promise<void> {
  const { clock, dice, fleet, truth, inStore, cuts, look, disturb } = world;

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

  return async (fault) => {
    switch (fault.do) {
      case 'power-cut': {
        const host = world.host(fault.host);
        if (!host.powered) return;
        void loseConnections(host, () => !host.powered, dice.chance(0.5) ? 0 : keepaliveMs);
        return disturb(
          fault.forMs,
          () => powerOff(host),
          () => powerOn(host),
        );
      }
      case 'daemon-dies': {
        const host = world.host(fault.host);
        if (!host.powered || !host.daemon) return;
        void loseConnections(host, () => true, 0);
        return disturb(
          fault.forMs,
          () => daemonDies(host),
          () => void (host.daemon = true),
        );
      }
      case 'cut-off': {
        const host = world.host(fault.host);
        if (!host.reachable) return;
        void loseConnections(host, () => !host.reachable, keepaliveMs);
        return disturb(
          fault.forMs,
          () => void (host.reachable = false),
          () => void (host.reachable = true),
        );
      }
      case 'disk-full': {
        const host = world.host(fault.host);
        return disturb(
          fault.forMs,
          () => void (host.full = true),
          () => void (host.full = false),
        );
      }
      case 'link-cut': {
        const ways = [`${fault.from}>${fault.to}`, ...(fault.bothWays ? [`${fault.to}>${fault.from}`] : [])];
        for (const way of ways) cuts.add(way);
        await clock.sleep(fault.forMs);
        for (const way of ways) cuts.delete(way);
        return;
      }
      case 'call-meets':
        void disturb(
          0,
          () => void inStore.fates.push({ host: fault.host, fate: fault.fate, calls: fault.calls }),
          () => {},
        );
        return;
      case 'word-lost':
        return world.loseNextWord(fault.vm);
      case 'store-refuses':
        return disturb(
          fault.forMs,
          () => void (inStore.storeRefuses = true),
          () => void (inStore.storeRefuses = false),
        );
      case 'store-loses':
        inStore.storeLoses = fault.fate;
        return;
      case 'kill':
        if (!world.isAlive()) return;
        inStore.death = { calls: fault.calls, after: fault.after };
        return disturb(
          fault.forMs,
          () => {},
          async () => {
            // one that had nothing to do dies all the same
            world.kill();
            inStore.death = undefined;
            await world.start();
          },
        );
    }
  };
}
