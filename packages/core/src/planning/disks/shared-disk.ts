/**
 * A disk that stays where it is, because both hosts see it; its further conditions; and the refusals if Ferry cannot
 * tell. Pure.
 */
import type { DiskPlan } from '../../model/plan.ts';
import type { Reason } from '../../model/reasons.ts';
import type { DiskFacts } from '../../model/storage.ts';
import { chainAt, formatsUnknown, namesAll, type DiskOutcome, type DiskQuestion } from './question.ts';

/** Undefined: the target has storage of its own for it. */
export function sharedDisk(question: DiskQuestion): DiskOutcome | undefined {
  const { disk, path, storage, from, to, proof, common, what, isShared, refuse } = question;
  if (proof.verdict === 'shared') {
    const missing = proof.method === 'marker' ? undefined : storage.missing?.get(path);
    if (missing !== undefined)
      return refuse(
        'disk-not-there',
        `${what} is said to be shared with ${to}${proof.method === 'operator' ? '' : ' by its name'}, but ${missing}.`,
        `Make it visible on ${to}${proof.method === 'operator' ? ', or omit --assume-shared' : ', or choose another host'}.`,
      );
    if (disk.chainUnknown === true && proof.method === 'marker')
      return refuse(
        'disk-chain-unknown',
        `${from} does not say which base images ${what} has.`,
        `Check that the file and its folder can be read on ${from}.`,
      );
    const base = disk.backing.find(({ path: image }) => !isShared(image));
    if (base !== undefined)
      return refuse(
        'disk-base-not-shared',
        `${what} is on shared storage, but its base ${base.path} is not on ${to}.`,
        'Put the base on the shared storage too, or merge it into the disk.',
      );
    const shared: DiskPlan = { ...common, ...chainAt(disk, storage), how: 'shared', proof };
    return namesAll(shared) ? shared : formatsUnknown(question);
  }
  if (proof.verdict === 'other-file') {
    return refuse(
      'disk-other-file',
      `${what} is not the same file on ${from} and ${to}: ${proof.detail ?? ''}.`,
      proof.remedy ?? 'Replace the link or mount with the file itself, or let the definition name the path behind it.',
    );
  }
  if (proof.verdict === 'unknown' && proof.remedy !== undefined)
    return refuse('disk-unseen', `${what} cannot be looked at: ${proof.detail ?? ''}.`, proof.remedy);
  if (proof.verdict === 'unknown') {
    const why = proof.detail === undefined ? '' : `: ${proof.detail}`;
    return refuse(
      'disk-sharing-unknown',
      `Ferry cannot tell whether ${to} has the same storage as ${from} for ${what}${why}.`,
      'If you know that both hosts see the same storage, use --assume-shared.',
    );
  }
  return undefined;
}

/**
 * Storage that libvirt may not know as shared, but that Ferry has proved or the operator has stated to be: libvirt must
 * treat it as shared. That also disables its check of cache modes, so `cacheReasons` replaces it.
 */
export const vouchesFor = (disks: readonly DiskPlan[]): boolean =>
  disks.some(({ how, proof }) => how === 'shared' && (proof?.method === 'marker' || proof?.method === 'operator'));

const uncached: readonly string[] = ['none', 'directsync'];
/** From 4.0 on QEMU drops what it remembers of a file when a guest arrives, which makes every cache mode safe. */
const dropsCacheFrom = 4;

/** Of a running guest: caches that would show the target old content. */
export function cacheReasons(
  vm: string,
  disks: readonly DiskFacts[],
  plan: readonly DiskPlan[],
  hosts: readonly { readonly name: string; readonly qemuVersion?: string | undefined }[],
): readonly Reason[] {
  const old = hosts.find(({ qemuVersion }) => Number(qemuVersion?.split('.')[0] ?? dropsCacheFrom) < dropsCacheFrom);
  if (old === undefined) return [];
  const cached = disks.filter(
    ({ target, cache, readOnly }) =>
      !readOnly && !uncached.includes(cache ?? '') && vouchesFor(plan.filter((each) => each.target === target)),
  );
  return cached.map(({ target, cache = 'writeback' }) => ({
    code: 'disk-cache',
    host: old.name,
    message:
      `${vm}'s disk ${target} is cached (${cache}), and QEMU ${old.qemuVersion ?? ''} on ${old.name} ` +
      'cannot drop the cache when the guest moves: it could read old data on shared storage.',
    remedy: "Set cache='none' for the disk, or move the VM shut off.",
  }));
}
