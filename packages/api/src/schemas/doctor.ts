/** The examination of hosts. */
import { z } from 'zod';

export const doctorRequestSchema = z
  .strictObject({
    hosts: z
      .array(z.string().min(1).max(255))
      .min(1)
      .max(1_000)
      .optional()
      .meta({ description: 'Names or ids; if absent, all hosts' }),
  })
  .meta({ id: 'DoctorRequest' });

export const doctorSchema = z
  .object({
    hosts: z.array(z.string()).meta({ description: 'Names of the hosts that were examined' }),
    findings: z.array(
      z.object({
        code: z.string(),
        verdict: z.enum(['mend', 'note', 'unknown']).meta({
          description:
            '"mend": moves to or from the host fail, or a guest could be harmed; "unknown": the host did not answer',
        }),
        host: z.string().optional().meta({ description: 'Absent where it is about a cluster' }),
        to: z.string().optional().meta({ description: 'The other host of a pair' }),
        cluster: z.string().optional(),
        message: z.string(),
        remedy: z.string(),
      }),
    ),
  })
  .meta({ id: 'Doctor', description: 'What is wrong with hosts' });

export type DoctorJson = z.infer<typeof doctorSchema>;
