// Makes a HostSession out of connections: one for commands, one for events (opened with the first subscription), one
// for each long call. It holds connections together and turns wire values into plain ones; it keeps no state of the
// host and never reconnects.
import type { CallOptions, Connection } from './connection.ts';
import {
  VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE,
  VIR_CONNECT_GET_ALL_DOMAINS_STATS,
  VIR_MIGRATE,
} from './constants.ts';
import { ConnectionLostError } from './errors.ts';
import { openEventFeed } from './event-feed.ts';
import type { EventFeed } from './event-feed.ts';
import type { DomainEvent, EventGap } from './events.ts';
import { guestCalls } from './guest-calls.ts';
import type { HostSession, OpenHostOptions, SubscribeOptions } from './host-session.ts';
import { DEFAULT_KEEPALIVE } from './keepalive.ts';
import { checkMigratePeerToPeer, toMigrateWireParams } from './migrate.ts';
import { migrationSideOn } from './migration-side.ts';
import { nodeCalls } from './node-calls.ts';
import { openConnection, tryConnection } from './open.ts';
import type { OpenOptions } from './open.ts';
import type { Procedure } from './procedure.ts';
import { procedures as p } from './procedures.ts';
import { resourceCalls } from './resource-calls.ts';
import { snapshotCalls } from './snapshot-calls.ts';
import { storageCalls } from './storage-calls.ts';
import { volumeStreams } from './volume-streams.ts';
import type { LibvirtUri } from './uri.ts';
import { parseUri } from './uri.ts';
import { toSafeNumber, toTypedParams, toWireU64 } from './wire-types.ts';

const DEFAULT_HANDSHAKE_TIMEOUT_MS = 10_000;
const DEFAULT_QUEUE_LIMIT = 4096;
const NO_COOKIE = new Uint8Array(0);

/** Throws LibvirtUriError or ConnectError. */
export async function openHostSession(uri: string | LibvirtUri, options: OpenHostOptions = {}): Promise<HostSession> {
  const where = typeof uri === 'string' ? parseUri(uri) : uri;
  const common: OpenOptions = {
    signal: options.signal,
    keepalive: options.keepalive ?? DEFAULT_KEEPALIVE,
    readOnly: options.readOnly ?? false,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? DEFAULT_HANDSHAKE_TIMEOUT_MS,
    callTimeoutMs: options.callTimeoutMs,
    access: options.access,
  };
  const commands = await openConnection(where, common);
  return createSession(where, commands, common);
}

function createSession(where: LibvirtUri, commands: Connection, common: OpenOptions): HostSession {
  const closed = Promise.withResolvers<Error | undefined>();
  const longCalls = new Set<Connection>();
  const ending = new AbortController();
  let over = false;
  let feed: EventFeed | undefined;
  let feedOpening: Promise<EventFeed> | undefined;

  const shut = async (reason: Error | undefined): Promise<void> => {
    if (!over) {
      over = true;
      ending.abort(sessionOver(where));
      if (reason !== undefined) closed.resolve(reason);
      // when the session is lost, a migration under way keeps its own connection until it ends
      const others = reason === undefined ? longCalls : [];
      await Promise.all(
        [commands, ...(feed === undefined ? [] : [feed.connection]), ...others].map((connection) => connection.close()),
      );
      closed.resolve(reason);
    }
    await closed.promise;
  };
  void commands.closed.then(shut);

  const call = <A, R>(procedure: Procedure<A, R>, args: A, options: CallOptions | undefined): Promise<R> => {
    // an urgent call does not wait behind slow ones while the event connection is idle
    const spare = procedure.priority === 'urgent' && commands.freeSlots === 0 ? feed?.connection : undefined;
    return (spare !== undefined && spare.freeSlots > 0 ? spare : commands).call(procedure, args, options);
  };

  const openFeed = async (): Promise<EventFeed> => {
    const opened = await openEventFeed(
      (onMessage) => openConnection(where, { ...common, signal: ending.signal, onMessage }),
      {
        signal: ending.signal,
      },
    );
    if (over) await opened.connection.close();
    feed = opened;
    void opened.connection.closed.then(shut);
    return opened;
  };

  const subscribe = async (
    options: SubscribeOptions = {},
  ): Promise<{ readonly events: AsyncIterable<DomainEvent | EventGap> }> => {
    if (over) throw sessionOver(where);
    feedOpening ??= openFeed().catch((error: unknown) => {
      feedOpening = undefined; // the next subscriber may try again
      throw over ? sessionOver(where) : error;
    });
    feedOpening.catch(() => {}); // a cancelled subscriber does not get it
    const ready = await unlessAborted(feedOpening, options.signal);
    return {
      events: ready.subscribe({ queueLimit: options.queueLimit ?? DEFAULT_QUEUE_LIMIT, signal: options.signal }),
    };
  };

  const openOwn = async (options: CallOptions | undefined): Promise<Connection> => {
    if (over) throw sessionOver(where);
    const connection = await openConnection(where, { ...common, signal: options?.signal });
    longCalls.add(connection);
    void connection.closed.then(() => longCalls.delete(connection));
    return connection;
  };

  const onConnectionOfItsOwn = async <A, R>(
    procedure: Procedure<A, R>,
    args: A,
    options: CallOptions | undefined,
  ): Promise<R> => {
    const connection = await openOwn(options);
    try {
      if (over) throw sessionOver(where);
      return await connection.call(procedure, args, options);
    } finally {
      void connection.close();
    }
  };

  return {
    uri: where.text,
    closed: closed.promise,
    close: () => shut(undefined),
    certificateUntil: commands.certificateUntil,
    [Symbol.asyncDispose]: () => shut(undefined),

    takesAnother: (options) => tryConnection(where, { ...common, signal: options?.signal }),
    hostname: async (options) => (await call(p.connectGetHostname, undefined, options)).hostname,
    libvirtVersion: async (options) => version((await call(p.connectGetLibVersion, undefined, options)).version),
    hypervisorVersion: async (options) => version((await call(p.connectGetVersion, undefined, options)).version),
    capabilities: async (options) => (await call(p.connectGetCapabilities, undefined, options)).xml,
    compareHypervisorCpu: async ({ xml, arch, type }, options) =>
      (
        await call(
          p.connectCompareHypervisorCpu,
          {
            emulator: undefined,
            arch,
            machine: undefined,
            virttype: type,
            xml,
            flags: VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE,
          },
          options,
        )
      ).result,
    nodeInfo: async (options) => {
      const { memoryKiB, ...info } = await call(p.nodeGetInfo, undefined, options);
      return { ...info, memoryBytes: toSafeNumber(memoryKiB * 1024n, "the host's memory") };
    },
    freeMemoryBytes: async (options) =>
      toSafeNumber((await call(p.nodeGetFreeMemory, undefined, options)).bytes, "the host's free memory"),

    domains: async (flags, options) =>
      (await call(p.connectListAllDomains, { needResults: 1, flags: flags ?? 0 }, options)).domains,
    domainByName: async (name, options) => (await call(p.domainLookupByName, { name }, options)).dom,
    domainByUuid: async (uuid, options) => (await call(p.domainLookupByUuid, { uuid }, options)).dom,
    domainXml: async (dom, flags, options) => (await call(p.domainGetXmlDesc, { dom, flags: flags ?? 0 }, options)).xml,
    domainState: (dom, options) => call(p.domainGetState, { dom, flags: 0 }, options),
    domainInfo: async (dom, options) => {
      const { maxMemoryKiB, memoryKiB, ...info } = await call(p.domainGetInfo, { dom }, options);
      return {
        ...info,
        maxMemoryBytes: toSafeNumber(maxMemoryKiB * 1024n, `the largest memory of ${dom.name}`),
        memoryBytes: toSafeNumber(memoryKiB * 1024n, `the memory of ${dom.name}`),
      };
    },
    domainIsPersistent: async (dom, options) => (await call(p.domainIsPersistent, { dom }, options)).persistent,
    domainIsActive: async (dom, options) => (await call(p.domainIsActive, { dom }, options)).active,
    domainStats: async (options = {}) => {
      const flags = ((options.flags ?? 0) | VIR_CONNECT_GET_ALL_DOMAINS_STATS.NOWAIT) >>> 0;
      const args = { doms: options.doms ?? [], stats: options.stats ?? 0, flags };
      // an empty list would mean all to the server
      if (options.doms?.length === 0) return [];
      const { records } = await call(p.connectGetAllDomainStats, args, options);
      return records.map(({ dom, params }) => ({ domain: dom, params: toTypedParams(params) }));
    },

    domainDefine: async (xml, flags, options) =>
      (await call(p.domainDefineXmlFlags, { xml, flags: flags ?? 0 }, options)).dom,
    domainUndefine: (dom, flags, options) => call(p.domainUndefineFlags, { dom, flags: flags ?? 0 }, options),
    domainCreate: async (dom, flags, options) =>
      (await call(p.domainCreateWithFlags, { dom, flags: flags ?? 0 }, options)).dom,
    domainCreateXml: async (xml, flags, options) =>
      (await call(p.domainCreateXml, { xml, flags: flags ?? 0 }, options)).dom,
    domainDestroy: (dom, flags, options) => call(p.domainDestroyFlags, { dom, flags: flags ?? 0 }, options),
    domainSuspend: (dom, options) => call(p.domainSuspend, { dom }, options),
    domainResume: (dom, options) => call(p.domainResume, { dom }, options),

    domainAutostart: async (dom, options) => (await call(p.domainGetAutostart, { dom }, options)).autostart,
    domainSetAutostart: (dom, autostart, options) => call(p.domainSetAutostart, { dom, autostart }, options),
    domainManagedSave: (dom, flags, options) => call(p.domainManagedSave, { dom, flags: flags ?? 0 }, options),
    domainHasManagedSave: async (dom, options) =>
      (await call(p.domainHasManagedSaveImage, { dom, flags: 0 }, options)).result,
    domainManagedSaveRemove: (dom, options) => call(p.domainManagedSaveRemove, { dom, flags: 0 }, options),
    savedImageXml: async (file, flags, options) =>
      (await call(p.domainSaveImageGetXmlDesc, { file, flags: flags ?? 0 }, options)).xml,
    savedImageDefine: (file, xml, flags, options) =>
      call(p.domainSaveImageDefineXml, { file, xml, flags: flags ?? 0 }, options),
    domainBlockInfo: async (dom, path, options) => {
      const { allocation, capacity, physical } = await call(p.domainGetBlockInfo, { dom, path, flags: 0 }, options);
      return {
        capacityBytes: toSafeNumber(capacity, `the capacity of ${path}`),
        allocationBytes: toSafeNumber(allocation, `the allocation of ${path}`),
        physicalBytes: toSafeNumber(physical, `the size of ${path}`),
      };
    },

    domainSetMetadata: (dom, { type, metadata, key, uri, flags }, options) =>
      call(p.domainSetMetadata, { dom, type, metadata, key, uri, flags }, options),
    domainGetMetadata: async (dom, { type, uri, flags }, options) =>
      (await call(p.domainGetMetadata, { dom, type, uri, flags }, options)).metadata,

    domainJobStats: async (dom, flags, options) => {
      const { type, params } = await call(p.domainGetJobStats, { dom, flags: flags ?? 0 }, options);
      return { type, params: toTypedParams(params) };
    },
    domainAbortJob: (dom, flags, options) =>
      flags === undefined || flags === 0
        ? call(p.domainAbortJob, { dom }, options)
        : call(p.domainAbortJobFlags, { dom, flags }, options),
    domainSetMaxDowntime: async (dom, downtimeMs, options) =>
      call(
        p.domainMigrateSetMaxDowntime,
        { dom, downtimeMs: toWireU64(downtimeMs, 'the downtime'), flags: 0 },
        options,
      ),
    domainMaxDowntimeMs: async (dom, options) =>
      toSafeNumber(
        (await call(p.domainMigrateGetMaxDowntime, { dom, flags: 0 }, options)).downtimeMs,
        'the largest downtime',
      ),
    domainSetMaxSpeed: async (dom, mibPerSecond, flags, options) =>
      call(
        p.domainMigrateSetMaxSpeed,
        { dom, mibPerSecond: toWireU64(mibPerSecond, 'the bandwidth'), flags: flags ?? 0 },
        options,
      ),
    domainMaxSpeedMiBPerSecond: async (dom, flags, options) =>
      toSafeNumber(
        (await call(p.domainMigrateGetMaxSpeed, { dom, flags: flags ?? 0 }, options)).mibPerSecond,
        'the bandwidth',
      ),
    domainStartPostCopy: (dom, options) => call(p.domainMigrateStartPostCopy, { dom, flags: 0 }, options),
    domainStartDirtyRate: (dom, seconds, mode, options) =>
      call(p.domainStartDirtyRateCalc, { dom, seconds, flags: mode ?? 0 }, options),

    domainMigratePeerToPeer: async (dom, { destinationUri, flags, params }, options) => {
      const args = {
        dom,
        destinationUri,
        params: toMigrateWireParams(params),
        cookieIn: NO_COOKIE,
        flags: checkMigratePeerToPeer(destinationUri, flags, params),
      };
      await onConnectionOfItsOwn(p.domainMigratePerform3Params, args, options);
    },
    // without CHANGE_PROTECTION libvirt keeps no job; storage is the caller's matter
    domainMayMigrate: async (dom, options) =>
      void (await call(
        p.domainMigrateBegin3Params,
        { dom, params: [], flags: VIR_MIGRATE.LIVE | VIR_MIGRATE.UNSAFE },
        options,
      )),
    openMigrationSide: async (options) => migrationSideOn(await openOwn(options)),

    ...storageCalls(call),
    ...snapshotCalls(call),
    ...resourceCalls(call),
    ...guestCalls(call, onConnectionOfItsOwn),
    ...nodeCalls(call),
    ...volumeStreams(openOwn),

    subscribe,
    events: (options) => ({
      async *[Symbol.asyncIterator]() {
        const { events } = await subscribe(options);
        yield* events;
      },
    }),
  };
}

/** The promise's result, or the signal's reason if that comes first; what the promise stands for goes on. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function sessionOver(where: LibvirtUri): ConnectionLostError {
  return new ConnectionLostError('not-started', 'closed', `${where.text}: the session is over.`);
}

// libvirt's version numbers are 1000000 x major + 1000 x minor + micro
function version(number: bigint): string {
  return `${number / 1_000_000n}.${(number / 1000n) % 1000n}.${number % 1000n}`;
}
