import { hostNameIn } from '../check-input.ts';
import { pinReasons } from '../rules/judge.ts';
import { vmCheck } from './check.ts';

export const pinned = vmCheck({
  name: 'pinned',
  codes: ['rule-pinned'],
  find: (input) => pinReasons(input.vm, input.rules ?? [], hostNameIn(input)),
});
