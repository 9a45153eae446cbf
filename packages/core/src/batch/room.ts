/** Whether a VM that may not degrade others is to wait: a host is left that lacks nothing but room. Pure. */
import type { Reason, ReasonCode } from '../model/reasons.ts';

const roomCodes: ReadonlySet<ReasonCode> = new Set([
  'target-overcommitted',
  'target-memory',
  'target-memory-promised',
] as const);

/** `reasons`: of a refusal, for every host. One that names no host holds for all of them. */
export function lacksOnlyRoom(reasons: readonly Reason[]): boolean {
  if (reasons.some(({ host }) => host === undefined)) return false;
  const hosts = Map.groupBy(reasons, ({ host }) => host);
  return hosts.values().some((of) => of.every(({ code }) => roomCodes.has(code)));
}
