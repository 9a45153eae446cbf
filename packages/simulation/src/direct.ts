/**
 * The two sides of a migration that the engine drives call by call: the source begins, sends and confirms, the target
 * prepares and finishes. What a side has begun ends with its connection, as with libvirt: the target drops a half that
 * never ran, the source keeps its guest paused once the memory has gone over.
 */
import type { CallFailure } from '@ferry/core';
import type { DirectSide, Handover, PerformRequest } from '@ferry/engine';
import {
  endSource,
  receive,
  type Job,
  type SimulatedDomain,
  type SimulatedHost,
  type SimulatedWorld,
} from './fleet.ts';
import { isOver } from './transfer.ts';

const failureOf = (error: unknown): CallFailure => ({
  outcome: error instanceof Error && error.name === 'Refusal' ? 'refused' : 'unknown',
  message: error instanceof Error ? error.message : String(error),
});
const refusal = (message: string): Error => Object.assign(new Error(message), { name: 'Refusal' });
const never = (): never => {
  throw refusal('this step is the other side of the migration');
};

const jobIn = (world: SimulatedWorld, host: SimulatedHost, { uuid }: PerformRequest): Job | undefined => {
  const job = world.jobOf(host, uuid);
  return job?.direct === true ? job : undefined;
};

export function sourceSide(world: SimulatedWorld, host: SimulatedHost, request: PerformRequest): DirectSide {
  const own = (): SimulatedDomain => {
    const domain = host.domains.get(request.uuid);
    if (domain === undefined || domain.state === 'shut-off') throw refusal('Domain not found or not running');
    return domain;
  };
  return {
    async begin() {
      const { name, state } = own();
      if (world.jobOf(host, request.uuid) !== undefined) throw refusal('another migration job is already running');
      if (own().snapshots.length > 0) throw refusal(`cannot migrate domain with ${own().snapshots.length} snapshots`);
      return { name, xml: '', paused: state === 'paused', cookie: new Uint8Array() };
    },
    prepare: async () => never(),
    finish: async () => never(),
    async perform(prepared: Handover) {
      own();
      const to = world.byUri(request.destinationUri);
      const half = to?.domains.get(request.uuid);
      if (to === undefined || !world.reaches(host, to) || half?.reason !== 'migration')
        throw refusal(`unable to connect to server at '${request.destinationUri}'`);
      const failure = await world.begin(request, host, to, true).call.promise;
      if (failure !== undefined) throw refusal(failure.message);
      return prepared;
    },
    async confirm(_finished, cancelled) {
      const job = jobIn(world, host, request);
      if (job === undefined) return;
      if (cancelled) Object.assign(job.domain, job.ran ? { state: 'running', reason: 'migration-canceled' } : {});
      else endSource(job);
      world.over(job);
    },
    failureOf,
    async [Symbol.asyncDispose]() {
      // the guest stays paused where the memory has gone over: nobody knows whether it runs elsewhere
      const job = jobIn(world, host, request);
      if (job !== undefined && isOver(job.transfer)) world.over(job);
    },
  };
}

export function targetSide(world: SimulatedWorld, host: SimulatedHost, request: PerformRequest): DirectSide {
  let half: SimulatedDomain | undefined;
  let before: SimulatedDomain | undefined;
  const drop = (): void => {
    const now = host.domains.get(request.uuid);
    if (half === undefined || now?.reason !== 'migration' || now.state !== 'paused') return;
    const job = jobIn(world, host, request);
    if (job !== undefined && !isOver(job.transfer)) return world.endedIn(job);
    if (before === undefined) host.domains.delete(request.uuid);
    else host.domains.set(request.uuid, before);
    world.tell(host, request.uuid);
  };
  return {
    begin: async () => never(),
    perform: async () => never(),
    confirm: async () => never(),
    async prepare(begun) {
      const there = host.domains.get(request.uuid);
      if (there !== undefined && there.state !== 'shut-off')
        throw refusal(`domain '${begun.name}' is already active on ${host.name}`);
      if (host.full && request.copyDisks.length > 0) throw refusal(`${host.name}: No space left on device`);
      const source = [...world.hosts.values()].find(
        (each) =>
          each !== host && each.domains.has(request.uuid) && each.domains.get(request.uuid)?.state !== 'shut-off',
      );
      const guest = source?.domains.get(request.uuid);
      if (guest === undefined) throw refusal('the source has no such domain');
      before = there;
      half = { ...guest, state: 'paused', reason: 'migration', persistent: there?.persistent ?? false, snapshots: [] };
      host.domains.set(request.uuid, half);
      world.tell(host, request.uuid);
      return begun;
    },
    async finish(performed, cancelled) {
      if (cancelled) {
        drop();
        return performed;
      }
      // the source may have lost its connection meanwhile: the memory is here
      const there = host.domains.get(request.uuid);
      const job = there === undefined ? undefined : world.bringing(there);
      if (job?.direct !== true || job.transfer.phase !== 'done') throw refusal('the incoming half is gone');
      receive(job, (...told) => world.tell(...told));
      half = undefined;
      world.tell(host, request.uuid);
      return performed;
    },
    failureOf,
    async [Symbol.asyncDispose]() {
      drop();
      half = undefined;
    },
  };
}
