/**
 * The operations table: what each route of routes.ts takes, returns and refuses, one file per subject. Server, OpenAPI
 * document, reference page and the client's types are derived from it. It holds no behaviour: the server attaches that
 * by the same names.
 */
import { z } from 'zod';
import { fleetOperations } from './operations/fleet.ts';
import { drainOperations } from './operations/drain.ts';
import { hostOperations } from './operations/host.ts';
import { migrationOperations } from './operations/migration.ts';
import type { Operation } from './operations/operation.ts';
import { rolloutOperations } from './operations/rollout.ts';
import { policyOperations } from './operations/policy.ts';
import { ruleOperations } from './operations/rule.ts';
import { vmOperations } from './operations/vm.ts';
import type { OperationName } from './routes.ts';
import { eventSchema, versionSchema } from './schemas.ts';

export { commonErrors, errorsOf, hasRevision, type Operation } from './operations/operation.ts';

export const operations = {
  versionShow: {
    summary: 'Show the version of the control plane and of its API',
    answer: versionSchema,
    status: 200,
    errors: [],
  },
  ...fleetOperations,
  ...hostOperations,
  ...drainOperations,
  ...rolloutOperations,
  ...policyOperations,
  ...ruleOperations,
  ...vmOperations,
  ...migrationOperations,
  eventWatch: {
    summary:
      'Follow all events, as server-sent events. The header "Last-Event-ID" replays the stored events after that id; ' +
      'a "reset" says that some are lost, as they may be after a restart of the control plane',
    query: z.strictObject({
      after: z
        .string()
        .regex(/^([a-z0-9]{1,16}-)?\d{1,15}$/)
        .optional()
        .meta({ description: 'Like the header "Last-Event-ID", which wins if both are present' }),
      progress: z
        .enum(['full', 'light'])
        .optional()
        .meta({
          description:
            'Progress between two phases: "full", the default, as the whole document of the migration; "light" as ' +
            '"migration-progress"',
        }),
    }),
    stream: eventSchema,
    status: 200,
    errors: ['request-invalid'],
  },
} as const satisfies Record<OperationName, Operation>;

type Table = typeof operations;
type Input<T> = T extends z.ZodType ? z.input<T> : undefined;
type Output<T> = T extends z.ZodType ? z.output<T> : undefined;
type Part<N extends OperationName, K extends keyof Operation> =
  Table[N] extends Readonly<Record<K, infer S>> ? S : undefined;

/** What a caller sends and receives, by operation. */
export type ParamsOf<N extends OperationName> = Input<Part<N, 'params'>>;
export type QueryOf<N extends OperationName> = Input<Part<N, 'query'>>;
export type BodyOf<N extends OperationName> = Input<Part<N, 'body'>>;
export type AnswerOf<N extends OperationName> = Output<Part<N, 'answer'>>;
export type StreamOf<N extends OperationName> = Output<Part<N, 'stream'>>;

/** What a handler receives, parsed. */
export interface ParsedOf<N extends OperationName> {
  readonly params: Output<Part<N, 'params'>>;
  readonly query: Output<Part<N, 'query'>>;
  readonly body: Output<Part<N, 'body'>>;
}

export type StreamName = {
  [N in OperationName]: Table[N] extends { readonly stream: unknown } ? N : never;
}[OperationName];
export type CallName = Exclude<OperationName, StreamName>;
