/**
 * The transfer of a migration: how the bytes travel, how far they are, whether they will arrive, and what was done
 * about that.
 */
import { z } from 'zod';
import { bytes, milliseconds, time } from './parts.ts';

export const progressSchema = z.object({
  percent: z.number().min(0).max(100).meta({ description: 'Never runs backwards' }),
  processedBytes: bytes(),
  remainingBytes: bytes(),
  totalBytes: bytes(),
  dirtyBytesPerSecond: bytes(),
  throughputBytesPerSecond: bytes(),
  iteration: z.number().int(),
  part: z.enum(['disks', 'memory']).optional().meta({ description: 'What is being sent' }),
  etaMs: milliseconds().optional(),
  etaEarliestMs: milliseconds().optional(),
  etaLatestMs: milliseconds().optional(),
  throttlePercent: z.number().optional().meta({ description: 'How much QEMU slows the guest down' }),
  postCopyFaults: z
    .number()
    .int()
    .optional()
    .meta({ description: 'Pages that the guest had to wait for in post-copy' }),
});

const figuresSchema = z.object({
  part: z.enum(['disks', 'memory']),
  iteration: z.number().int(),
  restBytes: z.number(),
  dirtyBytesPerSecond: z.number(),
  linkBytesPerSecond: z.number(),
  presentBytesPerSecond: z.number(),
  downtimeMs: z.number(),
  throttlePercent: z.number(),
  unchangedMs: z.number(),
  elapsedMs: z.number(),
  neededPauseMs: z.number().optional(),
  endsInMs: z.number().optional(),
});
export const decisionSchema = z
  .object({
    at: time(),
    do: z.string(),
    toMs: z.number().optional(),
    step: z.number().int().optional().meta({ description: "Index of the policy's step" }),
    text: z.string(),
    figures: figuresSchema,
  })
  .meta({
    id: 'Decision',
    description: 'What was done or said about a running transfer, and the figures that led to it',
  });

export const outlookSchema = z
  .object({
    kind: z.enum(['converges', 'at-risk', 'does-not-converge', 'unknown']),
    text: z.string().meta({ description: 'All of it, in words' }),
    budgetMs: milliseconds().meta({ description: 'Pause for the switchover that QEMU aims at first' }),
    dirtyBytesPerSecond: bytes()
      .optional()
      .meta({ description: 'Pages that the guest writes within a second, each counted once' }),
    bandwidthBytesPerSecond: bytes().optional(),
    inMs: milliseconds().optional().meta({ description: 'Time of the transfer if all memory is in use' }),
    earliestMs: milliseconds().optional(),
    latestMs: milliseconds().optional(),
    pauseMs: milliseconds().optional().meta({
      description: 'Pause that it would take: at least when it does not converge, at most when it is at risk',
    }),
    remedies: z
      .array(
        z.object({
          do: z.enum(['throttle', 'set-downtime', 'post-copy', 'pause', 'power-off']),
          toMs: milliseconds().optional(),
          when: z.string().optional(),
        }),
      )
      .meta({ description: 'What the policy does then; empty: nothing that would help' }),
  })
  .meta({
    id: 'Outlook',
    description: 'Whether pre-copy will end at the bandwidth of this migration, from the measured dirty rate',
  });

export const transferSchema = z
  .object({
    mode: z.enum(['peer-to-peer', 'direct']),
    modeReason: z.string(),
    tls: z.boolean().optional(),
    tunnelled: z.boolean().optional(),
    migrateUri: z.string().optional(),
    tlsName: z.string().optional(),
    listenAddress: z.string().optional(),
    disksPort: z.number().int().optional(),
    parallelConnections: z.number().int().optional(),
    compression: z.string().optional(),
    zeroCopy: z.boolean().optional(),
    postCopy: z.boolean().optional(),
    bandwidthMiBPerSecond: z.number().optional(),
    memoryBandwidthMiBPerSecond: z.number().optional(),
    throttle: z.object({ initialPercent: z.number(), incrementPercent: z.number() }).optional(),
    handover: z.boolean().optional(),
  })
  .meta({ id: 'Transfer', description: 'How the bytes travel' });

export const samplesSchema = z
  .object({
    items: z.array(
      z.object({
        at: time(),
        iteration: z.number(),
        remainingBytes: z.number(),
        processedBytes: z.number(),
        dirtyBytesPerSecond: z.number(),
        throughputBytesPerSecond: z.number(),
        throttlePercent: z.number().optional(),
        part: z.string().optional(),
      }),
    ),
  })
  .meta({ id: 'Samples', description: 'Figures of a transfer, oldest first' });

export type SamplesJson = z.infer<typeof samplesSchema>;
