/** What is predicted of a live migration, what it is predicted from, and how predictions turned out. */
import { z } from 'zod';
import { bytes, milliseconds, time } from './parts.ts';

const intervalSchema = z
  .object({
    low: milliseconds(),
    expected: milliseconds(),
    high: milliseconds().optional().meta({ description: 'Absent if nothing ends it for sure' }),
  })
  .meta({ id: 'Interval', description: 'In ms' });

const wideningSchema = z.object({ low: z.number(), high: z.number() });

export const predictionSchema = z
  .object({
    kind: z.enum(['converges', 'at-risk', 'does-not-converge', 'unknown']),
    text: z.string().meta({ description: 'In words' }),
    budgetMs: milliseconds().meta({ description: 'Pause for the switchover that QEMU aims at first' }),
    dirtyBytesPerSecond: bytes()
      .optional()
      .meta({ description: 'Memory that the guest writes within a second, each page counted once' }),
    measuredAt: time().optional(),
    endsByItself: z.boolean().optional().meta({ description: 'What is likelier, also where it is at risk' }),
    bandwidthBytesPerSecond: bytes().optional(),
    totalMs: intervalSchema.optional().meta({
      description: "Time of the transfer, until libvirt's call has ended; by the step of the policy if need be",
    }),
    downtimeMs: intervalSchema.optional().meta({ description: 'Pause of the guest' }),
    widened: z
      .object({ totalMs: wideningSchema, downtimeMs: wideningSchema })
      .optional()
      .meta({ description: 'Factors by which the intervals are wider because earlier predictions missed' }),
    pauseMs: milliseconds().optional().meta({
      description:
        'Pause that pre-copy alone needs: a lower bound if it does not converge, an upper bound if it is at risk',
    }),
    remedies: z
      .array(
        z.object({
          do: z.enum(['throttle', 'set-downtime', 'post-copy', 'pause', 'power-off']),
          toMs: milliseconds().optional(),
          when: z.string().optional(),
        }),
      )
      .meta({ description: 'What the policy does about it; empty if it has no step that helps' }),
    measured: z
      .object({
        totalMs: milliseconds(),
        downtimeMs: milliseconds().optional(),
        totalIsWithin: z.boolean().optional(),
        downtimeIsWithin: z.boolean().optional(),
      })
      .optional()
      .meta({ description: 'Of a migration that has succeeded: what was predicted, as it came' }),
  })
  .meta({
    id: 'Prediction',
    description:
      'Whether pre-copy converges at the bandwidth of this migration, how long that takes and how long the guest ' +
      'pauses, from the measured dirty rate',
  });

export const dirtyRateRequestSchema = z
  .strictObject({
    seconds: z.number().int().min(1).max(30).optional().meta({
      description: 'The longest period; 1, 2, 4 and so on come before it, one after the other. 4 if absent',
    }),
  })
  .meta({ id: 'DirtyRateRequest' });

export const dirtyRateSchema = z
  .object({
    vm: z.string(),
    at: time(),
    seconds: z.number().int().meta({ description: 'For how long the guest was measured, all periods together' }),
    dirtyBytesPerSecond: bytes().meta({ description: 'In the shortest period' }),
    readings: z
      .array(z.object({ seconds: z.number().int(), bytes: bytes(), bytesPerSecond: bytes() }))
      .meta({ description: 'Pages written within each period, each page counted once' }),
    residentBytes: bytes().optional().meta({ description: 'Memory that its QEMU has on the host' }),
  })
  .meta({ id: 'DirtyRate', description: 'What a guest writes to its memory, as QEMU measured it on samples of pages' });

const figureErrorSchema = z.object({
  count: z.number().int(),
  medianErrorMs: milliseconds().optional(),
  medianErrorShare: z.number().optional().meta({ description: 'Of the measured value' }),
  withinShare: z.number().optional().meta({ description: 'Share of the measured values within their intervals' }),
});

export const predictionStatsSchema = z
  .object({ totalMs: figureErrorSchema, downtimeMs: figureErrorSchema })
  .meta({ id: 'PredictionStats', description: 'Predictions of finished migrations compared with the outcome' });

export type PredictionJson = z.infer<typeof predictionSchema>;
export type DirtyRateJson = z.infer<typeof dirtyRateSchema>;
export type PredictionStatsJson = z.infer<typeof predictionStatsSchema>;
