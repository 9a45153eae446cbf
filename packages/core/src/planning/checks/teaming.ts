import { carriesGuest, factsOf } from '../check-input.ts';
import { deviceText } from '../given-devices.ts';
import { namesOf } from '../wait-reasons.ts';
import { vmCheck } from './check.ts';

/** QEMU unplugs such a card on the source and plugs one in on the target: the guest has the other one meanwhile. */
export const teaming = vmCheck({
  name: 'teaming',
  codes: ['vm-teaming'],
  find: (input) => {
    const cards = factsOf(input).hardware.devices.filter((each) => each.teaming === true);
    if (cards.length === 0 || !carriesGuest(input) || factsOf(input).saved) return [];
    const { name } = input.vm;
    return [
      {
        code: 'vm-teaming',
        message: `${name} loses ${namesOf(cards.map(deviceText))} while it moves, and its network goes over the card that stands in.`,
        remedy: `Check inside ${name} that both cards are one (the driver net_failover).`,
      },
    ];
  },
});
