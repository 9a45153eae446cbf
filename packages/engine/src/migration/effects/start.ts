/**
 * Starts a VM that is off, and knows that giving a big guest its memory may take longer than any call may wait: a start
 * without an answer has not failed. It is looked at, and never made a second time while the first may succeed.
 */
import { FerryError, startStep, type VmUuid } from '@ferry/core';
import type { HostLink } from '../../ports/ports.ts';

/** Rejects with what the host says, or with an unanswered error: to be called again then. */
export async function startOnce(
  uuid: VmUuid,
  { instances, power }: Pick<HostLink, 'instances' | 'power'>,
  bounded: () => AbortSignal,
): Promise<void> {
  const step = startStep(await instances.observe(uuid, bounded()));
  if (step === 'wait') throw new FerryError('host-timed-out', 'Its QEMU is not ready yet.', { unanswered: true });
  if (step === 'start') await power.start(uuid, bounded());
}
