/** What Ferry cannot look at before a move: it is said, and the move goes on unless a policy refuses it. Pure. */
import type { Reason, ReasonCode } from '../model/reasons.ts';

export interface Doubt extends Reason {
  /** "whether ...", which completes "Ferry cannot tell". */
  readonly whether: string;
}

export const doubt = (code: ReasonCode, host: string, whether: string, remedy: string): Doubt => ({
  code,
  host,
  whether,
  message: `Ferry cannot tell ${whether}.`,
  remedy,
});
