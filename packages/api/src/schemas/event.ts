/** The events of the stream. */
import { z } from 'zod';
import { hostSchema } from './host.ts';
import { migrationSchema } from './migration.ts';
import { time } from './parts.ts';
import { vmSchema } from './vm.ts';

export const eventSchema = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('migration'), at: time(), migration: migrationSchema }),
    z.object({ type: z.literal('host'), at: time(), host: hostSchema }),
    z.object({ type: z.literal('host-removed'), at: time(), host: z.string() }),
    z.object({ type: z.literal('vm'), at: time(), vm: vmSchema }),
    z.object({ type: z.literal('vm-removed'), at: time(), uuid: z.string(), name: z.string() }),
    z
      .object({ type: z.literal('alarm'), at: time(), code: z.string(), vm: z.string(), message: z.string() })
      .meta({ description: 'An operator must act now' }),
    z
      .object({ type: z.literal('reset'), at: time() })
      .meta({ description: 'Events were lost: read all objects again' }),
  ])
  .meta({ id: 'Event' });

export type FerryEvent = z.infer<typeof eventSchema>;
