/** What every list takes and answers: pages, and the event from which it is followed. */
import { z } from 'zod';
import type { Operation } from './operation.ts';

/** The query of a list: which page, and its own filters. */
export const listQuery = <F extends z.ZodRawShape>(filters: F, defaultLimit = 500) =>
  z.strictObject({
    ...filters,
    limit: z.coerce
      .number<number>()
      .int()
      .min(1)
      .max(1000)
      .optional()
      .meta({ description: `Most items of a page; ${defaultLimit} if absent` }),
    page: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,2048}$/, 'It is no page token')
      .optional()
      .meta({ description: 'Token of the page: "next" of the page before, with the same filters' }),
  });

export const listOf = <T extends z.ZodType>(item: T, id: string) =>
  z
    .object({
      items: z.array(item),
      next: z.string().optional().meta({ description: 'Token of the next page; absent on the last one' }),
      events: z.string().meta({
        description:
          'Follow "/events" after this id: together with the list, whose pages all have the same, nothing is missed',
      }),
    })
    .meta({ id });

export const listErrors = ['request-invalid', 'page-token-invalid'] as const satisfies Operation['errors'];

/** A filter by name. */
export const namePattern = (what: string) =>
  z
    .string()
    .min(1)
    .max(255)
    .optional()
    .meta({ description: `Only ${what} of this name; "*" stands for any characters` });

/** A filter by labels. */
export const selector = (what: string) =>
  z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .meta({ description: `Only ${what} whose labels match this selector, such as "tier=db,zone in (a,b),!test"` });
