/** Mediated devices (vGPUs): the definition names one by its UUID, and the target has to have one of that UUID. Pure. */
import type { MediatedDevices } from '../../model/hardware.ts';
import type { Reason } from '../../model/reasons.ts';
import { factsOf, memoryNeeded } from '../check-input.ts';
import { mediatedIn } from '../given-devices.ts';
import { hostCheck } from './check.ts';

function missing(
  vm: string,
  host: string,
  uuid: string,
  here: MediatedDevices | undefined,
  there: MediatedDevices,
): Reason {
  const type = here?.there.get(uuid);
  const free = type === undefined ? undefined : (there.free.get(type) ?? 0);
  const of = type === undefined ? '' : ` of the type ${type}`;
  return {
    code: 'target-mediated',
    host,
    message:
      `${host} has no mediated device ${uuid}${of}, which ${vm} ` +
      `needs${free === undefined ? '' : `; ${free} of that type can be made there`}.`,
    remedy:
      free === 0
        ? 'Choose a host that has the type free.'
        : `Make it there with the same UUID (virsh nodedev-create), or choose another host.`,
  };
}

export const mediated = hostCheck({
  name: 'mediated',
  codes: ['target-mediated'],
  find: ({ input, target: { host } }) => {
    const there = input.mediated?.get(host.id);
    if (there === undefined || memoryNeeded(input) === 0) return [];
    const here = input.mediated?.get(input.vm.hostId);
    return mediatedIn(factsOf(input).hardware)
      .filter(({ name }) => !there.there.has(name))
      .map(({ name }) => missing(input.vm.name, host.name, name, here, there));
  },
});
