/**
 * Calls into a running guest: announce it to the network, and set its clock. For a guest that has just arrived or was
 * paused. It decides nothing.
 */
import { FerryError } from '@ferry/core';
import type { FilePort } from '@ferry/engine';
import { parseXml, xmlChild, type DomainRef, type HostSession } from '@ferry/libvirt';

const LOG_FOLDER = '/var/log/libvirt/qemu';
const AGENT_CHANNEL = 'org.qemu.guest_agent.0';
/** What QEMU itself does when a migration has come in: frames after 0, 50, 200, 450 and 800 ms. */
const ANNOUNCE_SELF = JSON.stringify({
  execute: 'announce-self',
  arguments: { initial: 50, max: 550, rounds: 5, step: 100 },
});

export async function announceGuest(session: HostSession, domain: DomainRef, signal: AbortSignal): Promise<void> {
  await qemu(session, domain, ANNOUNCE_SELF, `announce ${domain.name} on its network`, signal);
}

async function qemu(
  session: HostSession,
  domain: DomainRef,
  command: string,
  what: string,
  signal: AbortSignal,
): Promise<unknown> {
  const answer = answerOf(await session.domainMonitorCommand(domain, command, { signal }), domain);
  // libvirt hands on whatever QEMU says
  if (answer.error !== undefined)
    throw new FerryError('host-refused', `QEMU did not ${what}: ${answer.error.desc ?? 'it does not say why'}.`);
  return answer.return;
}

interface QemuAnswer {
  readonly return?: unknown;
  readonly error?: { readonly desc?: string };
}

function answerOf(text: string, { name }: DomainRef): QemuAnswer {
  try {
    return JSON.parse(text) as QemuAnswer;
  } catch (error) {
    throw new FerryError('host-answer-invalid', `What QEMU answers for ${name} is no JSON.`, { cause: error });
  }
}

/**
 * How libvirt names the nodes by which QEMU writes to the volumes of the target (qemuMigrationSrcNBDStorageCopy:
 * `migration-vda-storage`).
 */
const COPY_NODE = /^migration-.*-storage$/;

/** See SteeringPort.cutCopies. */
export async function cutCopies(session: HostSession, domain: DomainRef, signal: AbortSignal): Promise<void> {
  const connections = (await qemu(
    session,
    domain,
    JSON.stringify({ execute: 'query-yank' }),
    'tell its connections',
    signal,
  )) as readonly { readonly type: string; readonly 'node-name'?: string }[];
  const instances = connections.filter((each) => each.type === 'block-node' && COPY_NODE.test(each['node-name'] ?? ''));
  if (instances.length > 0)
    await qemu(
      session,
      domain,
      JSON.stringify({ execute: 'yank', arguments: { instances } }),
      'cut the connections of the copy',
      signal,
    );
}

/**
 * The copies that run go at this speed each, MiB/s. A later limit of libvirt's is for the memory alone, and no block
 * job is to be had while a guest migrates.
 */
export async function limitCopies(
  session: HostSession,
  domain: DomainRef,
  mibPerSecond: number,
  signal: AbortSignal,
): Promise<void> {
  const jobs = (await qemu(
    session,
    domain,
    JSON.stringify({ execute: 'query-block-jobs' }),
    'tell its block jobs',
    signal,
  )) as readonly { readonly type: string; readonly device: string }[];
  for (const { device } of jobs.filter(({ type }) => type === 'mirror'))
    await qemu(
      session,
      domain,
      JSON.stringify({ execute: 'block-job-set-speed', arguments: { device, speed: mibPerSecond * 2 ** 20 } }),
      'change the speed of the copy',
      signal,
    );
}

/** QEMU slows down step by step up to a limit; with the limit at its least the next step all but ends it. */
const LEAST_THROTTLE = JSON.stringify({ execute: 'migrate-set-parameters', arguments: { 'max-cpu-throttle': 1 } });

export async function releaseThrottle(session: HostSession, domain: DomainRef, signal: AbortSignal): Promise<void> {
  await qemu(session, domain, LEAST_THROTTLE, 'take the throttling back', signal);
}

/** False without an agent that is connected. */
export async function setGuestClock(session: HostSession, domain: DomainRef, signal: AbortSignal): Promise<boolean> {
  if (!hasAgent(await session.domainXml(domain, 0, { signal }))) return false;
  const nowMs = Date.now();
  await session.domainSetTime(
    domain,
    { seconds: BigInt(Math.floor(nowMs / 1000)), nanoseconds: (nowMs % 1000) * 1_000_000 },
    { signal },
  );
  return true;
}

/**
 * libvirt knows from QEMU whether a program in the guest has the agent's channel open; it is not in the definition of
 * one that is shut off.
 */
export const hasAgent = (liveXml: string): boolean =>
  (xmlChild(parseXml(liveXml), 'devices')?.children ?? []).some((device) => {
    const target = device.name === 'channel' ? xmlChild(device, 'target')?.attributes : undefined;
    return target?.get('name') === AGENT_CHANNEL && target.get('state') === 'connected';
  });

/** The end of QEMU's log, with its command line. */
export async function logOf(
  files: Pick<FilePort, 'read'>,
  vm: string,
  lengthBytes: number,
  signal: AbortSignal,
): Promise<string> {
  let tail = Buffer.alloc(0);
  for await (const piece of files.read(`${LOG_FOLDER}/${vm}.log`, signal))
    if (piece.kind === 'data') tail = Buffer.concat([tail, piece.bytes]).subarray(-lengthBytes);
  return tail.toString('utf8');
}
