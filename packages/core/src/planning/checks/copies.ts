import { hostNameIn } from '../check-input.ts';
import { conflictReasons } from '../definition-there.ts';
import { vmCheck } from './check.ts';

export const copies = vmCheck({
  name: 'copies',
  codes: ['vm-two-copies', 'vm-two-definitions'],
  find: (input) => conflictReasons(input.vm, hostNameIn(input)),
});
