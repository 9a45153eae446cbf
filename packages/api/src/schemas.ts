/**
 * The objects of the API as zod schemas: the JSON contract, one file per subject. Fields are only ever added. Sizes in
 * bytes, times in ms or RFC 3339 UTC. Types of requests and answers are inferred from them.
 */
export * from './schemas/cluster.ts';
export * from './schemas/common.ts';
export * from './schemas/doctor.ts';
export * from './schemas/drain.ts';
export * from './schemas/event.ts';
export * from './schemas/fleet.ts';
export * from './schemas/fleet-file.ts';
export * from './schemas/host.ts';
export * from './schemas/migration.ts';
export * from './schemas/migration-request.ts';
export * from './schemas/policy.ts';
export * from './schemas/prediction.ts';
export * from './schemas/queue.ts';
export * from './schemas/rollout.ts';
export { progressSchema, samplesSchema, type SamplesJson } from './schemas/transfer.ts';
export * from './schemas/configuration.ts';
export * from './schemas/rule.ts';
export * from './schemas/vm.ts';
