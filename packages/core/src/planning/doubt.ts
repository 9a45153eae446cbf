/** What Ferry cannot look at before a move: it is said, and the move goes on unless a policy refuses it. Pure. */
import type { Reason, ReasonCode } from '../model/reasons.ts';

/** `whether`: "whether ...". */
export const doubt = (code: ReasonCode, host: string, whether: string, remedy: string): Reason => ({
  code,
  host,
  message: `Ferry cannot tell ${whether}.`,
  remedy,
});
