/** Version, and the problem document of every refusal. */
import { z } from 'zod';
import { bytes } from './parts.ts';

export const versionSchema = z.object({ version: z.string(), api: z.literal('v1') }).meta({ id: 'Version' });

export const reasonSchema = z
  .object({ code: z.string(), host: z.string().optional(), message: z.string(), remedy: z.string() })
  .meta({ id: 'Reason', description: 'One reason why a move is refused: for one host, or for all hosts' });

export const hostAnswerSchema = z
  .object({
    host: z.string(),
    verdict: z.enum(['fits', 'waits', 'refused']),
    findings: z.array(
      z.object({
        code: z.string(),
        verdict: z
          .enum(['refuse', 'wait', 'warn', 'unknown'])
          .meta({ description: '"unknown": Ferry cannot tell; "wait": other migrations have what the VM needs' }),
        message: z.string(),
        remedy: z.string(),
      }),
    ),
    passed: z.array(z.string()).meta({ description: 'Checks that had nothing to say' }),
    notAsked: z
      .array(z.string())
      .meta({ description: 'Checks that were not made, because the host or the VM was refused before' }),
    weighs: z
      .object({
        risks: z.number().int().meta({ description: "For the guest's state, or that the target refuses it" }),
        softRules: z.number().int().meta({ description: 'VMs and hosts of soft rules that are not met there' }),
        copies: z.number().int().meta({ description: 'Disks to copy' }),
        copyBytes: bytes().optional(),
        load: z.number().int().meta({ description: 'Migrations that leave the host or come to it' }),
        spareBytes: z
          .number()
          .int()
          .optional()
          .meta({ description: 'Memory that nobody has or was promised; below 0 where more is promised than free' }),
      })
      .optional()
      .meta({ description: 'What the choice among hosts goes by, most important first' }),
  })
  .meta({ id: 'HostAnswer', description: 'What the checks say of one host' });

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
    hosts: z
      .array(hostAnswerSchema)
      .optional()
      .meta({ description: 'Of a move that is refused: what the checks say of every host in question' }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem document' });

export type VersionView = z.infer<typeof versionSchema>;
export type Problem = z.infer<typeof problemSchema>;
