/**
 * What a move puts on the target before the VM comes, beside files: networks, filters and secrets that it needs and the target lacks. Taken away
 * again when the move fails. Every step may be repeated.
 */
import type { Migration } from '@ferry/core';
import type { HostLink } from './ports.ts';

export const bringsBelongings = (migration: Migration): boolean => (migration.plan?.definition?.creates ?? []).length > 0;

export async function bringBelongings(migration: Migration, source: HostLink, target: HostLink, signal: AbortSignal): Promise<void> {
  const there = await target.resources.look([], signal);
  for (const ref of migration.plan?.definition?.creates ?? []) {
    const known = { network: there.networks, filter: there.filters, secret: there.secrets }[ref.kind];
    if (!known.has(ref.name)) await target.resources.create(ref, await source.resources.read(ref, signal), signal);
  }
}

export async function takeBelongingsBack(migration: Migration, target: HostLink, signal: AbortSignal): Promise<void> {
  for (const ref of (migration.plan?.definition?.creates ?? []).toReversed()) await target.resources.remove(ref, signal);
}
