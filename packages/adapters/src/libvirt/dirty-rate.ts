/**
 * How fast a guest writes memory, as QEMU measures it beside the running guest: it hashes some pages twice, a given
 * number of seconds apart. Ferry never uses the other modes (dirty-bitmap, dirty-ring): both crash QEMU 7.2 with
 * SIGSEGV if the guest runs without KVM.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { MeasuredRate } from '@ferry/engine';
import {
  LibvirtError,
  parseXml,
  xmlChild,
  VIR_DOMAIN_DIRTYRATE_MODE,
  VIR_DOMAIN_DIRTYRATE_STATUS,
  VIR_DOMAIN_STATS,
  type DomainRef,
  type HostSession,
  type TypedParams,
} from '@ferry/libvirt';

const lookEveryMs = 100;
/** QEMU needs somewhat longer than it measures: it hashes the pages of a large guest twice. */
const longestExtraMs = 5_000;
const mib = 1_048_576;

/**
 * Unique pages; refused where libvirt or QEMU cannot, or something else measures. Source: virDomainStartDirtyRateCalc,
 * `dirtyrate.*` of the domain's statistics.
 */
export async function measureDirtyRate(
  session: Pick<HostSession, 'domainStartDirtyRate' | 'domainStats'>,
  domain: DomainRef,
  seconds: number,
  signal: AbortSignal,
): Promise<MeasuredRate> {
  try {
    await session.domainStartDirtyRate(domain, seconds, VIR_DOMAIN_DIRTYRATE_MODE.PAGE_SAMPLING, { signal });
  } catch (error) {
    if (error instanceof LibvirtError) return { refused: error.message };
    throw error;
  }
  await sleep(seconds * 1_000, undefined, { signal });
  for (
    const since = performance.now();
    performance.now() - since < longestExtraMs;
    await sleep(lookEveryMs, undefined, { signal })
  ) {
    const [record] = await session.domainStats({ doms: [domain], stats: VIR_DOMAIN_STATS.DIRTYRATE, signal });
    const bytesPerSecond = record === undefined ? undefined : measuredRate(record.params, seconds);
    if (bytesPerSecond !== undefined) return { bytesPerSecond };
  }
  return { refused: `QEMU has no result ${longestExtraMs / 1_000} s after the time that it was to measure` };
}

/** Source: `balloon.rss`. Huge pages are not in it. */
export async function residentBytes(
  session: Pick<HostSession, 'domainXml' | 'domainStats'>,
  domain: DomainRef,
  signal: AbortSignal,
): Promise<number | undefined> {
  const backing = xmlChild(parseXml(await session.domainXml(domain, 0, { signal })), 'memoryBacking');
  if (backing !== undefined && xmlChild(backing, 'hugepages') !== undefined) return undefined;
  const [record] = await session.domainStats({ doms: [domain], stats: VIR_DOMAIN_STATS.BALLOON, signal });
  const kib = Number(record?.params.get('balloon.rss') ?? 0);
  return kib > 0 ? kib * 1_024 : undefined;
}

/** The result of a finished measurement over this number of seconds. */
export function measuredRate(params: TypedParams, seconds: number): number | undefined {
  const rate = params.get('dirtyrate.megabytes_per_second');
  const over =
    params.get('dirtyrate.calc_status') === VIR_DOMAIN_DIRTYRATE_STATUS.MEASURED &&
    params.get('dirtyrate.calc_period') === seconds;
  return over && typeof rate === 'number' ? rate * mib : undefined;
}
