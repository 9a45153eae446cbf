/** Drains of hosts, and the restores that take them back. */
import { z } from 'zod';
import type { OperationName } from '../routes.ts';
import { drainCancelSchema, drainCreateSchema, drainSchema } from '../schemas/drain.ts';
import { listErrors, listOf, listQuery } from './list.ts';
import { ref, type Operation } from './operation.ts';

const drainParams = z.strictObject({ drain: ref('Name, id, or unambiguous prefix of the id of a drain or restore') });
const refErrors = ['request-invalid', 'drain-unknown', 'drain-ambiguous'] as const;
const createErrors = [
  'request-invalid',
  'host-unknown',
  'host-ambiguous',
  'host-unreachable',
  'host-draining',
  'drain-refused',
  'drain-last-host',
] as const;

export const drainOperations = {
  drainCreate: {
    summary: 'Move every VM off hosts, which take none meanwhile; returns once the drain is stored, and it goes on',
    body: drainCreateSchema,
    answer: drainSchema,
    idempotencyKey: true,
    status: 201,
    errors: [...createErrors, 'store-conflict'],
  },
  drainPlan: {
    summary: 'Plan a drain: how each VM leaves, and where to. Nothing is changed',
    body: drainCreateSchema,
    answer: drainSchema,
    status: 200,
    errors: createErrors,
  },
  drainList: {
    summary: 'List drains and restores, newest first',
    query: listQuery({}),
    answer: listOf(drainSchema, 'DrainList'),
    status: 200,
    errors: listErrors,
  },
  drainShow: {
    summary: 'Show one drain or restore, with the outcome of each VM',
    params: drainParams,
    answer: drainSchema,
    status: 200,
    errors: refErrors,
  },
  drainCancel: {
    summary: 'Cancel a drain or restore: nothing more begins, and the hosts go back to their state before',
    params: drainParams,
    body: drainCancelSchema,
    answer: drainSchema,
    status: 202,
    errors: [...refErrors, 'drain-finished', 'store-conflict'],
  },
  drainRetry: {
    summary: 'Try the VMs again that did not leave',
    params: drainParams,
    answer: drainSchema,
    status: 202,
    errors: [...refErrors, 'drain-finished', 'host-draining', 'drain-last-host', 'store-conflict'],
  },
  hostRestore: {
    summary: 'Bring back the VMs that left a host by its last drain and are still where they were put; uncordons it',
    params: z.strictObject({ host: ref('Name, id, or unambiguous prefix of the id of a host') }),
    answer: drainSchema,
    idempotencyKey: true,
    status: 201,
    errors: [
      'request-invalid',
      'host-unknown',
      'host-ambiguous',
      'host-draining',
      'host-in-rollout',
      'drain-none',
      'store-conflict',
    ],
  },
} as const satisfies Partial<Record<OperationName, Operation>>;
