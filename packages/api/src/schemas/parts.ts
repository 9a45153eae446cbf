/** Small schemas that several objects share. The package does not export them. */
import { z } from 'zod';

export const bytes = () => z.number().int().nonnegative();
export const time = () => z.string().meta({ format: 'date-time', description: 'RFC 3339, UTC' });
export const milliseconds = () => z.number().int().nonnegative();
export const nameText = () => z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);
/** Of a document that can be changed. */
export const revision = (of = 'of it') =>
  z
    .number()
    .int()
    .meta({
      description: `Differs after each change of what Ferry stores ${of}; 0 if nothing is. "If-Match" takes it`,
    });
