// One row of the table of procedures (procedures.ts): what a call is on the wire, and how soon it goes out.
import { Program } from './frame.ts';
import type { Codec } from './xdr.ts';

/** 'urgent' calls stop or settle something and go before waiting 'normal' ones (polls, inventory). */
export type Priority = 'urgent' | 'normal';

export interface Procedure<A, R> {
  /** Whose number it is: programs count their procedures on their own. */
  readonly program: number;
  readonly number: number;
  readonly name: string;
  readonly args: Codec<A>;
  readonly ret: Codec<R>;
  readonly priority: Priority;
}

export function row<A, R>(number: number, name: string, args: Codec<A>, ret: Codec<R>, priority: Priority = 'normal', program: number = Program.REMOTE): Procedure<A, R> {
  return { program, number, name, args, ret, priority };
}
