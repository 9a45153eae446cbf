/** Rollouts over hosts. */
import { z } from 'zod';
import type { OperationName } from '../routes.ts';
import { rolloutCreateSchema, rolloutSchema } from '../schemas/rollout.ts';
import { listErrors, listOf, listQuery } from './list.ts';
import { ref, type Operation } from './operation.ts';

const rolloutParams = z.strictObject({ rollout: ref('Name, id, or unambiguous prefix of the id of a rollout') });
const refErrors = ['request-invalid', 'rollout-unknown', 'rollout-ambiguous'] as const;

export const rolloutOperations = {
  rolloutCreate: {
    summary:
      'Empty hosts one after the other, have them worked on, and bring their VMs back; returns once it is stored',
    body: rolloutCreateSchema,
    answer: rolloutSchema,
    idempotencyKey: true,
    status: 201,
    errors: [
      'request-invalid',
      'selector-invalid',
      'host-unknown',
      'host-ambiguous',
      'host-unreachable',
      'host-draining',
      'host-in-rollout',
      'drain-last-host',
      'drain-refused',
      'rollout-refused',
      'store-conflict',
    ],
  },
  rolloutList: {
    summary: 'List rollouts, newest first',
    query: listQuery({}),
    answer: listOf(rolloutSchema, 'RolloutList'),
    status: 200,
    errors: listErrors,
  },
  rolloutShow: {
    summary: 'Show one rollout, with the state of each host',
    params: rolloutParams,
    answer: rolloutSchema,
    status: 200,
    errors: refErrors,
  },
  rolloutContinue: {
    summary: 'Go on: the host that it waits for has been worked on, or what stopped it has been seen to',
    params: rolloutParams,
    answer: rolloutSchema,
    status: 202,
    errors: [...refErrors, 'rollout-finished', 'rollout-not-waiting', 'store-conflict'],
  },
  rolloutCancel: {
    summary: 'Begin nothing more; a drain that runs is cancelled, and a restore goes on',
    params: rolloutParams,
    answer: rolloutSchema,
    status: 202,
    errors: [...refErrors, 'rollout-finished', 'store-conflict'],
  },
} as const satisfies Partial<Record<OperationName, Operation>>;
