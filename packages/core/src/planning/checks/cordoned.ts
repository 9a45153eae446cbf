/** A host that takes no VMs is no target, even when it is named. VMs that are there may leave. Pure. */
import { isHeldBack } from '../../fleet/service.ts';
import type { HostView } from '../../model/host.ts';
import type { Reason } from '../../model/reasons.ts';
import { hostCheck } from './check.ts';

export function cordonedReasons({ host }: Pick<HostView, 'host'>): readonly Reason[] {
  if (!isHeldBack(host)) return [];
  const { name, service } = host;
  const says = {
    cordoned: `${name} is cordoned, so no VM is moved to it.`,
    draining: `${name} is being drained, so no VM is moved to it.`,
    maintenance: `${name} is in maintenance, so no VM is moved to it.`,
  };
  const state = service?.state ?? 'cordoned';
  return [
    {
      code: 'target-cordoned',
      host: name,
      message: says[state],
      remedy:
        state === 'draining'
          ? `Choose another host, or cancel the drain: ferry drain cancel ${service?.drain?.id ?? 'DRAIN'}`
          : `Choose another host, or run: ferry host uncordon ${name}`,
    },
  ];
}

export const cordoned = hostCheck({
  name: 'cordoned',
  codes: ['target-cordoned'],
  find: ({ target }) => cordonedReasons(target),
});
