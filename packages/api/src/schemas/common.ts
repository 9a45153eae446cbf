/** Version, and the problem document of every refusal. */
import { z } from 'zod';

export const versionSchema = z.object({ version: z.string(), api: z.literal('v1') }).meta({ id: 'Version' });

export const reasonSchema = z
  .object({ code: z.string(), host: z.string().optional(), message: z.string(), remedy: z.string() })
  .meta({ id: 'Reason', description: 'One reason why a move is refused: for one host, or for all hosts' });

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
