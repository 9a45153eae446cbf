/**
 * Migrations: the plan of one, the durable object with all that is known of it, and what was kept of a failed target.
 */
import { z } from 'zod';
import { reasonSchema } from './common.ts';
import { kindSchema } from './migration-request.ts';
import { bytes, milliseconds, time } from './parts.ts';
import { policyContentShape } from './policy.ts';
import { decisionSchema, outlookSchema, progressSchema, transferSchema } from './transfer.ts';
import { domainStateSchema } from './vm.ts';

export const phaseSchema = z.enum([
  'queued',
  'checking',
  'preparing',
  'transferring',
  'switching',
  'post-copy',
  'verifying',
  'cleaning',
  'succeeded',
  'failed',
  'cancelled',
]);
export const outcomeSchema = z.enum(['succeeded', 'failed', 'cancelled']);

const movedDiskSchema = z
  .object({
    target: z.string(),
    when: z
      .enum(['now', 'next-start'])
      .optional()
      .meta({ description: 'Only the definition of the running guest has it, or only that for its next start' }),
    path: z.string().optional(),
    targetPath: z.string().optional().meta({ description: 'On the target, when it is another one there' }),
    how: z.enum(['none', 'shared', 'copy', 'file', 'eject']),
    sharing: z
      .object({
        verdict: z.enum(['shared', 'separate', 'unknown', 'other-file']),
        method: z.enum(['marker', 'identity', 'operator', 'none']),
        at: time().optional(),
        detail: z.string().optional(),
      })
      .optional()
      .meta({ description: 'How it is known whether both hosts have this storage' }),
    sizeBytes: bytes().optional(),
    allocatedBytes: bytes().optional(),
    pool: z.string().optional().meta({ description: 'Pool of the target that the copy goes into' }),
    neededBytes: bytes().optional().meta({ description: 'Upper bound of the space it needs there, bytes' }),
    losses: z.array(z.string()).optional().meta({ description: 'What the copy does not keep' }),
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
  .meta({ id: 'ResolvedPolicy', description: 'What the migration goes by, as it was when it was asked for' });
const howSchema = z
  .enum(['guest', 'helper', 'definition', 'stored-definition'])
  .meta({ description: 'What travels: the guest, a helper domain with its disks, or its definition only' });
const persistenceSchema = z.enum(['permanent', 'temporary', 'keep-source', 'transient']);
const resourceSchema = z
  .object({ kind: z.enum(['network', 'filter', 'secret']), name: z.string() })
  .meta({ id: 'Resource', description: 'Made on the target before the VM comes' });

export const plannedMigrationSchema = z
  .object({
    vm: z.object({ uuid: z.string(), name: z.string() }),
    from: z.string(),
    to: z.string(),
    kind: kindSchema,
    how: howSchema,
    persistence: persistenceSchema,
    transfer: transferSchema.optional(),
    policy: resolvedPolicySchema,
    outlook: outlookSchema.optional(),
    copyTime: z
      .object({
        text: z.string().meta({ description: 'All of it, in words' }),
        bytes: z.number().int(),
        bandwidthBytesPerSecond: z.number().int().optional(),
        inMs: z.number().int().optional().meta({ description: 'At least, where the bandwidth is that of the network' }),
      })
      .optional()
      .meta({ description: 'How long the disks of a guest that does not run take; absent where none is copied' }),
    disks: z.array(movedDiskSchema),
    creates: z.array(resourceSchema).optional(),
    unchecked: z.array(z.string()).meta({ description: 'What could not be looked at on the target' }),
    warnings: z.array(z.string()).meta({ description: 'What the VM will have less of there' }),
    differences: z.array(z.string()).meta({ description: "What the target's cluster does otherwise" }),
    diff: z.array(z.string()).meta({ description: 'Lines of the definition that change on the way, with - and +' }),
  })
  .meta({ id: 'PlannedMigration', description: 'What would happen; nothing has been touched' });

export const migrationSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    vm: z.object({ uuid: z.string(), name: z.string() }),
    kind: kindSchema,
    origin: z.enum(['operator']),
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
      .meta({ description: 'On whose word the host was taken for dead' }),
    how: howSchema.optional(),
    transfer: transferSchema.optional(),
    creates: z.array(resourceSchema).optional(),
    persistence: persistenceSchema.optional(),
    disks: z.array(movedDiskSchema).optional(),
    policy: resolvedPolicySchema.optional(),
    deadlineAt: time().optional(),
    decisions: z.array(decisionSchema).optional(),
    attempts: z
      .array(z.object({ at: time(), to: z.string().optional(), message: z.string() }))
      .optional()
      .meta({ description: 'Attempts before this one' }),
    attention: z.string().optional().meta({ description: 'What an operator should know now' }),
    adopted: z.boolean().optional().meta({ description: 'A restarted control plane took this transfer over' }),
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
