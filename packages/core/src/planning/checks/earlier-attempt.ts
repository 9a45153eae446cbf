import type { Host } from '../../model/host.ts';
import type { Reason } from '../../model/reasons.ts';
import type { CheckInput } from '../check-input.ts';
import { hostCheck } from './check.ts';

/** Where an earlier attempt failed: a host is tried again only when it was named. */
export function triedReasons(
  { tried, request }: Pick<CheckInput, 'tried' | 'request'>,
  { id, name }: Pick<Host, 'id' | 'name'>,
): readonly Reason[] {
  const why = tried?.get(id);
  return why === undefined || request.to !== undefined
    ? []
    : [
        {
          code: 'target-tried',
          host: name,
          message: `An attempt to move to ${name} has failed already: ${why}`,
          remedy: 'Correct that, or choose another host.',
        },
      ];
}

export const earlierAttempt = hostCheck({
  name: 'earlier-attempt',
  codes: ['target-tried'],
  find: ({ input, target }) => triedReasons(input, target.host),
});
