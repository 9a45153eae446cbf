/**
 * The OpenAPI 3.1 document, generated from the operations table. Schemas with an id become components. Nothing is
 * written by hand here that the table could say; the document is made once, at the start.
 */
import { errorTable } from '@ferry/core';
import type { ErrorCode } from '@ferry/core';
import { z } from 'zod';
import type { Operation } from './operations.ts';
import { errorsOf, hasRevision, operations } from './operations.ts';
import type { OperationName } from './routes.ts';
import { apiBase, routes } from './routes.ts';
import { problemSchema } from './schemas.ts';

export type JsonSchema = { readonly [key: string]: unknown };

export interface OpenApiParameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required: boolean;
  readonly description?: string;
  readonly schema: JsonSchema;
}

export interface OpenApiResponse {
  readonly description: string;
  readonly headers?: Readonly<Record<string, { readonly description: string; readonly schema: JsonSchema }>>;
  readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>>;
}

export interface OpenApiOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters?: readonly OpenApiParameter[];
  readonly requestBody?: {
    readonly required: true;
    readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>>;
  };
  readonly responses: Readonly<Record<string, OpenApiResponse>>;
  /** Codes of the problem documents that this operation can answer. */
  readonly 'x-ferry-errors': readonly ErrorCode[];
}

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>;
    readonly securitySchemes: Readonly<Record<string, JsonSchema>>;
  };
}

export const openApiDocument = (version: string): OpenApiDocument => {
  const components = new Map<string, JsonSchema>();
  const problem = schemaOf(problemSchema, components);
  const paths: Record<string, Record<string, OpenApiOperation>> = {};
  for (const name of Object.keys(routes) as OperationName[]) {
    const { method, path } = routes[name];
    const methods = (paths[`${apiBase}${path}`] ??= {});
    methods[method.toLowerCase()] = describe(name, operations[name], components, problem);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Ferry',
      version,
      description:
        'Control plane for migrations of virtual machines between KVM hosts. Sizes are in bytes, times ' +
        'in ms or RFC 3339 UTC. New versions only add fields: ignore those that you do not know.',
    },
    security: [{ token: [] }],
    paths,
    components: {
      schemas: Object.fromEntries([...components].sort(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description: 'Content of the file "token" in the data folder of the server',
        },
      },
    },
  };
};

const describe = (
  name: OperationName,
  operation: Operation,
  components: Map<string, JsonSchema>,
  problem: JsonSchema,
): OpenApiOperation => {
  const parameters = [
    ...parametersOf('path', operation.params, components),
    ...parametersOf('query', operation.query, components),
    ...(name === 'eventWatch' ? [lastEventId] : []),
    ...(operation.ifMatch === true ? [ifMatch] : []),
    ...(operation.idempotencyKey === true ? [idempotencyKey] : []),
  ];
  const errors = errorsOf(operation);
  const good: OpenApiResponse =
    operation.answer !== undefined
      ? {
          description: 'Done',
          ...(hasRevision(operation) ? { headers: { ETag: etag } } : {}),
          content: { 'application/json': { schema: schemaOf(operation.answer, components) } },
        }
      : operation.stream !== undefined
        ? {
            description: 'Server-sent events; the schema describes the data of each',
            content: { 'text/event-stream': { schema: schemaOf(operation.stream, components) } },
          }
        : { description: 'Done; no body' };
  const responses: Record<string, OpenApiResponse> = { [operation.status]: good };
  for (const code of errors) {
    const status = String(errorTable[code].status);
    const before = responses[status]?.description;
    responses[status] = {
      description: before === undefined ? code : `${before}, ${code}`,
      content: { 'application/problem+json': { schema: problem } },
    };
  }
  return {
    operationId: name,
    summary: operation.summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(operation.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: schemaOf(operation.body, components) } },
          },
        }),
    responses,
    'x-ferry-errors': errors,
  };
};

const lastEventId: OpenApiParameter = {
  name: 'Last-Event-ID',
  in: 'header',
  required: false,
  description: 'Id of the last event that you have seen; the stored events after it are replayed',
  schema: { type: 'string' },
};

const ifMatch: OpenApiParameter = {
  name: 'If-Match',
  in: 'header',
  required: false,
  description:
    'ETag that you read: if the document has another revision now, the request is refused and changes nothing',
  schema: { type: 'string', pattern: '^"\\d{1,15}"$' },
};
const idempotencyKey: OpenApiParameter = {
  name: 'Idempotency-Key',
  in: 'header',
  required: false,
  description:
    'Makes the request safe to repeat: for 24 hours the same key with the same request gets the first answer',
  schema: { type: 'string', pattern: '^[!-~]{1,255}$' },
};
const etag = { description: 'The revision of the document, in quotes', schema: { type: 'string' } };

const parametersOf = (
  place: 'path' | 'query',
  schema: z.ZodType | undefined,
  components: Map<string, JsonSchema>,
): OpenApiParameter[] => {
  if (schema === undefined) return [];
  const object = schemaOf(schema, components);
  const required = Array.isArray(object['required']) ? object['required'] : [];
  return Object.entries(record(object['properties'])).map(([name, value]) => {
    const { description, ...rest } = record(value);
    return {
      name,
      in: place,
      required: place === 'path' || required.includes(name),
      ...(typeof description === 'string' ? { description } : {}),
      schema: rest,
    };
  });
};

/**
 * JSON Schema of one zod schema, as its input side: objects of answers stay open for fields that are added later.
 * Wrapped in an object, so that a named schema comes back as a reference like any other.
 */
const schemaOf = (schema: z.ZodType, components: Map<string, JsonSchema>): JsonSchema => {
  const wrapped = record(z.toJSONSchema(z.object({ it: schema }), { io: 'input' }));
  for (const [id, definition] of Object.entries(record(wrapped['$defs']))) {
    const { id: _, ...rest } = record(pointToComponents(definition));
    components.set(id, rest);
  }
  return record(pointToComponents(record(wrapped['properties'])['it']));
};

const pointToComponents = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(pointToComponents);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) =>
      key === '$ref' && typeof inner === 'string'
        ? [key, inner.replace('#/$defs/', '#/components/schemas/')]
        : [key, pointToComponents(inner)],
    ),
  );
};

const record = (value: unknown): JsonSchema =>
  typeof value === 'object' && value !== null ? (value as JsonSchema) : {};
