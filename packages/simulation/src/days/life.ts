/**
 * One life of the control plane: the ports that it has until it is killed. A call of a dead one takes no effect and
 * never answers; what was on its way to a host when it died arrives all the same. Calls meet the faults that the day
 * has in store for them: they are slow, hang, fail before or after they took effect, or lose their reply with the
 * connection.
 */
import { FerryError, type CallFailure } from '@ferry/core';
import type { Clock, DirectSide, HostLink, Hypervisor, Log, Stores } from '@ferry/engine';
import { isAnswering, keepaliveMs, type SimulatedHost } from '../fleet.ts';
import type { SimulatedFleet } from '../hypervisor.ts';
import type { Dice } from './dice.ts';

export type Fate = 'slow' | 'hangs' | 'fails-before' | 'fails-after' | 'reply-lost';
export const fates: readonly Fate[] = ['slow', 'hangs', 'fails-before', 'fails-after', 'reply-lost'];

/** What the day has in store for calls; shared by all lives. */
export interface InStore {
  /** For the next call of this kind on this host that changes something. */
  readonly fates: { readonly host: string; readonly fate: Fate; readonly calls: string }[];
  /** The control plane dies at the call after this many, before it takes effect or after it. */
  death: { calls: number; readonly after: boolean } | undefined;
  /** What takes effect now is not by Ferry, or nobody waits for it any more. */
  unheard: boolean;
  storeRefuses: boolean;
  /** The next answer to a write is lost. */
  storeLoses: 'lost-before' | 'lost-after' | undefined;
}

export interface Life {
  alive: boolean;
  /** Settles when it is killed. */
  readonly gone: PromiseWithResolvers<void>;
}

export interface LifeWorld {
  readonly fleet: SimulatedFleet;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly inStore: InStore;
  readonly note: (text: string) => void;
  /** Ferry asks a host for this. */
  readonly asked: (host: SimulatedHost, call: string, args: readonly unknown[]) => void;
  /** A call has come to its end in the world. */
  readonly happened: () => void;
  readonly die: () => void;
}

const never = <T>(): Promise<T> => new Promise<T>(() => {});

/** Calls that only look. */
const looks = new RegExp(
  `^(${[
    'inventory',
    'takesAnother',
    'instances\\.(all|one|observe|watch)',
    'transfer\\.(sample|mayLeave)',
    'guest\\.(log|dirtyRate|residentBytes)',
    'definitions\\.(describe|filesInUse|read)',
    'savedMemory\\.read',
    'snapshots\\.read',
    'volumes\\.(pools|at|imageAt|imagesBelow)',
    'paths\\.(fileAt|identityOf|deviceAt)',
    'files\\.(look|read)',
    'resources\\.(look|read)',
  ].join('|')})`,
);

const asHostFailure = (error: unknown): unknown =>
  error instanceof FerryError || !(error instanceof Error)
    ? error
    : error.name === 'TimeoutError'
      ? new FerryError('host-timed-out', 'The host did not answer in time.', { unanswered: true })
      : error.message.startsWith('Domain not found')
        ? new FerryError('vm-unknown', error.message)
        : new FerryError('host-refused', error.message);

export interface Ports {
  readonly hypervisor: Hypervisor;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly log: Log;
}

export function portsOf(life: Life, world: LifeWorld): Ports {
  const { fleet, stores, clock, inStore, note } = world;

  /** What was answered to a dead one is heard by nobody. */
  const heard = <T>(promise: Promise<T>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      promise.then(
        (value) => life.alive && resolve(value),
        (error: unknown) => life.alive && reject(error),
      );
    });

  /** True: the death comes after this call has taken effect. */
  const meetsDeath = (): boolean => {
    const { death } = inStore;
    if (death === undefined) return false;
    death.calls -= 1;
    if (death.calls > 0) return false;
    if (!death.after) world.die();
    return death.after;
  };

  const fateOf = (host: string, name: string): Fate | undefined => {
    const isMeant = (calls: string): boolean =>
      calls === 'any' || calls === name || (calls === 'changing' && !looks.test(name));
    const at = inStore.fates.findIndex((each) => each.host === host && isMeant(each.calls));
    return at < 0 ? undefined : inStore.fates.splice(at, 1)[0]?.fate;
  };

  interface Connection {
    readonly lost: Promise<Error>;
    /** Breaks it. */
    readonly lose: () => void;
    readonly isOpen: () => boolean;
  }

  const onHost = async (
    host: SimulatedHost,
    connection: Connection,
    name: string,
    effect: () => unknown,
    signal: AbortSignal | undefined,
  ): Promise<unknown> => {
    const after = meetsDeath();
    if (!life.alive) return never();
    const fate = fateOf(host.name, name);
    if (fate !== undefined) note(`${host.name} ${name}: ${fate}`);
    const reachHost = async (): Promise<void> => {
      while (!isAnswering(host)) {
        if (!connection.isOpen()) return never();
        await clock.sleep(500);
      }
    };
    const work = async (): Promise<unknown> => {
      await clock.sleep(1 + Math.floor(world.dice.next() * 4));
      if (fate === 'slow') await clock.sleep(4_000 + Math.floor(world.dice.next() * 10_000));
      if (fate === 'hangs') return never();
      if (fate === 'fails-before') throw new FerryError('host-refused', `${host.name}: ${name} failed (simulated).`);
      await reachHost();
      if (!looks.test(name)) note(`${host.name} ${name}`);
      inStore.unheard = !life.alive || !connection.isOpen() || signal?.aborted === true;
      const going = effect();
      inStore.unheard = false;
      const result = await going;
      world.happened();
      if (after) {
        world.die();
        return never();
      }
      if (fate === 'fails-after')
        throw new FerryError('host-timed-out', `${host.name}: ${name} did not answer in time (simulated).`, {
          unanswered: true,
        });
      if (fate === 'reply-lost') {
        connection.lose();
        return never();
      }
      await reachHost();
      return result;
    };
    return new Promise<unknown>((resolve, reject) => {
      const stop = (): void => reject(signal?.reason);
      if (signal?.aborted === true) return stop();
      signal?.addEventListener('abort', stop, { once: true });
      void connection.lost.then(() =>
        reject(
          new FerryError('host-connection-lost', `The connection to ${host.name} was lost.`, { unanswered: true }),
        ),
      );
      work()
        .then(resolve, reject)
        .finally(() => signal?.removeEventListener('abort', stop));
    }).catch((error: unknown) => {
      throw asHostFailure(error);
    });
  };

  const failureOf = (error: unknown): CallFailure => ({
    outcome: error instanceof FerryError && error.code === 'host-refused' ? 'refused' : 'unknown',
    message: error instanceof Error ? error.message : String(error),
  });

  const sideOf = (host: SimulatedHost, connection: Connection, side: DirectSide, signal: AbortSignal): DirectSide => {
    const step =
      <A extends readonly unknown[], R>(name: string, call: (...args: A) => Promise<R>) =>
      (...args: A): Promise<R> =>
        heard(
          onHost(
            host,
            connection,
            `transfer.${name}`,
            () => call(...args).catch((error: unknown) => ({ error })),
            signal,
          ),
        ).then((result) => {
          if (typeof result === 'object' && result !== null && 'error' in result) throw result.error;
          return result as R;
        });
    void connection.lost.then(() => side[Symbol.asyncDispose]());
    return {
      begin: step('begin', () => side.begin()),
      prepare: step('prepare', (begun) => side.prepare(begun)),
      perform: step('perform-direct', (prepared) => side.perform(prepared)),
      finish: step('finish', (performed, cancelled) => side.finish(performed, cancelled)),
      confirm: step('confirm', (finished, cancelled) => side.confirm(finished, cancelled)),
      failureOf: (error) => (error instanceof FerryError ? failureOf(error) : side.failureOf(error)),
      [Symbol.asyncDispose]: () => (life.alive ? side[Symbol.asyncDispose]() : never()),
    };
  };

  const wrapLink = (host: SimulatedHost, link: HostLink): HostLink => {
    let open = true;
    const lost = Promise.withResolvers<Error>();
    const closed = Promise.withResolvers<Error | undefined>();
    const lose = (): void => {
      if (!open) return;
      open = false;
      host.connections.delete(lose);
      lost.resolve(new Error('connection lost'));
      closed.resolve(new Error('connection lost'));
    };
    host.connections.add(lose);
    const connection: Connection = { lost: lost.promise, lose, isOpen: () => open };
    const signalIn = (args: readonly unknown[]): AbortSignal | undefined =>
      args.find((each): each is AbortSignal => each instanceof AbortSignal);
    const call =
      (name: string, member: (...args: never[]) => unknown, self: object) =>
      (...args: readonly unknown[]): unknown => {
        const signal = signalIn(args);
        const effect = (): unknown => Reflect.apply(member, self, args);
        if (name === 'files.read') return effect();
        if (life.alive) world.asked(host, name, args);
        if (name === 'instances.watch')
          return heard(
            onHost(host, connection, name, effect, signal).then((changes) =>
              delivered(changes as AsyncIterable<unknown>, host, connection),
            ),
          );
        const result = heard(onHost(host, connection, name, effect, signal));
        if (name === 'transfer.perform' || name === 'transfer.recover')
          return result.catch((error: unknown) => ({ failure: failureOf(error) }));
        if (name === 'transfer.openSide')
          return result.then((side) =>
            sideOf(host, connection, side as DirectSide, signal ?? new AbortController().signal),
          );
        return result;
      };
    const portOf = (name: string, port: object): object =>
      Object.fromEntries(
        Object.entries(port).map(([member, value]: [string, unknown]) => [
          member,
          typeof value === 'function' ? call(`${name}.${member}`, value as (...args: never[]) => unknown, port) : value,
        ]),
      );
    const ports = Object.fromEntries(
      Object.entries(link)
        .filter(([, value]) => typeof value === 'object' && !(value instanceof Promise))
        .map(([name, port]: [string, object]) => [name, portOf(name, port)]),
    );
    return {
      ...(ports as unknown as HostLink),
      takesAnother: (signal) =>
        heard(onHost(host, connection, 'takesAnother', () => undefined, signal)) as Promise<void>,
      closed: heard(closed.promise),
      close: async () => {
        if (!life.alive) return never();
        open = false;
        host.connections.delete(lose);
        closed.resolve(undefined);
        lost.resolve(new Error('closed'));
        return undefined;
      },
    };
  };

  /** Events come as long as the host is reached, and wait for it otherwise. */
  async function* delivered<T>(
    changes: AsyncIterable<T>,
    host: SimulatedHost,
    connection: Connection,
  ): AsyncGenerator<T> {
    for await (const change of changes) {
      while (!isAnswering(host)) {
        if (!connection.isOpen()) return;
        await clock.sleep(500);
      }
      if (!life.alive) await never();
      yield change;
    }
  }

  const hostAt = (uri: string): SimulatedHost | undefined => [...fleet.hosts.values()].find((each) => each.uri === uri);

  const hypervisor: Hypervisor = {
    ...fleet.hypervisor,
    connect(uri, signal) {
      if (!life.alive || (meetsDeath(), !life.alive)) return never();
      const host = hostAt(uri);
      const work = async (): Promise<HostLink> => {
        await clock.sleep(2);
        if (host === undefined || (host.reachable && host.powered && !host.daemon))
          throw new FerryError('host-unreachable', `${uri} refuses the connection.`);
        for (let waitedMs = 0; !isAnswering(host); waitedMs += 500) {
          if (waitedMs > keepaliveMs) throw new FerryError('host-unreachable', `${uri} does not answer.`);
          await clock.sleep(500, signal);
        }
        return wrapLink(host, await fleet.hypervisor.connect(uri, signal));
      };
      return heard(
        work().catch((error: unknown) => {
          throw asHostFailure(error);
        }),
      );
    },
  };

  /** Of the store: quick, and the place where a control plane dies as well as anywhere. */
  const stored =
    <A extends readonly unknown[], R>(name: string, act: (...args: A) => Promise<R>) =>
    (...args: A): Promise<R> => {
      if (!life.alive) return never();
      const after = meetsDeath();
      if (!life.alive) return never();
      const refused = inStore.storeRefuses && /commit|append/.test(name);
      const work = async (): Promise<R> => {
        if (refused) throw new FerryError('store-full', 'The disk of the store is full (simulated).');
        const result = await act(...args);
        if (after) {
          world.die();
          return never();
        }
        return result;
      };
      return heard(work());
    };
  async function* whileAlive<T>(changes: AsyncIterable<T>): AsyncGenerator<T> {
    for await (const change of changes) {
      if (!life.alive) await never();
      yield change;
    }
  }
  const { intents, journal, inventory } = stores;
  return {
    hypervisor,
    stores: {
      intents: {
        get: stored('get', (key) => intents.get(key)),
        list: stored('list', (prefix, page) => intents.list(prefix, page)),
        commit: stored('commit', (writes) => intents.commit(writes)),
        watch: (prefix, after, signal) => whileAlive(intents.watch(prefix, after, signal)),
        grantLease: stored('grantLease', (ttlMs) => intents.grantLease(ttlMs)),
        renewLease: stored('renewLease', (id) => intents.renewLease(id)),
      },
      journal: {
        append: stored('append', (entries) => journal.append(entries)),
        read: stored('read', (query) => journal.read(query)),
        bounds: stored('bounds', (kind) => journal.bounds(kind)),
        prune: stored('prune', (kind, before) => journal.prune(kind, before)),
      },
      inventory: {
        save: stored('save', (host, report) => inventory.save(host, report)),
        load: stored('load', () => inventory.load()),
        remove: stored('remove', (host) => inventory.remove(host)),
        saveDefinition: stored('saveDefinition', (definition) => inventory.saveDefinition(definition)),
        definition: stored('definition', (uuid, host) => inventory.definition(uuid, host)),
      },
      close: async () => {},
    },
    clock: {
      now: () => clock.now(),
      anchor: (last) => clock.anchor(last),
      sleep: (ms, signal) => (life.alive ? heard(clock.sleep(ms, signal)) : never()),
      timeout: (ms) => clock.timeout(ms),
      randomText: (length) => clock.randomText(length),
      randomUuid: () => clock.randomUuid(),
    },
    log: {
      info: () => {},
      warn: (fields, message) =>
        life.alive && process.env['FERRY_SIMULATE_LOG'] !== undefined && note(`warn ${message} ${said(fields)}`),
      error: (fields, message) =>
        life.alive && process.env['FERRY_SIMULATE_LOG'] !== undefined && note(`error ${message} ${said(fields)}`),
    },
  };
}

const said = (fields: object): string => {
  const { err, ...rest } = fields as { readonly err?: unknown };
  return `${JSON.stringify(rest)} ${err instanceof Error ? err.message : ''}`;
};
