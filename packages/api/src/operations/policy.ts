/** Policies, and the labels that select them. */
import { z } from 'zod';
import type { OperationName } from '../routes.ts';
import { nameText } from '../schemas/parts.ts';
import { bindingPutSchema, bindingSchema, policyPutSchema, policySchema } from '../schemas/policy.ts';
import { listErrors, listOf, listQuery } from './list.ts';
import type { Operation } from './operation.ts';

const policyParams = z.strictObject({ policy: nameText().meta({ description: 'Name of a policy' }) });

export const policyOperations = {
  policyList: {
    summary: 'List the policies: the presets, then your own',
    query: listQuery({}),
    answer: listOf(policySchema, 'PolicyList'),
    status: 200,
    errors: listErrors,
  },
  policyShow: {
    summary: 'Show one policy',
    params: policyParams,
    answer: policySchema,
    status: 200,
    errors: ['request-invalid', 'policy-unknown'],
  },
  policyPut: {
    summary: 'Create a policy or its next version; running migrations keep the version they began with',
    params: policyParams,
    body: policyPutSchema,
    answer: policySchema,
    ifMatch: true,
    status: 200,
    errors: ['request-invalid', 'policy-invalid', 'policy-preset', 'store-conflict'],
  },
  policyRemove: {
    summary: 'Remove a policy that nothing selects',
    params: policyParams,
    ifMatch: true,
    status: 204,
    errors: ['request-invalid', 'policy-unknown', 'policy-preset', 'policy-in-use', 'store-conflict'],
  },
  policyBindings: {
    summary: 'List the labels that select a policy',
    query: listQuery({}),
    answer: listOf(bindingSchema, 'PolicyBindingList'),
    status: 200,
    errors: listErrors,
  },
  policyBind: {
    summary: 'Use a policy for VMs with a label, or stop using it',
    body: bindingPutSchema,
    answer: z.object({ items: z.array(bindingSchema) }).meta({ id: 'PolicyBindingListAfter' }),
    status: 200,
    errors: ['request-invalid', 'policy-unknown', 'store-conflict'],
  },
} as const satisfies Partial<Record<OperationName, Operation>>;
