import { moveCheck } from './check.ts';

/**
 * State that depends on the versions of both hosts. A running guest stays where it is if the target does not take it;
 * state in a file would show that only at the next start, and is refused.
 */
export const guestState = moveCheck({
  name: 'guest-state',
  needs: 'definition',
  codes: ['guest-memory-unsure', 'guest-tpm-unsure', 'saved-memory-unsure', 'tpm-state-unsure'],
  find: ({ planned }) => planned.state,
});
