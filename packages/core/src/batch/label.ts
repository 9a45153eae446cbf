/**
 * What the label `ferry.drain` on a host asks for: set, the host is drained once; removed, what the label brought about is
 * taken back. What somebody else has decided since stands. Pure.
 */
import type { Batch } from '../model/batch.ts';
import type { HostView } from '../model/host.ts';
import type { BatchId } from '../model/ids.ts';
import { notConnected } from '../fleet/machine.ts';

const key = 'ferry.drain';

export type LabelStep =
  | { readonly do: 'nothing'; readonly attention?: string }
  | { readonly do: 'drain' }
  /** Somebody else has taken it out of service: the label begins nothing, also afterwards. */
  | { readonly do: 'leave' }
  | { readonly do: 'cancel' | 'restore'; readonly batch: BatchId }
  /** What the label began is over. */
  | { readonly do: 'forget' };

const nothing: LabelStep = { do: 'nothing' };

/** `noted`: the drain that the label began. `batchOf`: as long as it is kept. */
export function labelStep(
  view: HostView,
  noted: BatchId | undefined,
  batchOf: (id: BatchId | undefined) => Batch | undefined,
): LabelStep {
  const values = (view.host.labels ?? []).flatMap((label) =>
    label.startsWith(`${key}=`) ? [label.slice(key.length + 1)] : [],
  );
  const odd = values.find((value) => value !== 'yes');
  if (odd !== undefined && !values.includes('yes'))
    return { do: 'nothing', attention: `The label ${key}=${odd} does nothing: set ${key}=yes, or remove it.` };
  return values.length > 0
    ? whileSet(view, noted, batchOf(view.host.service?.drain?.id))
    : onceRemoved(view, noted, batchOf(noted));
}

function whileSet(view: HostView, noted: BatchId | undefined, current: Batch | undefined): LabelStep {
  const { service } = view.host;
  // it was begun once; a drain that was cancelled does not begin again by itself
  if (noted !== undefined || current?.phase === 'cancelling') return nothing;
  if (service?.state === 'draining' || service?.state === 'maintenance') return { do: 'leave' };
  return view.state === 'connected' ? { do: 'drain' } : { do: 'nothing', attention: waits(view, 'is drained') };
}

function onceRemoved(view: HostView, noted: BatchId | undefined, batch: Batch | undefined): LabelStep {
  if (noted === undefined) return nothing;
  switch (batch?.phase) {
    case 'scheduled':
    case 'running':
      return { do: 'cancel', batch: noted };
    case 'cancelling':
      return nothing;
    case 'done':
    case 'incomplete':
      if (view.host.service?.drain?.id !== noted) return { do: 'forget' };
      return view.state === 'connected'
        ? { do: 'restore', batch: noted }
        : { do: 'nothing', attention: waits(view, 'gets its VMs back') };
    case 'cancelled':
    case undefined:
      return { do: 'forget' };
  }
}

const waits = (view: HostView, what: string): string =>
  `${notConnected(view).replace(/\.?$/, '.')} By its label ${key} it ${what} once it answers.`;
