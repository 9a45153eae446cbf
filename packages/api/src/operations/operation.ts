/** A row of the operations table, and how things are named in paths and queries. */
import type { ErrorCode } from '@ferry/core';
import { z } from 'zod';

/** Every operation can refuse with these. */
export const commonErrors: readonly ErrorCode[] = [
  'token-missing',
  'token-wrong',
  'origin-foreign',
  'server-stopping',
  'internal',
];

/** One row of the table. An operation has an `answer`, or a `stream` of server-sent events, or neither (status 204). */
export interface Operation {
  readonly summary: string;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  /** Of a body that may be larger than those of other operations. */
  readonly bodyLimitBytes?: number;
  readonly answer?: z.ZodType;
  /** Schema of the `data` of each server-sent event. */
  readonly stream?: z.ZodType;
  /** Changes a document: the header If-Match names the revision that it must have. */
  readonly ifMatch?: true;
  /** Makes something: with the header Idempotency-Key, once only. */
  readonly idempotencyKey?: true;
  /** Status of the good answer. */
  readonly status: number;
  /** Codes of this operation's own; `commonErrors` come on top. */
  readonly errors: readonly ErrorCode[];
}

/** The answer is a document with a revision, which its ETag is. */
export const hasRevision = ({ answer }: Operation): boolean =>
  answer instanceof z.ZodObject && Object.hasOwn(answer.shape, 'revision');

/** Every code that the operation may refuse with. */
export const errorsOf = ({ errors, ifMatch, idempotencyKey }: Operation): readonly ErrorCode[] => [
  ...new Set([
    ...errors,
    ...(ifMatch === true ? (['revision-stale'] as const) : []),
    ...(idempotencyKey === true ? (['idempotency-key-used'] as const) : []),
    ...commonErrors,
  ]),
];

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
