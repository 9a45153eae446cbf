/**
 * One check: a named rule that may forbid a move, warn of something, or say that Ferry cannot tell. It answers with
 * reasons; none is a pass. What each code does to the move is in the table of reasons (model/reasons.ts), and a policy
 * may be stricter. A check never hides another one: all of a table are asked. Pure.
 */
import type { HostView } from '../../model/host.ts';
import type { Reason, ReasonCode } from '../../model/reasons.ts';
import type { CheckInput } from '../check-input.ts';
import type { HostPlan } from '../host-plan.ts';

export interface Check<Question> {
  /** Stable; shown where it passed. */
  readonly name: string;
  /** Every code that it may answer with. */
  readonly codes: readonly ReasonCode[];
  readonly find: (question: Question) => readonly Reason[];
  /**
   * Facts that have to be asked for: `storage` and `cpu` only of a host that passes the checks before, `definition` of
   * the VM.
   */
  readonly needs?: 'storage' | 'cpu' | 'definition';
}

/** A host that may become the target. */
export interface HostQuestion {
  readonly input: CheckInput;
  readonly target: HostView;
}

/** The host, and how the move to it would be carried out. */
export interface MoveQuestion extends HostQuestion {
  readonly planned: HostPlan;
}

export const vmCheck = (check: Check<CheckInput>): Check<CheckInput> => check;
export const hostCheck = (check: Check<HostQuestion>): Check<HostQuestion> => check;
export const moveCheck = (check: Check<MoveQuestion>): Check<MoveQuestion> => check;

export const reasonsOf = <Q>(checks: readonly Check<Q>[], question: Q): readonly Reason[] =>
  checks.flatMap(({ find }) => find(question));
