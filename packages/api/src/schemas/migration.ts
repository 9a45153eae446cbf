/** Migrations: the plan of one, the stored object, and what was kept of a failed target. */
import { hookStages, migrationOrigins, migrationPhases } from '@ferry/core';
import { z } from 'zod';
import { hostAnswerSchema, reasonSchema } from './common.ts';
import { kindSchema } from './migration-request.ts';
import { bytes, milliseconds, revision, time } from './parts.ts';
import { hookAnswerShape, policyContentShape } from './policy.ts';
import { predictionSchema } from './prediction.ts';
import { decisionSchema, progressSchema, transferSchema } from './transfer.ts';
import { waitingSchema } from './queue.ts';
import { domainStateSchema } from './vm.ts';

export const phaseSchema = z.enum(migrationPhases);
export const outcomeSchema = z.enum(['succeeded', 'failed', 'cancelled']);

const movedDiskSchema = z
  .object({
    target: z.string(),
    when: z
      .enum(['now', 'next-start'])
      .optional()
      .meta({ description: 'The disk is in one definition only: "now", of the running guest; or "next-start"' }),
    path: z.string().optional(),
    targetPath: z.string().optional().meta({ description: 'Path on the target, if it differs' }),
    how: z.enum(['none', 'shared', 'copy', 'file', 'eject']),
    sharing: z
      .object({
        verdict: z.enum(['shared', 'separate', 'unknown', 'other-file']),
        method: z.enum(['marker', 'identity', 'operator', 'none']),
        at: time().optional(),
        detail: z.string().optional(),
      })
      .optional()
      .meta({ description: 'Whether both hosts have this storage, and how Ferry knows' }),
    sizeBytes: bytes().optional(),
    allocatedBytes: bytes().optional(),
    pool: z.string().optional().meta({ description: 'Pool on the target for the copy' }),
    neededBytes: bytes().optional().meta({ description: 'Most space that the copy needs there' }),
    losses: z.array(z.string()).optional().meta({ description: 'What the copy loses' }),
  })
  .meta({ id: 'MovedDisk' });

const resolvedPolicySchema = z
  .object({
    name: z.string(),
    version: z.number().int(),
    from: z.enum(['migration', 'vm', 'cluster', 'default']),
    text: z.string(),
    ...policyContentShape,
  })
  .meta({ id: 'ResolvedPolicy', description: 'The policy of the migration, as it was when the migration was created' });
const howSchema = z
  .enum(['guest', 'helper', 'definition', 'stored-definition'])
  .meta({ description: 'What travels: the guest, a helper domain with its disks, or only its definition' });
const persistenceSchema = z.enum(['permanent', 'temporary', 'keep-source', 'transient']);
const resourceSchema = z
  .object({ kind: z.enum(['network', 'filter', 'secret']), name: z.string() })
  .meta({ id: 'Resource', description: 'Created on the target before the VM arrives' });

export const plannedMigrationSchema = z
  .object({
    vm: z.object({ uuid: z.string(), name: z.string() }),
    from: z.string(),
    to: z.string(),
    hosts: z.array(hostAnswerSchema).meta({ description: 'Every host in question, with all that speaks against it' }),
    kind: kindSchema,
    how: howSchema,
    persistence: persistenceSchema,
    transfer: transferSchema.optional(),
    policy: resolvedPolicySchema,
    prediction: predictionSchema.optional(),
    copyTime: z
      .object({
        text: z.string().meta({ description: 'In words' }),
        bytes: z.number().int(),
        bandwidthBytesPerSecond: z.number().int().optional(),
        inMs: z.number().int().optional().meta({ description: "A lower bound if the bandwidth is the network's" }),
      })
      .optional()
      .meta({ description: 'Time to copy the disks of a guest that does not run; absent if no disk is copied' }),
    disks: z.array(movedDiskSchema),
    creates: z.array(resourceSchema).optional(),
    unchecked: z
      .array(z.string())
      .meta({ description: 'What could not be checked on the target: its findings that are not known' }),
    warnings: z.array(z.string()).meta({ description: 'What the VM loses on the target' }),
    differences: z.array(z.string()).meta({ description: "What differs in the target's cluster" }),
    diff: z.array(z.string()).meta({ description: 'Lines of the definition that change, with - and +' }),
  })
  .meta({ id: 'PlannedMigration', description: 'What would happen; nothing has been changed' });

export const migrationSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    vm: z.object({ uuid: z.string(), name: z.string() }),
    kind: kindSchema,
    origin: z.enum(migrationOrigins).meta({ description: 'Why it exists' }),
    batch: z.string().optional().meta({ description: 'What the migrations of its batch are named after' }),
    batchId: z.string().optional().meta({ description: 'Id of the drain or restore that it belongs to' }),
    actor: z.string(),
    client: z.string(),
    from: z.string().meta({ description: 'Name of the source host' }),
    to: z.string().optional().meta({ description: 'Name of the target host, once chosen' }),
    phase: phaseSchema,
    phases: z.array(z.object({ phase: phaseSchema, at: time() })),
    outcome: outcomeSchema.optional(),
    progress: progressSchema.optional(),
    totalMs: milliseconds().optional(),
    downtimeMs: milliseconds().optional(),
    transferredBytes: bytes().optional(),
    vmIsNow: z.object({ host: z.string(), state: domainStateSchema }).optional(),
    error: z
      .object({ code: z.string(), message: z.string(), remedy: z.string(), reasons: z.array(reasonSchema) })
      .optional(),
    maxBandwidthMiBPerSecond: z.number().int().optional(),
    maxDowntimeMs: milliseconds().optional(),
    proofOfDeath: z
      .object({ host: z.string(), statement: z.string(), actor: z.string(), at: time() })
      .optional()
      .meta({ description: 'Who stated that the host is dead, how and when' }),
    how: howSchema.optional(),
    transfer: transferSchema.optional(),
    creates: z.array(resourceSchema).optional(),
    persistence: persistenceSchema.optional(),
    disks: z.array(movedDiskSchema).optional(),
    policy: resolvedPolicySchema.optional(),
    deadlineAt: time().optional(),
    prediction: predictionSchema.optional(),
    decisions: z.array(decisionSchema).optional(),
    attempts: z
      .array(z.object({ at: time(), to: z.string().optional(), message: z.string() }))
      .optional()
      .meta({ description: 'Earlier attempts' }),
    hooks: z
      .array(
        z.object({
          hook: z.string(),
          stage: z.enum(hookStages),
          attempt: z.number().int(),
          at: time(),
          tookMs: milliseconds(),
          ...hookAnswerShape,
        }),
      )
      .optional()
      .meta({ description: 'What the hooks of its policy answered' }),
    waiting: waitingSchema.optional().meta({ description: 'Where one migration is shown that is queued' }),
    attention: z.string().optional().meta({ description: 'What an operator should know now' }),
    adopted: z.boolean().optional().meta({ description: 'A control plane took this transfer over after a restart' }),
    revision: revision('of it, progress and decisions aside'),
  })
  .meta({ id: 'Migration' });

export const inspectionSchema = z
  .object({
    migration: z.string(),
    at: time(),
    host: z.string(),
    log: z.string().optional(),
    definition: z.string().optional(),
    volumes: z.array(z.string()),
    notes: z.array(z.string()),
  })
  .meta({ id: 'Inspection', description: 'What was kept of a failed target' });

export type PlannedMigrationJson = z.infer<typeof plannedMigrationSchema>;
export type MigrationJson = z.infer<typeof migrationSchema>;
export type InspectionJson = z.infer<typeof inspectionSchema>;
