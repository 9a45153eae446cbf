/**
 * The operations table: what each route of routes.ts takes, gives and refuses. Server, OpenAPI document, reference page
 * and the client's types are derived from it. It holds no behaviour: the server attaches that by the same names.
 */
import type { ErrorCode } from '@ferry/core';
import { z } from 'zod';
import type { OperationName } from './routes.ts';
import {
  inspectionSchema, samplesSchema, vmCopiesSchema, vmRemainsSchema, vmSettleSchema, clusterPutSchema, clusterSchema, eventSchema, hostAddSchema, hostChangeSchema, hostSchema, leftoverPurgeSchema, leftoverSchema, migrationCreateSchema, migrationSchema, migrationTuneSchema, plannedMigrationSchema, versionSchema,
  vmSchema,
} from './schemas.ts';
import { bindingPutSchema, bindingSchema, policyPutSchema, policySchema, vmLabelSchema } from './policy-schemas.ts';

/** One row of the table. An operation has an `answer`, or a `stream` of server-sent events, or neither (status 204). */
export interface Operation {
  readonly summary: string;
  readonly params?: z.ZodType;
  readonly query?: z.ZodType;
  readonly body?: z.ZodType;
  readonly answer?: z.ZodType;
  /** Schema of the `data` of each server-sent event. */
  readonly stream?: z.ZodType;
  /** Status of the good answer. */
  readonly status: number;
  /** Codes of this operation's own; `commonErrors` come on top. */
  readonly errors: readonly ErrorCode[];
}

/** Refusals that any operation can give. */
export const commonErrors: readonly ErrorCode[] = ['token-missing', 'token-wrong', 'origin-foreign', 'server-stopping', 'internal'];

const ref = (description: string) => z.string().min(1).max(255).meta({ description });
const hostParams = z.strictObject({ host: ref('Name, id, or an unambiguous beginning of the id of a host') });
const clusterParams = z.strictObject({ cluster: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/).meta({ description: 'Name of a cluster' }) });
const policyParams = z.strictObject({ policy: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/).meta({ description: 'Name of a policy' }) });
const vmParams = z.strictObject({ vm: ref('Name, UUID, or an unambiguous beginning of the UUID of a VM') });
const migrationParams = z.strictObject({ migration: ref('Name, id, or an unambiguous beginning of the id of a migration') });
const migrationRefErrors = ['request-invalid', 'migration-unknown', 'migration-ambiguous'] as const;

export const operations = {
  versionShow: {
    summary: 'Version of the control plane and of its API',
    answer: versionSchema,
    status: 200,
    errors: [],
  },
  hostList: {
    summary: 'All hosts with what is known of them now',
    answer: z.object({ items: z.array(hostSchema) }).meta({ id: 'HostList' }),
    status: 200,
    errors: [],
  },
  hostAdd: {
    summary: 'Add a host by its libvirt URI; answers once the host has been reached',
    body: hostAddSchema,
    answer: hostSchema,
    status: 201,
    errors: [
      'request-invalid', 'uri-invalid', 'uri-unsupported', 'host-unreachable', 'host-not-libvirt', 'host-auth-refused',
      'host-duplicate', 'host-name-taken', 'store-conflict',
    ],
  },
  hostShow: {
    summary: 'One host',
    params: hostParams,
    answer: hostSchema,
    status: 200,
    errors: ['request-invalid', 'host-unknown', 'host-ambiguous'],
  },
  hostRemove: {
    summary: 'Forget a host; nothing on the host is touched',
    params: hostParams,
    status: 204,
    errors: ['request-invalid', 'host-unknown', 'host-ambiguous', 'host-in-use', 'store-conflict'],
  },
  hostChange: {
    summary: 'Change the cluster or the migration address of a host',
    params: hostParams,
    body: hostChangeSchema,
    answer: hostSchema,
    status: 200,
    errors: ['request-invalid', 'host-unknown', 'host-ambiguous', 'store-conflict'],
  },
  clusterList: {
    summary: 'All clusters with their settings and hosts',
    answer: z.object({ items: z.array(clusterSchema) }).meta({ id: 'ClusterList' }),
    status: 200,
    errors: [],
  },
  clusterPut: {
    summary: 'Make a cluster, or replace its settings',
    params: clusterParams,
    body: clusterPutSchema,
    answer: clusterSchema,
    status: 200,
    errors: ['request-invalid', 'policy-unknown', 'store-conflict'],
  },
  clusterRemove: {
    summary: 'Forget a cluster that has no hosts',
    params: clusterParams,
    status: 204,
    errors: ['request-invalid', 'cluster-unknown', 'cluster-in-use', 'store-conflict'],
  },
  policyList: {
    summary: 'All policies: the presets, then the stored ones',
    answer: z.object({ items: z.array(policySchema) }).meta({ id: 'PolicyList' }),
    status: 200,
    errors: [],
  },
  policyShow: {
    summary: 'One policy',
    params: policyParams,
    answer: policySchema,
    status: 200,
    errors: ['request-invalid', 'policy-unknown'],
  },
  policyPut: {
    summary: 'Make a policy, or replace it with its next version; migrations that run keep the one they began with',
    params: policyParams,
    body: policyPutSchema,
    answer: policySchema,
    status: 200,
    errors: ['request-invalid', 'policy-invalid', 'policy-preset', 'store-conflict'],
  },
  policyRemove: {
    summary: 'Forget a policy that nothing selects',
    params: policyParams,
    status: 204,
    errors: ['request-invalid', 'policy-unknown', 'policy-preset', 'policy-in-use', 'store-conflict'],
  },
  policyBindings: {
    summary: 'Labels that select a policy',
    answer: z.object({ items: z.array(bindingSchema) }).meta({ id: 'PolicyBindingList' }),
    status: 200,
    errors: [],
  },
  policyBind: {
    summary: 'Let VMs with a label go by a policy, or no more',
    body: bindingPutSchema,
    answer: z.object({ items: z.array(bindingSchema) }).meta({ id: 'PolicyBindingListAfter' }),
    status: 200,
    errors: ['request-invalid', 'policy-unknown', 'store-conflict'],
  },
  vmList: {
    summary: 'All VMs of all hosts',
    answer: z.object({ items: z.array(vmSchema) }).meta({ id: 'VmList' }),
    status: 200,
    errors: [],
  },
  vmShow: {
    summary: 'One VM with its instances',
    params: vmParams,
    answer: vmSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous'],
  },
  vmLabel: {
    summary: 'Add labels to a VM, take others away',
    params: vmParams,
    body: vmLabelSchema,
    answer: vmSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous', 'store-conflict'],
  },
  vmAnnounce: {
    summary: "Let the VM's host tell the network again where the VM is",
    params: vmParams,
    answer: vmSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous', 'host-unreachable'],
  },
  vmCopies: {
    summary: 'Every instance of a VM with what is known of it',
    params: vmParams,
    answer: vmCopiesSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous'],
  },
  vmSettle: {
    summary: 'Keep one of several copies of a VM and end the others',
    params: vmParams,
    body: vmSettleSchema,
    answer: vmSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous', 'host-unknown', 'host-ambiguous', 'host-unreachable', 'vm-not-in-conflict', 'vm-already-migrating', 'copy-needed'],
  },
  vmRemains: {
    summary: 'What interrupted migrations left of a VM',
    params: vmParams,
    answer: vmRemainsSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous'],
  },
  vmCleanup: {
    summary: 'Settle what interrupted migrations left of a VM; answers with what it did',
    params: vmParams,
    answer: vmRemainsSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous', 'host-unreachable', 'vm-already-migrating', 'volume-changed', 'volume-failed'],
  },
  migrationList: {
    summary: 'Migrations, newest first',
    query: z.strictObject({
      state: z.enum(['active', 'finished']).optional(),
      vm: ref('Only migrations of this VM: its name or UUID').optional(),
      limit: z.coerce.number<number>().int().min(1).max(1000).optional().meta({ description: '100 unless given' }),
    }),
    answer: z.object({ items: z.array(migrationSchema) }).meta({ id: 'MigrationList' }),
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous'],
  },
  migrationCreate: {
    summary: 'Start a migration; answers as soon as it is stored, the move itself goes on',
    body: migrationCreateSchema,
    answer: migrationSchema,
    status: 201,
    errors: [
      'request-invalid', 'uri-invalid', 'uri-unsupported', 'vm-unknown', 'vm-ambiguous', 'host-unknown', 'host-ambiguous', 'host-unreachable', 'host-not-libvirt',
      'host-auth-refused', 'vm-already-migrating', 'policy-unknown', 'migration-refused', 'store-conflict',
    ],
  },
  migrationPlan: {
    summary: 'What a migration would do: the target, the way, the disks, the changes of the definition. Nothing is touched',
    body: migrationCreateSchema,
    answer: plannedMigrationSchema,
    status: 200,
    errors: ['request-invalid', 'uri-invalid', 'uri-unsupported', 'vm-unknown', 'vm-ambiguous', 'host-unknown', 'host-ambiguous', 'host-unreachable', 'host-not-libvirt', 'host-auth-refused', 'policy-unknown', 'migration-refused'],
  },
  migrationShow: {
    summary: 'One migration',
    params: migrationParams,
    answer: migrationSchema,
    status: 200,
    errors: migrationRefErrors,
  },
  migrationAbort: {
    summary: 'Ask for the abort of a migration; its end is recorded when both hosts have been looked at',
    params: migrationParams,
    answer: migrationSchema,
    status: 202,
    errors: [...migrationRefErrors, 'migration-finished', 'migration-past-return', 'store-conflict'],
  },
  migrationTune: {
    summary: 'Change the limits of a migration; they act at once on one that runs. Disks that are being copied keep theirs',
    params: migrationParams,
    body: migrationTuneSchema,
    answer: migrationSchema,
    status: 200,
    errors: [...migrationRefErrors, 'migration-finished', 'host-unreachable', 'store-conflict'],
  },
  migrationPause: {
    summary: 'Pause the guest of a running migration until it has arrived',
    params: migrationParams,
    answer: migrationSchema,
    status: 202,
    errors: [...migrationRefErrors, 'migration-finished', 'migration-not-transferring'],
  },
  migrationSamples: {
    summary: 'Figures of the transfer, oldest first',
    params: migrationParams,
    answer: samplesSchema,
    status: 200,
    errors: migrationRefErrors,
  },
  migrationInspect: {
    summary: 'What was kept of a failed target',
    params: migrationParams,
    answer: inspectionSchema,
    status: 200,
    errors: [...migrationRefErrors, 'inspection-none'],
  },
  migrationPostCopy: {
    summary: 'Switch a running migration to post-copy: the guest runs on the target, its pages follow, and nothing is rolled back from then on',
    params: migrationParams,
    answer: migrationSchema,
    status: 202,
    errors: [...migrationRefErrors, 'migration-finished', 'migration-not-transferring', 'post-copy-not-allowed', 'host-unreachable', 'store-conflict'],
  },
  leftoverList: {
    summary: 'Volumes that moves left behind, oldest first',
    answer: z.object({ items: z.array(leftoverSchema) }).meta({ id: 'LeftoverList' }),
    status: 200,
    errors: [],
  },
  leftoverPurge: {
    summary: 'Delete a volume that a move left behind, if nobody used it since',
    body: leftoverPurgeSchema,
    answer: leftoverSchema,
    status: 200,
    errors: ['request-invalid', 'host-unknown', 'host-ambiguous', 'host-unreachable', 'volume-unknown', 'volume-changed', 'volume-failed', 'vm-already-migrating'],
  },
  migrationWatch: {
    summary: 'A migration as it goes: its present state first, then each change; the stream ends after the finished state',
    params: migrationParams,
    stream: migrationSchema,
    status: 200,
    errors: migrationRefErrors,
  },
  eventWatch: {
    summary: 'Everything that happens, as server-sent events. The header "Last-Event-ID" replays the kept events after that id',
    query: z.strictObject({
      after: z.string().regex(/^\d{1,15}$/).optional().meta({ description: 'Like the header "Last-Event-ID", which wins when both are given' }),
    }),
    stream: eventSchema,
    status: 200,
    errors: ['request-invalid'],
  },
} as const satisfies Record<OperationName, Operation>;

type Table = typeof operations;
type Input<T> = T extends z.ZodType ? z.input<T> : undefined;
type Output<T> = T extends z.ZodType ? z.output<T> : undefined;
type Part<N extends OperationName, K extends keyof Operation> = Table[N] extends Readonly<Record<K, infer S>> ? S : undefined;

/** What a caller gives and gets, by operation. */
export type ParamsOf<N extends OperationName> = Input<Part<N, 'params'>>;
export type QueryOf<N extends OperationName> = Input<Part<N, 'query'>>;
export type BodyOf<N extends OperationName> = Input<Part<N, 'body'>>;
export type AnswerOf<N extends OperationName> = Output<Part<N, 'answer'>>;
export type StreamOf<N extends OperationName> = Output<Part<N, 'stream'>>;

/** What a handler receives once parsed. */
export interface ParsedOf<N extends OperationName> {
  readonly params: Output<Part<N, 'params'>>;
  readonly query: Output<Part<N, 'query'>>;
  readonly body: Output<Part<N, 'body'>>;
}

export type StreamName = { [N in OperationName]: Table[N] extends { readonly stream: unknown } ? N : never }[OperationName];
export type CallName = Exclude<OperationName, StreamName>;
