/** Hosts and the clusters that they are in. */
import { z } from 'zod';
import type { OperationName } from '../routes.ts';
import { clusterChangeSchema, clusterSchema, cpuBaselineSchema } from '../schemas/cluster.ts';
import { doctorRequestSchema, doctorSchema } from '../schemas/doctor.ts';
import { hostAddSchema, hostChangeSchema, hostSchema, hostStateSchema } from '../schemas/host.ts';
import { nameText } from '../schemas/parts.ts';
import { hostLabelSchema } from '../schemas/policy.ts';
import { listErrors, listOf, listQuery, namePattern, selector } from './list.ts';
import { hostErrors, ref } from './operation.ts';
import type { Operation } from './operation.ts';

const hostParams = z.strictObject({ host: ref('Name, id, or unambiguous prefix of the id of a host') });
const clusterParams = z.strictObject({ cluster: nameText().meta({ description: 'Name of a cluster' }) });

export const hostOperations = {
  hostList: {
    summary: 'List the hosts',
    query: listQuery({
      cluster: ref('Only hosts of this cluster').optional(),
      state: hostStateSchema.optional(),
      label: selector('hosts'),
      name: namePattern('hosts'),
    }),
    answer: listOf(hostSchema, 'HostList'),
    status: 200,
    errors: [...listErrors, 'selector-invalid'],
  },
  hostAdd: {
    summary: 'Add a host by its libvirt URI; returns once the host has been reached',
    body: hostAddSchema,
    answer: hostSchema,
    idempotencyKey: true,
    status: 201,
    errors: [
      'request-invalid',
      'uri-invalid',
      'uri-unsupported',
      ...hostErrors,
      'host-not-libvirt',
      'host-auth-refused',
      'host-duplicate',
      'host-name-invalid',
      'host-name-taken',
      'store-conflict',
    ],
  },
  hostShow: {
    summary: 'Show one host',
    params: hostParams,
    answer: hostSchema,
    status: 200,
    errors: ['request-invalid', 'host-unknown', 'host-ambiguous'],
  },
  hostRemove: {
    summary: 'Remove a host from the fleet; its VMs are not touched',
    params: hostParams,
    ifMatch: true,
    status: 204,
    errors: ['request-invalid', 'host-unknown', 'host-ambiguous', 'host-in-use', 'host-draining', 'store-conflict'],
  },
  hostChange: {
    summary: 'Change the cluster or the migration address of a host',
    params: hostParams,
    body: hostChangeSchema,
    answer: hostSchema,
    ifMatch: true,
    status: 200,
    errors: ['request-invalid', 'host-unknown', 'host-ambiguous', 'store-conflict'],
  },
  hostCordon: {
    summary: 'Place no more VMs on a host; those that are there stay',
    params: hostParams,
    answer: hostSchema,
    ifMatch: true,
    status: 200,
    errors: ['request-invalid', 'host-unknown', 'host-ambiguous', 'store-conflict'],
  },
  hostUncordon: {
    summary: 'Place VMs on a host again',
    params: hostParams,
    answer: hostSchema,
    ifMatch: true,
    status: 200,
    errors: ['request-invalid', 'host-unknown', 'host-ambiguous', 'host-draining', 'host-in-rollout', 'store-conflict'],
  },
  hostLabel: {
    summary: 'Add labels to a host and remove others',
    params: hostParams,
    body: hostLabelSchema,
    answer: hostSchema,
    ifMatch: true,
    status: 200,
    errors: ['request-invalid', 'host-unknown', 'host-ambiguous', 'store-conflict'],
  },
  hostDoctor: {
    summary: 'Examine hosts alone, between each other and within their clusters. Nothing stays on them',
    body: doctorRequestSchema,
    answer: doctorSchema,
    status: 200,
    errors: ['request-invalid', 'host-unknown', 'host-ambiguous'],
  },
  clusterList: {
    summary: 'List the clusters with their settings and hosts',
    query: listQuery({}),
    answer: listOf(clusterSchema, 'ClusterList'),
    status: 200,
    errors: listErrors,
  },
  clusterChange: {
    summary: 'Create a cluster or change some of its settings',
    params: clusterParams,
    body: clusterChangeSchema,
    answer: clusterSchema,
    ifMatch: true,
    status: 200,
    errors: ['request-invalid', 'policy-unknown', 'store-conflict'],
  },
  clusterCpuBaseline: {
    summary: 'Compute a CPU that all hosts of a cluster have, and list the VMs that need another. Nothing is changed',
    params: clusterParams,
    answer: cpuBaselineSchema,
    status: 200,
    errors: ['request-invalid', 'cluster-unknown', ...hostErrors],
  },
  clusterRemove: {
    summary: 'Remove a cluster without hosts',
    params: clusterParams,
    ifMatch: true,
    status: 204,
    errors: ['request-invalid', 'cluster-unknown', 'cluster-in-use', 'store-conflict'],
  },
} as const satisfies Partial<Record<OperationName, Operation>>;
