import { conflictReasons } from '../definition-there.ts';
import { vmCheck } from './check.ts';

export const copies = vmCheck({
  name: 'copies',
  codes: ['vm-two-copies', 'vm-two-definitions'],
  find: ({ vm, hosts }) => conflictReasons(vm, (id) => hosts.find(({ host }) => host.id === id)?.host.name ?? id),
});
