import { definitionThereReasons } from '../definition-there.ts';
import { hostCheck } from './check.ts';

export const definitionThere = hostCheck({
  name: 'definition-there',
  codes: ['target-has-definition', 'target-name-differs', 'target-definition-unknown'],
  find: ({ input, target }) => definitionThereReasons(input, target.host),
});
