/**
 * The typed client of the API: one call, or one stream of server-sent events, by the operation's name. Types come from
 * the operations table; at run time it needs neither zod nor the schemas, so that a CLI starts fast. It never retries
 * and never reconnects: a call with an unknown outcome must not be repeated blindly, and a stream's reader knows best.
 */
import type { ErrorCode, ExitCode } from './errors.ts';
import { errorTable, exitCodes } from './errors.ts';
import type { AnswerOf, BodyOf, CallName, ParamsOf, QueryOf, StreamName, StreamOf } from './operations.ts';
import type { OperationName } from './routes.ts';
import { apiBase, routes } from './routes.ts';
import type { Problem } from './schemas.ts';
import { parseEvents } from './event-stream.ts';

/** A refused or failed call. `code` may be one this client does not know yet; `exit` is then `failed`. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: string;
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly exit: ExitCode;
  readonly remedy: string;
  readonly reasons: Problem['reasons'];
  readonly hosts: NonNullable<Problem['hosts']>;

  constructor(
    fields: {
      code: string;
      status: number;
      message: string;
      remedy: string;
      reasons?: Problem['reasons'];
      hosts?: Problem['hosts'];
    },
    options?: ErrorOptions,
  ) {
    super(fields.message, options);
    this.code = fields.code;
    this.status = fields.status;
    this.exit = isErrorCode(fields.code) ? errorTable[fields.code].exit : exitCodes.failed;
    this.remedy = fields.remedy;
    this.reasons = fields.reasons ?? [];
    this.hosts = fields.hosts ?? [];
  }
}

/** The part of `fetch` that the client needs; `fetch` itself is one. */
export type Exchange = (
  url: string,
  request: {
    readonly method: string;
    readonly headers: Record<string, string>;
    readonly body?: string;
    readonly signal?: AbortSignal;
    readonly redirect: 'error';
  },
) => Promise<Answer>;

interface Answer {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: AsyncIterable<Uint8Array> | null;
  text(): Promise<string>;
}

export interface ClientOptions {
  /** e.g. `http://127.0.0.1:8790` */
  readonly server: string;
  readonly token: string;
  /** Recorded with what is started: `cli`, `console`, ... */
  readonly clientName: string;
  readonly fetch?: Exchange;
}

type Given<K extends string, T> = [T] extends [undefined]
  ? { readonly [P in K]?: undefined }
  : undefined extends T
    ? { readonly [P in K]?: T }
    : { readonly [P in K]: T };
type GivenQuery<T> = [T] extends [undefined] ? { readonly query?: undefined } : { readonly query?: T };

export type CallInput<N extends OperationName> = Given<'params', ParamsOf<N>> &
  GivenQuery<QueryOf<N>> &
  Given<'body', BodyOf<N>> & { readonly signal?: AbortSignal };
export type StreamInput<N extends OperationName> = Given<'params', ParamsOf<N>> &
  GivenQuery<QueryOf<N>> & {
    readonly lastEventId?: string;
    readonly signal?: AbortSignal;
  };

export interface StreamEvent<T> {
  readonly id?: string;
  readonly event: string;
  readonly data: T;
}

/** The argument may be left out when the operation needs neither params nor body. */
type Arguments<T> = object extends T ? [input?: T] : [input: T];

export interface Client {
  /** Rejects with ApiError, or with the signal's reason when it aborts. */
  call<N extends CallName>(name: N, ...input: Arguments<CallInput<N>>): Promise<AnswerOf<N>>;
  /** Ends when the server ends the stream; throws ApiError `server-unreachable` when the connection breaks. */
  stream<N extends StreamName>(name: N, ...input: Arguments<StreamInput<N>>): AsyncIterable<StreamEvent<StreamOf<N>>>;
}

interface RawInput {
  readonly params?: object | undefined;
  readonly query?: object | undefined;
  readonly body?: unknown;
  readonly lastEventId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const createClient = (options: ClientOptions): Client => {
  const send = async (name: OperationName, input: RawInput, accept: string): Promise<Answer> => {
    const headers: Record<string, string> = {
      authorization: `Bearer ${options.token}`,
      'ferry-client': options.clientName,
      accept,
    };
    if (input.body !== undefined) headers['content-type'] = 'application/json';
    if (input.lastEventId !== undefined) headers['last-event-id'] = input.lastEventId;
    const request = {
      method: routes[name].method,
      headers,
      redirect: 'error' as const,
      ...(input.body === undefined ? {} : { body: JSON.stringify(input.body) }),
      ...(input.signal === undefined ? {} : { signal: input.signal }),
    };
    const response = await reach(options.server, input.signal, () =>
      (options.fetch ?? fetch)(urlOf(options.server, name, input), request),
    );
    if (!response.ok) throw await refusal(response, options.server, input.signal);
    return response;
  };

  async function* stream(name: StreamName, input: RawInput): AsyncGenerator<StreamEvent<unknown>> {
    const response = await send(name, input, 'text/event-stream');
    if (response.body === null) return;
    try {
      for await (const event of parseEvents(response.body)) {
        yield {
          ...(event.id === undefined ? {} : { id: event.id }),
          event: event.event,
          data: readJson(event.data, options.server),
        };
      }
    } catch (error) {
      throw settle(error, options.server, input.signal);
    }
  }

  const client = {
    call: async (name: CallName, input: RawInput = {}): Promise<unknown> => {
      const response = await send(name, input, 'application/json');
      if (response.status === 204) return undefined;
      return readJson(await reach(options.server, input.signal, () => response.text()), options.server);
    },
    stream: (name: StreamName, input: RawInput = {}) => stream(name, input),
  };
  return client as unknown as Client;
};

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(errorTable, code);

const urlOf = (server: string, name: OperationName, input: RawInput): string => {
  const params = new Map(Object.entries(input.params ?? {}));
  const path = routes[name].path.replaceAll(/\{(\w+)\}/g, (_, key: string) => encodeSegment(String(params.get(key))));
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(input.query ?? {})) if (value !== undefined) query.set(key, String(value));
  const tail = query.size === 0 ? '' : `?${query.toString()}`;
  return `${server.replace(/\/+$/, '')}${apiBase}${path}${tail}`;
};

/** URL parsers resolve a segment of one or two dots, also when encoded; no object has such a name. */
const encodeSegment = (text: string): string => {
  if (text === '' || text === '.' || text === '..') {
    throw new ApiError({
      code: 'request-invalid',
      status: 0,
      message: `"${text}" is not a name.`,
      remedy: errorTable['request-invalid'].remedy,
    });
  }
  return encodeURIComponent(text);
};

const reach = async <T>(server: string, signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> => {
  try {
    return await attempt();
  } catch (error) {
    throw settle(error, server, signal);
  }
};

/** What a failed exchange is to the caller: the abort it asked for, an ApiError as it is, or a server out of reach. */
const settle = (error: unknown, server: string, signal: AbortSignal | undefined): unknown => {
  if (signal?.aborted === true) return signal.reason;
  if (error instanceof ApiError) return error;
  const why = causeOf(error);
  return new ApiError(
    {
      code: 'server-unreachable',
      status: 0,
      message: `The control plane at ${server} does not answer: ${why}.`,
      remedy: errorTable['server-unreachable'].remedy,
    },
    { cause: error },
  );
};

const causeOf = (error: unknown): string => {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(inner instanceof Error)) return 'the connection failed';
  const code = 'code' in inner && typeof inner.code === 'string' ? inner.code : undefined;
  if (code === 'ECONNREFUSED') return 'connection refused';
  return inner.message === '' ? (code ?? 'the connection failed') : inner.message.replace(/\.$/, '');
};

const readJson = (text: string, server: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError(
      {
        code: 'server-unreachable',
        status: 0,
        message: `What answers at ${server} is not a Ferry control plane: it sent no JSON.`,
        remedy: errorTable['server-unreachable'].remedy,
      },
      { cause: error },
    );
  }
};

const refusal = async (response: Answer, server: string, signal: AbortSignal | undefined): Promise<ApiError> => {
  const text = await reach(server, signal, () => response.text());
  const problem =
    response.headers.get('content-type')?.startsWith('application/problem+json') === true
      ? readJson(text, server)
      : undefined;
  if (!isProblem(problem)) {
    return new ApiError({
      code: 'server-unreachable',
      status: response.status,
      message: `What answers at ${server} is not a Ferry control plane: it said ${response.status} without a problem document.`,
      remedy: errorTable['server-unreachable'].remedy,
    });
  }
  return new ApiError({
    code: problem.code,
    status: response.status,
    message: problem.detail,
    remedy: problem.remedy,
    reasons: problem.reasons,
    ...(problem.hosts === undefined ? {} : { hosts: problem.hosts }),
  });
};

const isProblem = (value: unknown): value is Problem =>
  typeof value === 'object' &&
  value !== null &&
  'code' in value &&
  typeof value.code === 'string' &&
  'detail' in value &&
  typeof value.detail === 'string' &&
  'remedy' in value &&
  typeof value.remedy === 'string' &&
  'reasons' in value &&
  Array.isArray(value.reasons);
