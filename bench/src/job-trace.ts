// Records the course of a migration from libvirt's figures: the job of the source's guest, read a few times a second,
// as lines of JSON. The first line describes the run; each other one is a sample in the format of Ferry's core
// (convergence/sample.ts), so that its tests can read them.
import { openHostSession, VIR_DOMAIN_JOB, type TypedParams } from '@ferry/libvirt';
import { setTimeout as sleep } from 'node:timers/promises';

const SAMPLE_EVERY_MS = 400;

/** Samples until the signal comes; what libvirt refuses to tell (no job, domain gone) is left out. */
export async function traceJob(uri: string, guest: string, signal: AbortSignal): Promise<readonly object[]> {
  await using session = await openHostSession(uri);
  const domain = await session.domainByName(guest);
  const samples: object[] = [];
  while (!signal.aborted) {
    const stats = await session.domainJobStats(domain).catch(() => undefined);
    const sample = stats === undefined ? undefined : sampleOf(stats);
    if (sample !== undefined) samples.push(sample);
    // the signal ends the wait early
    await sleep(SAMPLE_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
  return samples;
}

export const traceText = (about: object, samples: readonly object[]): string =>
  [about, ...samples].map((line) => `${JSON.stringify(line)}\n`).join('');

function sampleOf({ type, params }: { readonly type: number; readonly params: TypedParams }): object | undefined {
  if (type !== VIR_DOMAIN_JOB.BOUNDED && type !== VIR_DOMAIN_JOB.UNBOUNDED) return undefined;
  const figure = (name: string): number => Number(params.get(name) ?? 0);
  return {
    processedBytes: figure('data_processed'),
    remainingBytes: figure('data_remaining'),
    totalBytes: figure('data_total'),
    dirtyBytesPerSecond: figure('memory_dirty_rate') * (figure('memory_page_size') || 4096),
    throughputBytesPerSecond: figure('memory_bps') + figure('disk_bps'),
    iteration: figure('memory_iteration'),
    elapsedMs: figure('time_elapsed'),
    ...(params.has('memory_total')
      ? {
          memory: {
            totalBytes: figure('memory_total'),
            remainingBytes: figure('memory_remaining'),
            sentBytes: figure('memory_processed'),
          },
        }
      : {}),
    ...(figure('disk_total') > 0
      ? { disk: { totalBytes: figure('disk_total'), remainingBytes: figure('disk_remaining') } }
      : {}),
    throttlePercent: figure('auto_converge_throttle'),
    postCopyFaults: figure('memory_postcopy_requests'),
  };
}
