// One row of the table of procedures (procedures.ts): what a call is on the wire, and how soon it goes out.
import type { Codec } from './xdr.ts';

/** 'urgent' calls stop or settle something and go before waiting 'normal' ones (polls, inventory). */
export type Priority = 'urgent' | 'normal';

export interface Procedure<A, R> {
  readonly number: number;
  readonly name: string;
  readonly args: Codec<A>;
  readonly ret: Codec<R>;
  readonly priority: Priority;
}

export function row<A, R>(number: number, name: string, args: Codec<A>, ret: Codec<R>, priority: Priority = 'normal'): Procedure<A, R> {
  return { number, name, args, ret, priority };
}
