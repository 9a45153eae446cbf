/**
 * What a move puts on the target before the VM comes, beside its volumes: networks, filters and secrets that it needs and the
 * target lacks, and images of drives that nobody writes. Taken away again when the move fails. Every step may be repeated.
 */
import type { Migration } from '@ferry/core';
import type { HostLink } from './ports.ts';

const filesOf = (migration: Migration): readonly { readonly from: string; readonly to: string }[] =>
  (migration.plan?.disks ?? []).flatMap(({ how, path, targetPath }) => (how === 'file' && path !== undefined ? [{ from: path, to: targetPath ?? path }] : []));

export const bringsBelongings = (migration: Migration): boolean => filesOf(migration).length > 0 || (migration.plan?.definition?.creates ?? []).length > 0;

export async function bringBelongings(migration: Migration, source: HostLink, target: HostLink, signal: AbortSignal): Promise<void> {
  const there = await target.resources.look([], signal);
  for (const ref of migration.plan?.definition?.creates ?? []) {
    const known = { network: there.networks, filter: there.filters, secret: there.secrets }[ref.kind];
    if (!known.has(ref.name)) await target.resources.create(ref, await source.resources.read(ref, signal), signal);
  }
  for (const { from, to } of filesOf(migration)) {
    const file = await source.files.look(from, signal);
    if (file === undefined) throw new Error(`${from} is no longer on ${migration.from.name}`);
    await target.files.write({ ...file, path: to }, source.files.read(from, signal), signal);
    const arrived = await target.files.look(to, signal);
    if (arrived?.sizeBytes !== file.sizeBytes) throw new Error(`${from} did not arrive whole on ${migration.to?.name ?? 'the target'}`);
  }
}

export async function takeBelongingsBack(migration: Migration, target: HostLink, signal: AbortSignal): Promise<void> {
  for (const { to } of filesOf(migration)) await target.files.remove(to, signal);
  for (const ref of (migration.plan?.definition?.creates ?? []).toReversed()) await target.resources.remove(ref, signal);
}
