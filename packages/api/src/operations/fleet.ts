/** Operations on the fleet as a whole: its settings, and the queue. */
import type { OperationName } from '../routes.ts';
import { fleetFileSchema } from '../schemas/fleet-file.ts';
import { fleetChangeSchema, fleetSchema } from '../schemas/fleet.ts';
import { queuedMigrationSchema } from '../schemas/queue.ts';
import { listErrors, listOf, listQuery } from './list.ts';
import type { Operation } from './operation.ts';

export const fleetOperations = {
  fleetShow: {
    summary: 'Show the settings of the fleet',
    answer: fleetSchema,
    status: 200,
    errors: [],
  },
  fleetChange: {
    summary: 'Change settings of the fleet; they take effect at once',
    body: fleetChangeSchema,
    answer: fleetSchema,
    ifMatch: true,
    status: 200,
    errors: ['request-invalid', 'store-conflict'],
  },
  fleetExport: {
    summary: 'Export what is recorded of the fleet, to plan on it with neither the control plane nor a host in reach',
    answer: fleetFileSchema,
    status: 200,
    errors: [],
  },
  queueList: {
    summary: 'List the migrations that wait, in the order in which they begin, with what each waits for',
    query: listQuery({}),
    answer: listOf(queuedMigrationSchema, 'Queue'),
    status: 200,
    errors: listErrors,
  },
} as const satisfies Partial<Record<OperationName, Operation>>;
