/** Operations on migrations. */
import { z } from 'zod';
import type { OperationName } from '../routes.ts';
import { migrationCreateSchema, migrationTuneSchema } from '../schemas/migration-request.ts';
import { inspectionSchema, migrationSchema, plannedMigrationSchema } from '../schemas/migration.ts';
import { predictionStatsSchema } from '../schemas/prediction.ts';
import { samplesSchema } from '../schemas/transfer.ts';
import { listErrors, listOf, listQuery, namePattern, selector } from './list.ts';
import { hostErrors, ref } from './operation.ts';
import type { Operation } from './operation.ts';

const migrationParams = z.strictObject({
  migration: ref('Name, id, or unambiguous prefix of the id of a migration'),
});
const migrationRefErrors = ['request-invalid', 'migration-unknown', 'migration-ambiguous'] as const;

export const migrationOperations = {
  migrationList: {
    summary: 'List migrations, newest first',
    query: listQuery(
      {
        state: z.enum(['active', 'finished']).optional(),
        vm: ref('Only migrations of this VM: its name or UUID').optional(),
        host: ref('Only migrations from or to this host').optional(),
        label: selector('migrations of VMs'),
        name: namePattern('migrations of VMs'),
      },
      100,
    ),
    answer: listOf(migrationSchema, 'MigrationList'),
    status: 200,
    errors: [...listErrors, 'selector-invalid', 'vm-unknown', 'vm-ambiguous', 'host-unknown', 'host-ambiguous'],
  },
  migrationCreate: {
    summary: 'Start a migration; returns once it is stored, and the move goes on',
    body: migrationCreateSchema,
    answer: migrationSchema,
    idempotencyKey: true,
    status: 201,
    errors: [
      'request-invalid',
      'uri-invalid',
      'uri-unsupported',
      'vm-unknown',
      'vm-ambiguous',
      'host-unknown',
      'host-ambiguous',
      ...hostErrors,
      'host-not-libvirt',
      'host-auth-refused',
      'vm-already-migrating',
      'policy-unknown',
      'migration-refused',
      'store-conflict',
    ],
  },
  migrationPlan: {
    summary: 'Plan a migration: its target, transfer, disks and changes of the definition. Nothing is changed',
    body: migrationCreateSchema,
    answer: plannedMigrationSchema,
    status: 200,
    errors: [
      'request-invalid',
      'uri-invalid',
      'uri-unsupported',
      'vm-unknown',
      'vm-ambiguous',
      'host-unknown',
      'host-ambiguous',
      ...hostErrors,
      'host-not-libvirt',
      'host-auth-refused',
      'policy-unknown',
      'migration-refused',
    ],
  },
  migrationShow: {
    summary: 'Show one migration',
    params: migrationParams,
    answer: migrationSchema,
    status: 200,
    errors: migrationRefErrors,
  },
  migrationAbort: {
    summary: 'Request the abort of a migration; it ends once both hosts have been checked',
    params: migrationParams,
    answer: migrationSchema,
    ifMatch: true,
    status: 202,
    errors: [...migrationRefErrors, 'migration-finished', 'migration-past-return', 'store-conflict'],
  },
  migrationTune: {
    summary: 'Change the limits of a migration; while it runs they take effect at once, for memory and for disks',
    params: migrationParams,
    body: migrationTuneSchema,
    answer: migrationSchema,
    ifMatch: true,
    status: 200,
    errors: [...migrationRefErrors, 'migration-finished', ...hostErrors, 'store-conflict'],
  },
  migrationPause: {
    summary: 'Pause the guest of a running migration until it has arrived',
    params: migrationParams,
    answer: migrationSchema,
    ifMatch: true,
    status: 202,
    errors: [...migrationRefErrors, 'migration-finished', 'migration-not-transferring'],
  },
  migrationSamples: {
    summary: 'List the figures of a transfer, oldest first',
    params: migrationParams,
    answer: samplesSchema,
    status: 200,
    errors: migrationRefErrors,
  },
  migrationInspect: {
    summary: 'Show what was kept of a failed target',
    params: migrationParams,
    answer: inspectionSchema,
    status: 200,
    errors: [...migrationRefErrors, 'inspection-none'],
  },
  migrationPostCopy: {
    summary:
      'Switch a running migration to post-copy: the guest runs on the target, its pages follow; cannot be undone',
    params: migrationParams,
    answer: migrationSchema,
    ifMatch: true,
    status: 202,
    errors: [
      ...migrationRefErrors,
      'migration-finished',
      'migration-not-transferring',
      'post-copy-not-allowed',
      ...hostErrors,
      'store-conflict',
    ],
  },
  migrationWatch: {
    summary: 'Follow a migration: its state now, then each change; the stream ends when the migration has ended',
    params: migrationParams,
    stream: migrationSchema,
    status: 200,
    errors: migrationRefErrors,
  },
  statsPrediction: {
    summary: 'Compare the predictions of finished migrations with their outcome',
    answer: predictionStatsSchema,
    status: 200,
    errors: [],
  },
} as const satisfies Partial<Record<OperationName, Operation>>;
