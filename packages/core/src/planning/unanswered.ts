/** What is said of a host that does not answer what a move needs to know. Pure. */
import type { HostRef } from '../model/host.ts';
import type { Reason } from '../model/reasons.ts';

/** What the move needs could not be read. `source`: the only host that was asked. */
export const factsMissing = (vm: string, why: string, source?: string): Reason => ({
  code: 'facts-missing',
  ...(source === undefined ? {} : { host: source }),
  message: `Ferry cannot read what it needs to move ${vm}: ${why}`,
  remedy:
    source === undefined
      ? 'Check that its host and the target answer, then try again.'
      : `Check that libvirtd on ${source} answers, then try again.`,
});

/** Nothing came within `afterMs`, or the host answered with an error that says `why`. */
export const targetSilent = (
  { name }: Pick<HostRef, 'name'>,
  what: { readonly afterMs: number } | { readonly why: string },
): Reason => ({
  code: 'target-silent',
  host: name,
  message:
    'why' in what
      ? `${name} did not answer what the move needs: ${what.why}`
      : `${name} did not answer within ${what.afterMs / 1_000} s.`,
  remedy: `Check libvirtd on ${name}, or choose another host.`,
});

export const targetFull = (
  { name }: Pick<HostRef, 'name'>,
  what: { readonly afterMs: number } | { readonly why: string },
): Reason => ({
  code: 'target-full',
  host: name,
  message:
    `${name} accepts no further libvirt client ` +
    `(${'why' in what ? what.why : `nothing came within ${what.afterMs / 1_000} s`}), and the move needs one.`,
  remedy:
    `Raise max_clients in libvirtd.conf on ${name}, end clients that nobody needs (virt-admin ` +
    'client-list libvirtd), or choose another host.',
});
