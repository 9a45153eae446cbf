/**
 * Problem documents (RFC 9457) from the error table, and the one place where any thrown thing becomes one. What is not
 * a FerryError, nor a refusal of the HTTP layer, is `internal`: its text goes to the log and never to the caller.
 */
import { errorTable, FerryError } from '@ferry/core';
import type { ErrorCode } from '@ferry/core';
import { hostAnswerJson, type Problem } from '@ferry/api';

export const problemType = 'application/problem+json';

export const problemOf = (error: FerryError): Problem => {
  const row = errorTable[error.code];
  return {
    type: `/docs#error-${error.code}`,
    title: titleOf(error.code),
    status: row.status,
    detail: error.message,
    code: error.code,
    remedy: row.remedy,
    retriable: row.retriable,
    reasons: error.reasons.map((reason) => ({
      code: reason.code,
      ...(reason.host === undefined ? {} : { host: reason.host }),
      message: reason.message,
      remedy: reason.remedy,
    })),
    ...(error.answers.length === 0 ? {} : { hosts: error.answers.map(hostAnswerJson) }),
  };
};

export const titleOf = (code: ErrorCode): string => {
  const words = code.replaceAll('-', ' ').replace(/\b(vm|uri)\b/g, (word) => word.toUpperCase());
  return words.charAt(0).toUpperCase() + words.slice(1);
};

/** `stopping`: the server is closing, so that whatever was cut off by it says so. */
export const ferryErrorOf = (error: unknown, stopping: boolean): FerryError => {
  if (error instanceof FerryError) return error;
  if (stopping) return stoppingError();
  const refusal = httpRefusal(error);
  if (refusal !== undefined) return new FerryError('request-invalid', refusal, { cause: error });
  return new FerryError('internal', 'The control plane met an unknown error.', { cause: error });
};

export const stoppingError = (): FerryError => new FerryError('server-stopping', 'The control plane is stopping.');

const httpRefusal = (error: unknown): string | undefined => {
  if (!(error instanceof Error) || !('statusCode' in error) || typeof error.statusCode !== 'number') return undefined;
  if (error.statusCode < 400 || error.statusCode >= 500) return undefined;
  const code = 'code' in error ? error.code : undefined;
  switch (code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return 'The body must be JSON, sent with "Content-Type: application/json".';
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return 'The body is larger than 64 KiB.';
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
      return 'The body is announced as JSON but is empty.';
    case 'FST_ERR_BAD_URL':
      return 'The path of the request is not a valid URL.';
    default:
      return 'The body is not valid JSON.';
  }
};
