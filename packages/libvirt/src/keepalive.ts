// The asking side of libvirt's keepalive. It sends a ping after `intervalMs` of silence; after `count` pings without an
// answer the peer is lost one interval later, that is after intervalMs x (count + 1). Anything received restarts it.
// The connection answers the peer's pings, whether this runs or not.

export interface KeepaliveOptions {
  /** 0 switches own pings off. */
  readonly intervalMs: number;
  readonly count: number;
}

/** libvirt's defaults: a silent peer is lost after 30 s. */
export const DEFAULT_KEEPALIVE: KeepaliveOptions = { intervalMs: 5000, count: 5 };

export interface Keepalive {
  /** Something came from the peer. */
  heard(): void;
  /** This side stops reading, so the peer's silence means nothing until `resume`. */
  pause(): void;
  resume(): void;
  stop(): void;
}

export function startKeepalive(
  options: KeepaliveOptions & { readonly ping: () => void; readonly lost: () => void },
): Keepalive {
  const { intervalMs, count, ping, lost } = options;
  if (intervalMs <= 0) return { heard: () => {}, pause: () => {}, resume: () => {}, stop: () => {} };
  let left = count;
  let since = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const arm = (delayMs: number): void => {
    // the socket keeps the process alive, not this
    timer = setTimeout(tick, Math.max(1, delayMs)).unref();
  };
  const tick = (): void => {
    const now = performance.now();
    const silentMs = now - since;
    // timers may fire up to a millisecond early
    if (silentMs < intervalMs - 1) return arm(intervalMs - silentMs);
    if (left === 0) return lost();
    left -= 1;
    since = now;
    ping();
    arm(intervalMs);
  };
  const heard = (): void => {
    since = performance.now();
    left = count;
  };
  let stopped = false;
  arm(intervalMs);
  return {
    heard,
    pause: () => clearTimeout(timer),
    resume: () => {
      if (stopped) return;
      heard();
      clearTimeout(timer);
      arm(intervalMs);
    },
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
