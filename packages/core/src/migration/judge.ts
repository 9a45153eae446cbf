/**
 * Judges the state of a migration only from what libvirt reports about the VM on both hosts, not from the result of a
 * call or the text of an error. Pre-copy and post-copy follow different rules, since a source in post-copy holds the
 * only copy of pages. Pure; what to do about a verdict is decided in step.ts.
 */
import type { InstanceView } from '../model/vm.ts';

export type Verdict =
  /** One host does not answer: nothing is known. */
  | { readonly kind: 'unknown'; readonly message: string }
  /** The transfer is still going on. */
  | { readonly kind: 'in-progress' }
  /** The VM runs on the target and the source has nothing that runs. */
  | { readonly kind: 'moved' }
  /** The VM runs on the target; the source has a paused half of a finished pre-copy, which would resume on its own. */
  | { readonly kind: 'stale-source' }
  /** The VM is where it was, the target has nothing of it that could run. */
  | { readonly kind: 'stayed' }
  /** The VM is where it was; the target still holds an incoming half that never ran. */
  | { readonly kind: 'leftover-target' }
  /** Post-copy: both halves are needed, neither may be touched. */
  | { readonly kind: 'post-copy' }
  /** The same, and the stream between them is interrupted: the guest stops at pages that only the source has. */
  | { readonly kind: 'post-copy-interrupted' }
  /** The same, and the target has every page: only its word did not reach the source, which stays paused for good. */
  | { readonly kind: 'post-copy-arrived' }
  /** Handover: the source is gone, the target waits to be released. */
  | { readonly kind: 'arrived-held' }
  | { readonly kind: 'two-copies' }
  /** Neither host runs it. */
  | { readonly kind: 'gone' }
  /** The guest is shut off where it was: it stopped, or somebody stopped it. */
  | { readonly kind: 'stopped-on-source' }
  /** Paused on the source with no job and nothing on the target. */
  | { readonly kind: 'paused-on-source' };

const isPostCopy = (view: InstanceView): boolean =>
  view.kind === 'present' && (view.reason === 'post-copy' || view.reason === 'post-copy-failed');
/** vCPUs run, or may run without an operator (`pm-suspended` can wake up). */
const runs = (view: InstanceView): boolean =>
  view.kind === 'present' && ['running', 'blocked', 'shutting-down', 'pm-suspended'].includes(view.state);
const isPaused = (view: InstanceView): boolean => view.kind === 'present' && view.state === 'paused';
/** Paused by libvirt for the switchover of a pre-copy, which leaves no page behind. */
export const isHalf = (view: InstanceView): boolean =>
  view.kind === 'present' && view.state === 'paused' && view.reason === 'migration';
const isOff = (view: InstanceView): boolean =>
  view.kind === 'absent' || (view.kind === 'present' && ['shut-off', 'crashed'].includes(view.state));
const isMigrating = (view: InstanceView): boolean => view.kind === 'present' && view.migrating;

/**
 * `held`: a target that arrives paused has not run yet, and does so only when it is released.
 * Source of the table: the states libvirt's QEMU driver was observed to leave behind, fault by fault (docs/decisions).
 */
export function judge(
  source: InstanceView,
  target: InstanceView,
  { held = false }: { readonly held?: boolean } = {},
): Verdict {
  if (source.kind === 'unreachable')
    return { kind: 'unknown', message: `the source host does not answer: ${source.message}` };
  if (target.kind === 'unreachable')
    return { kind: 'unknown', message: `the target host does not answer: ${target.message}` };
  if (isPostCopy(source) || isPostCopy(target)) return { kind: postCopyOf(source, target) };
  const isWaiting = (view: InstanceView): boolean => isHalf(view) || (held && isPaused(view));
  if (runs(target)) {
    if (isOff(source)) return { kind: 'moved' };
    return isHalf(source) ? { kind: 'stale-source' } : { kind: 'two-copies' };
  }
  if (isMigrating(source)) return { kind: 'in-progress' };
  if (runs(source) || (isPaused(source) && !isHalf(source))) {
    if (isOff(target)) return { kind: 'stayed' };
    return isWaiting(target) ? { kind: 'leftover-target' } : { kind: 'two-copies' };
  }
  if (held && isPaused(target)) return isOff(source) ? { kind: 'arrived-held' } : { kind: 'leftover-target' };
  if (isHalf(source)) return isOff(target) ? { kind: 'paused-on-source' } : { kind: 'in-progress' };
  if (isHalf(target)) return { kind: 'in-progress' };
  if (isPaused(target)) return { kind: 'moved' };
  return source.kind === 'present' ? { kind: 'stopped-on-source' } : { kind: 'gone' };
}

/** libvirt says `migrated` of a guest that was started in post-copy once its last page is there. */
function postCopyOf(source: InstanceView, target: InstanceView): Verdict['kind'] & `post-copy${string}` {
  const isBroken = (view: InstanceView): boolean => view.kind === 'present' && view.reason === 'post-copy-failed';
  if (isBroken(source) && target.kind === 'present' && target.state === 'running' && target.reason === 'migrated')
    return 'post-copy-arrived';
  return isBroken(source) || isBroken(target) ? 'post-copy-interrupted' : 'post-copy';
}

/**
 * What the target of a direct move shows after the order to run. While it `waits`, nothing is decided; on `unclear` the
 * guest stays paused on the source. `answered`: the target refused, so the guest has not run there. Otherwise it may
 * have run and stopped again; its absence proves that it has not run only if its definition would have stayed
 * (`keepsDefinition`).
 */
export function handoverOf(
  target: InstanceView,
  { answered, keepsDefinition }: { readonly answered: boolean; readonly keepsDefinition: boolean },
): 'arrived' | 'stayed' | 'unclear' | 'waits' {
  if (target.kind === 'unreachable' || isHalf(target)) return 'waits';
  if (!isOff(target)) return 'arrived';
  return answered || (target.kind === 'absent' && keepsDefinition) ? 'stayed' : 'unclear';
}
