import { moveCheck } from './check.ts';

export const networkMtu = moveCheck({
  name: 'network-mtu',
  codes: ['network-mtu'],
  find: ({ planned }) => planned.mtus,
});
