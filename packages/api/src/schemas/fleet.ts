/** The fleet as a whole: its settings. */
import { mostInFleet } from '@ferry/core';
import { z } from 'zod';
import { revision } from './parts.ts';

const maxMigrations = z
  .number()
  .int()
  .min(1)
  .max(mostInFleet)
  .optional()
  .meta({ description: 'Most migrations at once in the fleet; 500 if absent' });

export const fleetSchema = z.object({ maxMigrations, revision: revision() }).meta({ id: 'Fleet' });
export const fleetChangeSchema = z
  .strictObject({ maxMigrations: maxMigrations.nullable() })
  .meta({ id: 'FleetChange', description: 'A merge patch (RFC 7396): null removes a setting' });

export type FleetJson = z.infer<typeof fleetSchema>;
export type FleetChange = z.infer<typeof fleetChangeSchema>;
