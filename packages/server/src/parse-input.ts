/** Params, query and body of a request against the schemas of its operation. Refusals name the place and the field. */
import type { Operation } from '@ferry/api';
import { FerryError } from '@ferry/core';
import type { z } from 'zod';

interface RawInput {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
}

export const parseInput = (operation: Operation, raw: RawInput): RawInput => ({
  params: parsePart('path', operation.params, raw.params),
  query: parsePart('query', operation.query, raw.query),
  body: parsePart('body', operation.body, raw.body),
});

const parsePart = (place: string, schema: z.ZodType | undefined, value: unknown): unknown => {
  if (schema === undefined) return undefined;
  if (value === undefined || value === null) throw new FerryError('request-invalid', `The request has no ${place}.`);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new FerryError(
    'request-invalid',
    result.error.issues
      .slice(0, 5)
      .map((issue) => sentenceOf(place, issue))
      .join(' '),
  );
};

const sentenceOf = (place: string, issue: z.core.$ZodIssue): string => {
  const field = issue.path.map(String).join('.');
  const subject = field === '' ? `The ${place}` : `The field "${field}" of the ${place}`;
  if (issue.code !== 'unrecognized_keys') return `${subject} ${complaint(issue)}.`;
  const names = issue.keys.slice(0, 5).map((key) => JSON.stringify(key.slice(0, 100)));
  return `${subject} has no field ${names.join(', ')}.`;
};

/** In our words where the library's would name its own types. */
function complaint(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined
        ? 'is missing'
        : `must be ${issue.expected === 'int' ? 'a whole number' : `a ${issue.expected}`}`;
    case 'too_small':
      return issue.origin === 'string' ? 'must not be empty' : `must be at least ${String(issue.minimum)}`;
    case 'too_big':
      return issue.origin === 'string'
        ? `must have at most ${String(issue.maximum)} characters`
        : `must be at most ${String(issue.maximum)}`;
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`;
    default:
      return `is not accepted: ${issue.message.slice(0, 300)}`;
  }
}
