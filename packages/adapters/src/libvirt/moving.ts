/**
 * The calls that make libvirt move a domain: flags and parameters of a request, and the two modes (the source's daemon
 * drives, or Ferry does, call by call). It decides nothing; failures are data.
 */
import type { CallFailure } from '@ferry/core';
import type { DirectSide, Handover, PerformRequest } from '@ferry/engine';
import {
  LibvirtError,
  VIR_DOMAIN_STATE,
  VIR_ERR,
  VIR_ERR_DOMAIN,
  VIR_MIGRATE,
  type DomainRef,
  type HostSession,
  type MigrateParams,
} from '@ferry/libvirt';
import { callFailure } from './failure.ts';

function flagsOf({ live, persist, undefineSource, copyDisks, topOnly, vouched, transfer }: PerformRequest): number {
  const when = (condition: boolean | undefined, flags: number): number => (condition === true ? flags : 0);
  return (
    VIR_MIGRATE.ABORT_ON_ERROR |
    when(live, VIR_MIGRATE.LIVE) |
    when(persist, VIR_MIGRATE.PERSIST_DEST) |
    when(undefineSource, VIR_MIGRATE.UNDEFINE_SOURCE) |
    // without a list libvirt would copy every disk it takes for local
    when(
      copyDisks.length > 0,
      (topOnly ? VIR_MIGRATE.NON_SHARED_INC : VIR_MIGRATE.NON_SHARED_DISK) | VIR_MIGRATE.NON_SHARED_SYNCHRONOUS_WRITES,
    ) |
    when(vouched, VIR_MIGRATE.UNSAFE) |
    when(transfer.tls, VIR_MIGRATE.TLS) |
    when(transfer.tunnelled, VIR_MIGRATE.TUNNELLED) |
    when(transfer.parallelConnections !== undefined, VIR_MIGRATE.PARALLEL) |
    when(transfer.compression !== undefined, VIR_MIGRATE.COMPRESSED) |
    when(transfer.zeroCopy, VIR_MIGRATE.ZEROCOPY) |
    when(transfer.postCopy, VIR_MIGRATE.POSTCOPY) |
    when(transfer.throttle !== undefined, VIR_MIGRATE.AUTO_CONVERGE) |
    when(transfer.handover, VIR_MIGRATE.PAUSED)
  );
}

const paramsOf = ({
  maxBandwidthMiBPerSecond,
  postCopyBandwidthMiBPerSecond,
  copyDisks,
  transfer,
  definition,
}: PerformRequest): MigrateParams => ({
  bandwidthMiBPerSecond: maxBandwidthMiBPerSecond,
  postcopyBandwidthMiBPerSecond: postCopyBandwidthMiBPerSecond,
  ...(copyDisks.length > 0 ? { migrateDisks: copyDisks, disksPort: transfer.disksPort } : {}),
  migrateUri: transfer.migrateUri,
  listenAddress: transfer.listenAddress,
  tlsDestination: transfer.tlsName,
  parallelConnections: transfer.parallelConnections,
  ...(transfer.throttle === undefined
    ? {}
    : {
        autoConvergeInitialPercent: transfer.throttle.initialPercent,
        autoConvergeIncrementPercent: transfer.throttle.incrementPercent,
      }),
  compression: transfer.compression === undefined ? undefined : [transfer.compression],
  destinationXml: definition?.live,
  persistentXml: definition?.persistent,
});

/** Lets the source's daemon do it. Resolves when the call has ended. */
export async function performPeerToPeer(
  session: HostSession,
  domain: DomainRef,
  request: PerformRequest,
  signal: AbortSignal,
): Promise<{ readonly failure?: CallFailure }> {
  const error = await migrate(session, domain, request, 0, signal);
  return error === undefined ? {} : { failure: failureOf(error) };
}

/** Resolves with the error with which the call ended, if it did. */
async function migrate(
  session: HostSession,
  domain: DomainRef,
  request: PerformRequest,
  more: number,
  signal: AbortSignal,
): Promise<Error | undefined> {
  try {
    await session.domainMigratePeerToPeer(
      domain,
      { destinationUri: request.destinationUri, flags: flagsOf(request) | more, params: paramsOf(request) },
      { signal },
    );
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

const failureOf = (error: Error): CallFailure =>
  notReached(error) ? { ...callFailure(error), notReached: true } : callFailure(error);

/**
 * Lets the source's daemon take up again what broke in post-copy; the flags must be those that it was begun with. QEMU
 * still has its limit: one given again would undo what an operator sets while the call waits for the link.
 */
export async function recoverPeerToPeer(
  session: HostSession,
  domain: DomainRef,
  request: PerformRequest,
  signal: AbortSignal,
): Promise<{ readonly failure?: CallFailure }> {
  const { postCopyBandwidthMiBPerSecond: _, ...again } = request;
  const error = await migrate(session, domain, again, VIR_MIGRATE.POSTCOPY | VIR_MIGRATE.POSTCOPY_RESUME, signal);
  if (error === undefined) return {};
  return { failure: isStillRunning(error) ? { ...failureOf(error), stillRunning: true } : failureOf(error) };
}

/**
 * libvirt has one code for everything that is not possible now: the sentences of qemu_migration.c tell these apart,
 * where the daemon speaks English.
 */
const isStillRunning = (error: Error): boolean =>
  error instanceof LibvirtError &&
  error.code === VIR_ERR.OPERATION_INVALID &&
  /migration is still running|actively monitored by another thread|has not failed|already in progress/.test(
    error.message,
  );

/** The source's daemon did not get to the target's; the same error may come later, when a connection is lost. */
const notReached = (error: unknown): boolean =>
  error instanceof LibvirtError &&
  error.domain === VIR_ERR_DOMAIN.RPC &&
  (error.code === VIR_ERR.SYSTEM_ERROR ||
    error.code === VIR_ERR.AUTH_FAILED ||
    error.code === VIR_ERR.AUTH_UNAVAILABLE);

/** One host's side of a migration that the engine drives. `domain` on the source only. */
export async function openDirectSide(
  session: HostSession,
  domain: DomainRef | undefined,
  request: PerformRequest,
  signal: AbortSignal,
): Promise<DirectSide> {
  const side = await session.openMigrationSide({ signal });
  const stepOf = ({ paused, xml, uri, name, cookie }: Handover, more: MigrateParams = {}) => ({
    flags: flagsOf(request) | (paused ? VIR_MIGRATE.PAUSED : 0),
    params: {
      ...paramsOf(request),
      destinationXml: xml,
      ...(uri === undefined ? {} : { migrateUri: uri }),
      destinationName: name,
      ...more,
    },
    cookie,
  });
  const own = (): DomainRef => {
    if (domain === undefined) throw new Error('the target has no domain yet');
    return domain;
  };
  return {
    async begin() {
      const { state } = await session.domainState(own(), { signal });
      const paused = state === VIR_DOMAIN_STATE.PAUSED;
      const { xml, cookie } = await side.begin(
        own(),
        { flags: flagsOf(request), params: paramsOf(request) },
        { signal },
      );
      return { xml, cookie, paused, name: own().name };
    },
    async prepare(handover) {
      const { cookie, uri } = await side.prepare(stepOf(handover), { signal });
      return { ...handover, cookie, ...(uri === undefined ? {} : { uri }) };
    },
    perform: async (handover) => ({ ...handover, ...(await side.perform(own(), stepOf(handover), { signal })) }),
    async finish(handover, cancelled) {
      try {
        return { ...handover, ...(await side.finish({ ...stepOf(handover), cancelled }, { signal })) };
      } catch (error) {
        // that is what a cancelled one says when all went well
        if (cancelled && error instanceof LibvirtError && error.code === VIR_ERR.MIGRATE_FINISH_OK) return handover;
        throw error;
      }
    },
    confirm: (handover, cancelled) => side.confirm(own(), { ...stepOf(handover), cancelled }, { signal }),
    failureOf: callFailure,
    [Symbol.asyncDispose]: () => side[Symbol.asyncDispose](),
  };
}
