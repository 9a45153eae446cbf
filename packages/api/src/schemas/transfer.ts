/** The transfer of a migration: its way, its progress and the decisions about it. */
import { z } from 'zod';
import { bytes, milliseconds, time } from './parts.ts';

export const progressSchema = z.object({
  percent: z.number().min(0).max(100).meta({ description: 'Never falls' }),
  processedBytes: bytes(),
  remainingBytes: bytes(),
  totalBytes: bytes(),
  dirtyBytesPerSecond: bytes(),
  throughputBytesPerSecond: bytes(),
  iteration: z.number().int(),
  part: z.enum(['disks', 'memory']).optional().meta({ description: 'What is sent now' }),
  etaMs: milliseconds().optional(),
  etaEarliestMs: milliseconds().optional(),
  etaLatestMs: milliseconds().optional(),
  throttlePercent: z.number().optional().meta({ description: 'How much QEMU throttles the guest' }),
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
    description: 'What Ferry did or reported about a running transfer, and the figures behind it',
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
