/**
 * What no host and no VM may bear, from the hosts' own view: more migrations at once than the limits say, more guests
 * than there is memory, a half that is ended or let run at the wrong moment. It knows the world, and of Ferry only
 * which migrations have not ended.
 */
import { isFinished, vmUuid, type Migration } from '@ferry/core';
import type { Job, SimulatedHost, SimulatedWorld } from '../fleet.ts';
import { isActive } from '../domains.ts';
import { isOver } from '../transfer.ts';

/** A host that somebody else has put a guest on may have more than fits, for this time. */
const crowdedMs = 10 * 60_000;

export interface Load {
  /** A migration has begun. `unheard`: not by Ferry, or by a call of Ferry's that nobody waits for any more. */
  began(job: Job, unheard: boolean): void;
  /** Ferry asks a host for this. */
  asked(host: SimulatedHost, call: string, uuid: unknown): void;
  heard(migration: Migration): void;
  /** Somebody other than Ferry puts a guest on this host, or moves one to it. */
  crowded(host: SimulatedHost): void;
  /** A guest of this size fits beside the others. */
  fits(host: SimulatedHost, bytes: number): boolean;
  look(): void;
}

export function watchLoad({
  world,
  limits,
  now,
  say,
}: {
  readonly world: () => SimulatedWorld;
  readonly limits: { readonly outgoing: number; readonly incoming: number };
  readonly now: () => number;
  readonly say: (what: string) => void;
}): Load {
  /** UUIDs that migrations which have not ended move: of the VM, and of the helper that has its disks. */
  const moved = new Map<string, ReadonlySet<string>>();
  const byOthers = new WeakSet<Job>();
  const crowdedAt = new Map<string, number>();
  const used = ({ domains }: SimulatedHost): number =>
    [...domains.values()].reduce((sum, domain) => sum + (isActive(domain) ? domain.memory.totalBytes : 0), 0);
  const own = (): readonly Job[] =>
    world()
      .jobs()
      .filter((job) => !byOthers.has(job));

  return {
    began(job, unheard) {
      const { domain, from, to } = job;
      const known = [...moved.values()].some((uuids) => uuids.has(domain.uuid));
      if (unheard) return void byOthers.add(job);
      if (!known) say(`${domain.name} begins to move to ${to.name}, and no migration of it is under way`);
      const outgoing = own().filter((each) => each.from === from).length;
      const incoming = own().filter((each) => each.to === to).length;
      if (outgoing > limits.outgoing)
        say(`${outgoing} migrations leave ${from.name}, and the limit is ${limits.outgoing}`);
      if (incoming > limits.incoming)
        say(`${incoming} migrations come to ${to.name}, and the limit is ${limits.incoming}`);
    },
    asked(host, call, uuid) {
      if (typeof uuid !== 'string') return;
      const domain = host.domains.get(vmUuid(uuid));
      if (domain === undefined) return;
      const job = world().bringing(domain);
      const isIncoming = job?.to === host && job.incoming === domain;
      if (call === 'power.end' && domain.reason.startsWith('post-copy') && domain.state === 'paused')
        say(`Ferry ends the half of ${domain.name} on ${host.name}, which is in post-copy`);
      if (call === 'power.end' && isIncoming && world().jobs().includes(job) && !isOver(job.transfer))
        say(`Ferry ends the incoming half of ${domain.name} on ${host.name} while it is on its way`);
      if (call === 'power.resume' && isIncoming && job.request.transfer.handover === true) {
        const source = job.from.domains.get(domain.uuid);
        if (job.from.powered && source === job.domain && isActive(source))
          say(`Ferry lets ${domain.name} run on ${host.name} beside its source on ${job.from.name}`);
      }
    },
    heard(migration) {
      const { id, vm, plan } = migration;
      if (isFinished(migration)) moved.delete(id);
      else moved.set(id, new Set([vm.uuid, ...(plan?.helper === undefined ? [] : [plan.helper.uuid])]));
    },
    crowded: ({ name }) => void crowdedAt.set(name, now()),
    fits: (host, bytes) => used(host) + bytes <= host.memoryBytes,
    look() {
      for (const host of world().hosts.values()) {
        const since = crowdedAt.get(host.name);
        if (!host.powered || (since !== undefined && now() - since < crowdedMs)) continue;
        if (used(host) > host.memoryBytes) say(`${host.name} has more guests than memory`);
      }
    },
  };
}
