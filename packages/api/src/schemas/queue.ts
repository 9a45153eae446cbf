/** The queue: migrations that wait, and what for. */
import { migrationOrigins } from '@ferry/core';
import { z } from 'zod';
import { milliseconds, time } from './parts.ts';

export const waitingSchema = z
  .object({
    place: z.number().int().meta({ description: 'In the queue; 1 begins first' }),
    priority: z.enum(migrationOrigins).meta({ description: 'Its origin, or what it has risen to by waiting' }),
    since: time(),
    waitedMs: milliseconds(),
    waitsFor: z
      .array(z.object({ code: z.string(), message: z.string() }))
      .meta({ description: 'What it waits for; as long as all of it is taken' }),
  })
  .meta({ id: 'Waiting' });

export const queuedMigrationSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    vm: z.object({ uuid: z.string(), name: z.string() }),
    origin: z.enum(migrationOrigins),
    batch: z.string().optional(),
    from: z.string(),
    to: z.string().optional().meta({ description: 'The host that was asked for' }),
    ...waitingSchema.shape,
  })
  .meta({ id: 'QueuedMigration' });

export type WaitingJson = z.infer<typeof waitingSchema>;
export type QueuedMigrationJson = z.infer<typeof queuedMigrationSchema>;
