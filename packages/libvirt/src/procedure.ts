// One row of the table of procedures (procedures.ts): what a call is on the wire, how soon it goes out, and how long
// it may take.
import { Program } from './frame.ts';
import type { Codec } from './xdr.ts';

/** 'urgent' calls stop or settle something and go before waiting 'normal' ones (polls, inventory). */
export type Priority = 'urgent' | 'normal';

/**
 * 'quick' calls ask, or change a definition; 'slow' ones do work on disks or start and end a guest; how long one of the
 * 'open-ended' takes depends on a guest, and only its caller can say when it has taken too long.
 */
export type Patience = 'quick' | 'slow' | 'open-ended';

export interface Procedure<A, R> {
  /** Whose number it is: programs count their procedures on their own. */
  readonly program: number;
  readonly number: number;
  readonly name: string;
  readonly args: Codec<A>;
  readonly ret: Codec<R>;
  readonly priority: Priority;
  readonly patience: Patience;
}

export function row<A, R>(
  number: number,
  name: string,
  args: Codec<A>,
  ret: Codec<R>,
  priority: Priority = 'normal',
  program: number = Program.REMOTE,
): Procedure<A, R> {
  return { program, number, name, args, ret, priority, patience: 'quick' };
}

export const slow = <A, R>(procedure: Procedure<A, R>): Procedure<A, R> => ({ ...procedure, patience: 'slow' });
export const openEnded = <A, R>(procedure: Procedure<A, R>): Procedure<A, R> => ({
  ...procedure,
  patience: 'open-ended',
});
