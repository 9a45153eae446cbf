/** A row of the operations table, and how things are named in paths and queries. */
import type { ErrorCode } from '@ferry/core';
import { z } from 'zod';

/** One row of the table. An operation has an `answer`, or a `stream` of server-sent events, or neither (status 204). */
export interface Operation {
  readonly summary: string;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  readonly answer?: z.ZodType;
  /** Schema of the `data` of each server-sent event. */
  readonly stream?: z.ZodType;
  /** Status of the good answer. */
  readonly status: number;
  /** Codes of this operation's own; `commonErrors` come on top. */
  readonly errors: readonly ErrorCode[];
}

/** What asking a host may end in. */
export const hostErrors = [
  'host-unreachable',
  'host-other-machine',
  'host-refused',
  'host-unsupported',
  'host-timed-out',
  'host-connection-lost',
  'host-answer-invalid',
] as const satisfies readonly ErrorCode[];

/** Something of the fleet as an operator names it. */
export const ref = (description: string) => z.string().min(1).max(255).meta({ description });
