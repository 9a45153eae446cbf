/** VMs, and the volumes that their moves left behind. */
import { z } from 'zod';
import type { OperationName } from '../routes.ts';
import { vmLabelSchema } from '../schemas/policy.ts';
import { dirtyRateRequestSchema, dirtyRateSchema } from '../schemas/prediction.ts';
import {
  domainStateSchema,
  leftoverPurgeSchema,
  leftoverSchema,
  vmCopiesSchema,
  vmRemainsSchema,
  vmSchema,
  vmSettleSchema,
} from '../schemas/vm.ts';
import { listErrors, listOf, listQuery, namePattern, selector } from './list.ts';
import { hostErrors, ref } from './operation.ts';
import type { Operation } from './operation.ts';

const vmParams = z.strictObject({ vm: ref('Name, UUID, or unambiguous prefix of the UUID of a VM') });

export const vmOperations = {
  vmList: {
    summary: 'List the VMs of all hosts',
    query: listQuery({
      host: ref('Only VMs on this host').optional(),
      cluster: ref('Only VMs on hosts of this cluster').optional(),
      state: domainStateSchema.optional(),
      label: selector('VMs'),
      name: namePattern('VMs'),
      uuid: z.guid().optional(),
    }),
    answer: listOf(vmSchema, 'VmList'),
    status: 200,
    errors: [...listErrors, 'selector-invalid', 'host-unknown', 'host-ambiguous', 'cluster-unknown'],
  },
  vmShow: {
    summary: 'Show one VM with its instances',
    params: vmParams,
    answer: vmSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous'],
  },
  vmLabel: {
    summary: 'Add labels to a VM and remove others',
    params: vmParams,
    body: vmLabelSchema,
    answer: vmSchema,
    ifMatch: true,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous', 'store-conflict'],
  },
  vmAnnounce: {
    summary: 'Announce a VM to the network again',
    params: vmParams,
    answer: vmSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous', 'vm-not-running', 'host-auth-refused', ...hostErrors],
  },
  vmDirtyRate: {
    summary: 'Measure what a running guest writes to its memory; the plan uses it for 5 min',
    params: vmParams,
    body: dirtyRateRequestSchema,
    answer: dirtyRateSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous', 'vm-not-running', 'host-auth-refused', ...hostErrors],
  },
  vmCopies: {
    summary: 'Show every instance of a VM, with what is known of it',
    params: vmParams,
    answer: vmCopiesSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous'],
  },
  vmSettle: {
    summary: 'Keep one of several copies of a VM and end or park the others',
    params: vmParams,
    body: vmSettleSchema,
    answer: vmSchema,
    status: 200,
    errors: [
      'request-invalid',
      'vm-unknown',
      'vm-ambiguous',
      'host-unknown',
      'host-ambiguous',
      ...hostErrors,
      'vm-not-in-conflict',
      'vm-already-migrating',
      'copy-needed',
      'copy-saved',
      'copies-not-apart',
    ],
  },
  vmRemains: {
    summary: 'Show what interrupted migrations left of a VM',
    params: vmParams,
    answer: vmRemainsSchema,
    status: 200,
    errors: ['request-invalid', 'vm-unknown', 'vm-ambiguous'],
  },
  vmCleanup: {
    summary: 'Clean up what interrupted migrations left of a VM; returns what it did',
    params: vmParams,
    answer: vmRemainsSchema,
    status: 200,
    errors: [
      'request-invalid',
      'vm-unknown',
      'vm-ambiguous',
      ...hostErrors,
      'vm-already-migrating',
      'volume-changed',
      'volume-failed',
    ],
  },
  leftoverList: {
    summary: 'List the volumes that moves left behind, oldest first',
    query: listQuery({}),
    answer: listOf(leftoverSchema, 'LeftoverList'),
    status: 200,
    errors: listErrors,
  },
  leftoverPurge: {
    summary: 'Delete a volume that a move left behind, unless somebody has used it since',
    body: leftoverPurgeSchema,
    answer: leftoverSchema,
    status: 200,
    errors: [
      'request-invalid',
      'host-unknown',
      'host-ambiguous',
      ...hostErrors,
      'volume-unknown',
      'volume-changed',
      'volume-failed',
      'vm-already-migrating',
    ],
  },
} as const satisfies Partial<Record<OperationName, Operation>>;
