/** What is no object of the fleet: the version, and the problem document that every refusal comes as. */
import { z } from 'zod';

export const versionSchema = z.object({ version: z.string(), api: z.literal('v1') }).meta({ id: 'Version' });

export const reasonSchema = z
  .object({ code: z.string(), host: z.string().optional(), message: z.string(), remedy: z.string() })
  .meta({ id: 'Reason', description: 'One ground on which a move is refused, for one host or as a whole' });

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.string(),
    remedy: z.string(),
    retriable: z.boolean(),
    reasons: z.array(reasonSchema),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem document' });

export type VersionView = z.infer<typeof versionSchema>;
export type Problem = z.infer<typeof problemSchema>;
