/** For tests: histories of transfers, built from their passes in MiB and seconds. */
import type { TransferHistory, JobSample } from '../model/transfer.ts';
import { follow } from './transfer-history.ts';

export const mib = 1_048_576;

export interface ExamplePass {
  /** What was to be sent when it began, MiB. */
  readonly rest: number;
  /** MiB/s that went over; 100 by default. */
  readonly link?: number;
  readonly throttle?: number;
  /** It ends after this time with a remainder, s; otherwise when all is sent. */
  readonly seconds?: number;
}

/** Looks at each pass when it begins and once a second; `now` is the last look. */
export function watched(
  passes: readonly ExamplePass[],
  before: { readonly history?: TransferHistory; readonly now?: number } = {},
): { readonly history: TransferHistory; readonly now: number } {
  let { history, now = 0 } = before;
  let sent = (history?.passes.at(-1)?.sentTo ?? 0) / mib;
  let iteration = history?.passes.at(-1)?.iteration ?? 0;
  let dirty = 0;
  for (const [index, { rest, link = 100, throttle = 0, seconds = rest / link }] of passes.entries()) {
    iteration += 1;
    const looks = [
      ...Array.from({ length: Math.ceil(seconds) }, (_, second) => second),
      ...(index === passes.length - 1 ? [seconds] : []),
    ];
    for (const second of looks)
      history = follow(
        history,
        look({ iteration, rest: rest - second * link, sent: sent + second * link, dirty, link, throttle }),
        now + second * 1_000,
      );
    now += seconds * 1_000;
    sent += seconds * link;
    dirty = (passes[index + 1]?.rest ?? 0) / seconds;
  }
  if (history === undefined) throw new Error('no passes');
  return { history, now };
}

/** One look; MiB and MiB/s. */
export const look = ({
  iteration,
  rest,
  sent,
  dirty = 0,
  link = 100,
  throttle = 0,
  total = 4_096,
}: {
  readonly iteration: number;
  readonly rest: number;
  readonly sent: number;
  readonly dirty?: number;
  readonly link?: number;
  readonly throttle?: number;
  readonly total?: number;
}): JobSample => ({
  processedBytes: sent * mib,
  remainingBytes: rest * mib,
  totalBytes: total * mib,
  dirtyBytesPerSecond: dirty * mib,
  throughputBytesPerSecond: link * mib,
  iteration,
  elapsedMs: 0,
  memory: { totalBytes: total * mib, remainingBytes: rest * mib, sentBytes: sent * mib },
  throttlePercent: throttle,
});

/** One look at disks that are copied; MiB. */
export const diskLook = (rest: number, total = 1_000): JobSample => ({
  processedBytes: (total - rest) * mib,
  remainingBytes: rest * mib,
  totalBytes: total * mib,
  dirtyBytesPerSecond: 0,
  throughputBytesPerSecond: 0,
  iteration: 0,
  elapsedMs: 0,
  disk: { totalBytes: total * mib, remainingBytes: rest * mib },
});
