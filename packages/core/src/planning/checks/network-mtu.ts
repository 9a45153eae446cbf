import { moveCheck } from './check.ts';

export const networkMtu = moveCheck({
  name: 'network-mtu',
  needs: 'definition',
  codes: ['network-mtu'],
  find: ({ planned }) => planned.mtus,
});
