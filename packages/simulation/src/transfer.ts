/**
 * One migration of one guest as QEMU 7.2 does it, advanced by virtual time: mirrors, passes over the memory,
 * throttling, the switchover, post-copy. Pure: `(transfer, time, what the link gives) -> transfer`. Only what a control
 * plane can see or steer is here: no pages, no devices. Source: migration/migration.c (migration_iteration_run,
 * migration_update_counters) and migration/ram.c (ram_save_pending, migration_bitmap_sync, migration_trigger_throttle)
 * of QEMU 7.2.
 */
import type { JobSample } from '@ferry/core';
import { copySome, startMirror, writesOf, type DiskModel, type Mirror } from './disks.ts';
import { windowMs } from './link.ts';
import {
  dirtySome,
  everything,
  remaining,
  sendSome,
  synchronise,
  toSend,
  type GuestMemory,
  type Unsent,
} from './memory.ts';

export interface GuestModel {
  readonly memory: GuestMemory;
  /** Disks that are copied; shared ones do not take part. */
  readonly disks?: readonly DiskModel[];
  /** What stopping, devices and starting add to every pause, ms. 20 by default. */
  readonly deviceMs?: number;
}

export interface TransferSettings {
  readonly downtimeMs: number;
  readonly bandwidthBytesPerSecond?: number;
  /** In post-copy. */
  readonly postCopyBytesPerSecond?: number;
  readonly throttle?: { readonly initialPercent: number; readonly incrementPercent: number };
  readonly synchronousWrites?: boolean;
}

export type TransferPhase = 'disks' | 'pre-copy' | 'switching' | 'post-copy' | 'done' | 'aborted';

export interface Transfer {
  readonly guest: GuestModel;
  readonly settings: TransferSettings;
  readonly phase: TransferPhase;
  /** Time since it began, ms. */
  readonly elapsedMs: number;
  readonly mirrors: readonly Mirror[];
  readonly unsent: Unsent;
  /** Of each working set, since the dirty log was last read. */
  readonly dirtied: readonly number[];
  /** Memory that went over. */
  readonly sentBytes: number;
  /** Times that the dirty log was read; the first time before the first pass. */
  readonly iteration: number;
  /** QEMU's figures: over the last whole window, and over at least a second of passes. */
  readonly estimateBytesPerSecond: number;
  readonly dirtyBytesPerSecond: number;
  readonly window: { readonly startedMs: number; readonly sentBytes: number };
  /** Until the rest is looked at again, ms of `elapsedMs`. */
  readonly lookMs: number;
  readonly rates: { readonly sinceMs: number; readonly sentBytes: number; readonly newBytes: number };
  readonly throttlePercent: number;
  /** Reads of the dirty log in which too much was dirty, since throttling was last changed. */
  readonly busyReads: number;
  /** The guest is held until it has arrived, by somebody's command; since when. */
  readonly pausedMs?: number;
  /** When the guest stopped for the switch. */
  readonly stoppedMs?: number;
  /** Time that devices and distance still take. */
  readonly fixedMs: number;
  readonly downtimeMs: number;
  readonly faults: number;
}

const usualDeviceMs = 20;
/** QEMU checks the remainder after it has sent for this time; with a bandwidth limit, once per window. */
const sendingMs = 50;
/** QEMU counts rates and decides about throttling over at least this time. */
const ratesMs = 1_000;
const busyShare = 0.5;
const mostThrottle = 99;
const pageBytes = 4_096;
const almostNothing = 1e-6;

export function beginTransfer(guest: GuestModel, settings: TransferSettings): Transfer {
  const mirrors = (guest.disks ?? []).map(startMirror);
  return {
    guest,
    settings,
    mirrors,
    phase: mirrors.every(({ ready }) => ready) ? 'pre-copy' : 'disks',
    elapsedMs: 0,
    unsent: everything(guest.memory),
    dirtied: guest.memory.sets.map(() => 0),
    sentBytes: 0,
    iteration: 1,
    estimateBytesPerSecond: 0,
    dirtyBytesPerSecond: 0,
    window: { startedMs: 0, sentBytes: 0 },
    lookMs: 0,
    rates: { sinceMs: 0, sentBytes: 0, newBytes: 0 },
    throttlePercent: 0,
    busyReads: 0,
    fixedMs: 0,
    downtimeMs: 0,
    faults: 0,
  };
}

export const isOver = ({ phase }: Transfer): boolean => phase === 'done' || phase === 'aborted';
/** The guest runs, here or there. */
export const guestRuns = ({ phase, pausedMs, fixedMs }: Transfer): boolean =>
  phase === 'aborted' ||
  phase === 'done' ||
  (pausedMs === undefined && phase !== 'switching' && !(phase === 'post-copy' && fixedMs > 0));

/** What it would take of a link, bytes per second. The limit is not for the switch, and post-copy has its own. */
export function wants({ phase, settings, mirrors, pausedMs }: Transfer): number {
  if (phase === 'done' || phase === 'aborted') return 0;
  if (phase === 'switching') return Infinity;
  if (phase === 'post-copy') return settings.postCopyBytesPerSecond ?? Infinity;
  return (settings.bandwidthBytesPerSecond ?? Infinity) + (pausedMs === undefined ? writesOf(mirrors) : 0);
}

/** `ms` of virtual time in which the link gives the same. */
export function advance(before: Transfer, ms: number, bytesPerSecond: number, latencyMs: number): Transfer {
  let transfer = before;
  let left = ms;
  while (left > almostNothing && !isOver(transfer)) {
    const next = piece(transfer, left, Math.min(bytesPerSecond, wants(transfer)), latencyMs);
    left -= next.elapsedMs - transfer.elapsedMs;
    transfer = next;
  }
  return transfer;
}

/** At most `ms`, up to the next thing that happens. */
function piece(transfer: Transfer, ms: number, rate: number, latencyMs: number): Transfer {
  switch (transfer.phase) {
    case 'disks':
      return copyDisks(transfer, Math.min(ms, windowMs), rate);
    case 'pre-copy':
      return look(
        send(
          transfer,
          ms,
          Math.max(rate * 0.1, rate - (transfer.pausedMs === undefined ? writesOf(transfer.mirrors) : 0)),
        ),
        latencyMs,
      );
    case 'switching':
    case 'post-copy':
      return finish(transfer, ms, rate, latencyMs);
    case 'done':
    case 'aborted':
      return transfer;
  }
}

function copyDisks(transfer: Transfer, ms: number, rate: number): Transfer {
  const mirrors = copySome(transfer.mirrors, ms / 1_000, rate, {
    synchronous: transfer.settings.synchronousWrites === true,
    writes: transfer.pausedMs === undefined ? 1 : 0,
  });
  const elapsedMs = transfer.elapsedMs + ms;
  if (!mirrors.every(({ ready }) => ready)) return { ...transfer, mirrors, elapsedMs };
  return {
    ...transfer,
    mirrors,
    elapsedMs,
    phase: 'pre-copy',
    window: { startedMs: elapsedMs, sentBytes: 0 },
    lookMs: elapsedMs + lookAfter(transfer),
    rates: { ...transfer.rates, sinceMs: elapsedMs },
  };
}

const lookAfter = ({ settings }: Transfer): number =>
  settings.bandwidthBytesPerSecond === undefined ? sendingMs : windowMs;

/** Sends until the next check, the end of the window, or until nothing is left. */
function send(transfer: Transfer, ms: number, rate: number): Transfer {
  const { guest, unsent, window, elapsedMs, pausedMs, throttlePercent } = transfer;
  const rest = toSend(unsent);
  const tookMs = Math.max(
    almostNothing,
    Math.min(
      ms,
      window.startedMs + windowMs - elapsedMs,
      Math.max(almostNothing, transfer.lookMs - elapsedMs),
      rate > 0 ? (rest / rate) * 1_000 : Infinity,
    ),
  );
  const bytes = Math.min(rest, (rate * tookMs) / 1_000);
  const now = elapsedMs + tookMs;
  const sentBytes = transfer.sentBytes + bytes;
  const windowSent = window.sentBytes + bytes;
  const windowOver = now >= window.startedMs + windowMs - almostNothing;
  return {
    ...transfer,
    elapsedMs: now,
    sentBytes,
    unsent: sendSome(unsent, bytes),
    dirtied: dirtySome(
      guest.memory,
      transfer.dirtied,
      tookMs / 1_000,
      pausedMs === undefined ? 1 - throttlePercent / 100 : 0,
    ),
    window: windowOver ? { startedMs: now, sentBytes: 0 } : { ...window, sentBytes: windowSent },
    ...(windowOver ? { estimateBytesPerSecond: (windowSent * 1_000) / (now - window.startedMs) } : {}),
  };
}

/**
 * QEMU's main question: does the rest fit into the pause? If so the dirty log is read, and if it still does, the
 * guest is stopped.
 */
function look(transfer: Transfer, latencyMs: number): Transfer {
  const { unsent, elapsedMs, estimateBytesPerSecond, settings } = transfer;
  if (elapsedMs < transfer.lookMs - almostNothing && remaining(unsent) > 1) return transfer;
  const fits = (estimateBytesPerSecond * settings.downtimeMs) / 1_000;
  const looked = { ...transfer, lookMs: elapsedMs + lookAfter(transfer) };
  if (remaining(unsent) > Math.max(1, fits)) return looked;
  const read = readDirtyLog(looked);
  if (remaining(read.unsent) > Math.max(1, fits)) return read;
  return {
    ...read,
    phase: 'switching',
    stoppedMs: read.pausedMs ?? elapsedMs,
    fixedMs: (transfer.guest.deviceMs ?? usualDeviceMs) + 2 * latencyMs,
  };
}

function readDirtyLog(transfer: Transfer): Transfer {
  const { guest, rates, elapsedMs, sentBytes } = transfer;
  const { unsent, newBytes } = synchronise(guest.memory, transfer.unsent, transfer.dirtied);
  const read = { ...transfer, unsent, dirtied: guest.memory.sets.map(() => 0), iteration: transfer.iteration + 1 };
  const counted = { ...rates, newBytes: rates.newBytes + newBytes };
  const ms = elapsedMs - rates.sinceMs;
  if (ms <= ratesMs) return { ...read, rates: counted };
  return {
    ...throttled(read, counted.newBytes > busyShare * (sentBytes - rates.sentBytes)),
    dirtyBytesPerSecond: (counted.newBytes * 1_000) / ms,
    rates: { sinceMs: elapsedMs, sentBytes, newBytes: 0 },
  };
}

function throttled(transfer: Transfer, busy: boolean): Transfer {
  const {
    settings: { throttle },
    throttlePercent,
  } = transfer;
  if (throttle === undefined || !busy) return transfer;
  if (transfer.busyReads === 0) return { ...transfer, busyReads: 1 };
  return {
    ...transfer,
    busyReads: 0,
    throttlePercent:
      throttlePercent === 0
        ? throttle.initialPercent
        : Math.min(mostThrottle, throttlePercent + throttle.incrementPercent),
  };
}

/** The guest is stopped, or runs on the target already: the rest follows, and nothing is dirtied any more. */
function finish(transfer: Transfer, ms: number, rate: number, latencyMs: number): Transfer {
  const { fixedMs, unsent, elapsedMs } = transfer;
  // post-copy sends the devices first, a switchover sends them last
  const rest = toSend(unsent);
  const devices = fixedMs > 0 && (transfer.phase === 'post-copy' || rest < 1);
  if (devices) {
    const tookMs = Math.min(ms, fixedMs);
    const after = { ...transfer, elapsedMs: elapsedMs + tookMs, fixedMs: fixedMs - tookMs };
    if (after.fixedMs > almostNothing) return after;
    const paused = { ...after, fixedMs: 0, downtimeMs: after.elapsedMs - (transfer.stoppedMs ?? after.elapsedMs) };
    return transfer.phase === 'switching' || rest < 1 ? done(paused) : paused;
  }
  if (rest < 1) return done(transfer);
  const tookMs = Math.max(almostNothing, Math.min(ms, rate > 0 ? (rest / rate) * 1_000 : Infinity));
  const bytes = Math.min(rest, (rate * tookMs) / 1_000);
  const faults =
    transfer.phase === 'post-copy' && transfer.pausedMs === undefined
      ? transfer.faults + faultsIn(transfer, tookMs, latencyMs)
      : transfer.faults;
  return {
    ...transfer,
    elapsedMs: elapsedMs + tookMs,
    sentBytes: transfer.sentBytes + bytes,
    unsent: sendSome(unsent, bytes),
    estimateBytesPerSecond: rate,
    faults,
  };
}

const done = (transfer: Transfer): Transfer => ({
  ...transfer,
  phase: 'done',
  unsent: { ...transfer.unsent, zero: 0 },
  throttlePercent: 0,
});

/**
 * Pages that the guest waits for: what it touches that is not there yet, no faster than a page can be asked for and
 * come.
 */
function faultsIn({ guest: { memory }, unsent }: Transfer, ms: number, latencyMs: number): number {
  const touched = memory.sets.reduce(
    (total, { bytes, dirtyBytesPerSecond }, index) =>
      total + (bytes <= 0 ? 0 : ((dirtyBytesPerSecond / pageBytes) * (unsent.sets[index] ?? 0)) / bytes),
    0,
  );
  return Math.min((touched * ms) / 1_000, ms / (2 * latencyMs + 0.05));
}

export const tune = (
  transfer: Transfer,
  settings: Partial<Pick<TransferSettings, 'downtimeMs' | 'bandwidthBytesPerSecond' | 'postCopyBytesPerSecond'>>,
): Transfer => ({ ...transfer, settings: { ...transfer.settings, ...settings } });

/** From within pre-copy; elsewhere nothing happens. */
export function startPostCopy(transfer: Transfer, latencyMs: number): Transfer {
  if (transfer.phase !== 'pre-copy') return transfer;
  return {
    ...readDirtyLog(transfer),
    phase: 'post-copy',
    stoppedMs: transfer.pausedMs ?? transfer.elapsedMs,
    fixedMs: (transfer.guest.deviceMs ?? usualDeviceMs) + 2 * latencyMs,
    throttlePercent: 0,
  };
}

/** The guest is held; it runs again where it arrives. */
export const pauseGuest = (transfer: Transfer): Transfer =>
  transfer.pausedMs !== undefined || isOver(transfer) || transfer.phase === 'post-copy'
    ? transfer
    : { ...transfer, pausedMs: transfer.elapsedMs };

/** The guest's own pause ends: somebody resumed it before it had arrived. */
export function resumeGuest(transfer: Transfer): Transfer {
  const { pausedMs: _, ...running } = transfer;
  return running;
}

/** Throttling ends and does not begin again. */
export function releaseThrottle(transfer: Transfer): Transfer {
  const { throttle: _, ...settings } = transfer.settings;
  return { ...transfer, settings, throttlePercent: 0 };
}

/** The guest runs on where it was; refused once it runs elsewhere. */
export const abort = (transfer: Transfer): Transfer =>
  transfer.phase === 'post-copy' || isOver(transfer)
    ? transfer
    : { ...resumeGuest(transfer), phase: 'aborted', throttlePercent: 0 };

/** libvirt reports this until QEMU has begun. */
const nothingYet: JobSample = {
  processedBytes: 0,
  remainingBytes: 0,
  totalBytes: 0,
  dirtyBytesPerSecond: 0,
  throughputBytesPerSecond: 0,
  iteration: 0,
  elapsedMs: 0,
  memory: { totalBytes: 0, remainingBytes: 0, sentBytes: 0 },
  throttlePercent: 0,
  postCopyFaults: 0,
};

/** As libvirt reports it. */
export function sampleOf(transfer: Transfer): JobSample {
  if (transfer.elapsedMs === 0) return nothingYet;
  const { phase, mirrors, unsent, guest, sentBytes, elapsedMs } = transfer;
  const diskLeft = mirrors.reduce((total, { leftBytes }) => total + leftBytes, 0);
  const diskCopied = mirrors.reduce((total, { copiedBytes }) => total + copiedBytes, 0);
  const memory =
    phase === 'disks'
      ? undefined
      : {
          totalBytes: guest.memory.totalBytes,
          remainingBytes: Math.round(remaining(unsent)),
          sentBytes: Math.round(sentBytes),
        };
  const disk =
    mirrors.length === 0
      ? undefined
      : { totalBytes: Math.round(diskLeft + diskCopied), remainingBytes: Math.round(diskLeft) };
  return {
    processedBytes: (memory?.sentBytes ?? 0) + Math.round(diskCopied),
    remainingBytes: (memory?.remainingBytes ?? 0) + Math.round(diskLeft),
    totalBytes: (memory?.totalBytes ?? 0) + (disk?.totalBytes ?? 0),
    dirtyBytesPerSecond: Math.round(transfer.dirtyBytesPerSecond),
    throughputBytesPerSecond: Math.round(transfer.estimateBytesPerSecond),
    iteration: phase === 'disks' ? 0 : transfer.iteration,
    elapsedMs: Math.round(elapsedMs),
    ...(memory === undefined ? {} : { memory }),
    ...(disk === undefined ? {} : { disk }),
    throttlePercent: transfer.throttlePercent,
    postCopyFaults: Math.round(transfer.faults),
  };
}
