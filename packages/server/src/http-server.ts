/**
 * HTTP over an engine: routes from the operations table, guard, problem documents, event streams, reference page. It
 * knows no store and no hypervisor, does not listen itself, and tests can drive it with `inject`.
 */
import type { Socket } from 'node:net';
import fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { CallName, OperationName, ParsedOf, StreamName } from '@ferry/api';
import { apiBase, hasRevision, openApiDocument, operations, routes } from '@ferry/api';
import type { Operation } from '@ferry/api';
import { errorTable, FerryError } from '@ferry/core';
import type { Engine, Log } from '@ferry/engine';
import { docsPage } from './docs-page.ts';
import { writeEvents } from './event-stream.ts';
import { guard } from './guard.ts';
import { etagOf, keyedRequest, revisionOf } from './guards.ts';
import { idleLimitOf, limitIdle } from './idle-connections.ts';
import type { Caller } from './guard.ts';
import { callHandlers } from './handlers.ts';
import type { HandlerContext } from './handlers.ts';
import { parseInput } from './parse-input.ts';
import { ferryErrorOf, problemOf, problemType, stoppingError } from './problem.ts';
import { streamHandlers } from './stream-handlers.ts';

export interface HttpServerOptions {
  readonly engine: Engine;
  readonly token: string;
  readonly version: string;
  readonly log: Log;
  /** Silence after which a stream gets a comment; 15 s unless given. */
  readonly pingMs?: number;
  /** Connections that may wait without a request; a quarter of what the process may open unless given. */
  readonly idleLimit?: number;
}

/**
 * A connection without a request may wait this long for one; an idle one is taken for a new one sooner, where there
 * are very many.
 */
const idleMs = 10_000;
/** How long the other side may take over the last words of a connection that ends. */
const closingMs = 1_000;
/** Bytes a request's body may have. */
const bodyLimitBytes = 64 * 1024;

export const createHttpServer = (options: HttpServerOptions): FastifyInstance => {
  const { engine, log } = options;
  const admit = guard(options.token);
  const stopping = new AbortController();
  const app = fastify({
    logger: false,
    bodyLimit: bodyLimitBytes,
    requestTimeout: 30_000,
    keepAliveTimeout: idleMs,
    http: { headersTimeout: idleMs, connectionsCheckingInterval: 2_000 },
    return503OnClosing: false,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 1024 },
    frameworkErrors: (error, request, reply) => refuse(request, reply, admit(callerOf(request)) ?? error),
    clientErrorHandler: (_error, socket) => endBrokenRequest(socket),
  });
  app.removeContentTypeParser('text/plain');
  limitIdle(app.server, options.idleLimit ?? idleLimitOf());

  const refuse = (request: FastifyRequest, reply: FastifyReply, thrown: unknown): void => {
    const error = ferryErrorOf(thrown, stopping.signal.aborted);
    if (error.code === 'internal')
      log.error({ method: request.method, path: pathOf(request.url), error: error.cause ?? error }, 'request failed');
    const problem = problemOf(error);
    if (problem.status === 401) reply.header('www-authenticate', 'Bearer');
    // Serialized here: fastify must not look for a schema of its own.
    reply.code(problem.status).header('content-type', problemType).send(JSON.stringify(problem));
  };

  const contextOf = (
    name: OperationName,
    input: ParsedOf<OperationName>,
    request: FastifyRequest,
    reply: FastifyReply,
  ): HandlerContext => {
    const operation: Operation = operations[name];
    const left = new AbortController();
    reply.raw.once('close', () => left.abort(new Error('the caller left')));
    const { 'ferry-client': client, 'last-event-id': lastEventId, 'if-match': ifMatch } = request.headers;
    const key = request.headers['idempotency-key'];
    return {
      client: typeof client === 'string' && /^[a-z][a-z0-9-]{0,31}$/.test(client) ? client : 'api',
      expected: revisionOf(operation, ifMatch),
      keyed: keyedRequest(name, operation, typeof key === 'string' ? key : undefined, input),
      lastEventId: typeof lastEventId === 'string' ? lastEventId : undefined,
      signal: AbortSignal.any([left.signal, stopping.signal]),
    };
  };

  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-content-type-options', 'nosniff').header('cache-control', 'no-store');
    const refusal = admit(callerOf(request));
    if (refusal !== undefined) throw refusal;
    if (stopping.signal.aborted) throw stoppingError();
  });
  app.addHook('onResponse', async (request, reply) => {
    if (request.method === 'GET') return;
    log.info(
      {
        method: request.method,
        path: pathOf(request.url),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      'request',
    );
  });
  app.addHook('preClose', async () => stopping.abort(stoppingError()));
  app.setErrorHandler((error, request, reply) => refuse(request, reply, error));
  app.setNotFoundHandler((request, reply) => {
    const path = pathOf(request.url);
    const allowed = methodsOf(path);
    if (allowed.length === 0)
      return refuse(request, reply, new FerryError('not-found', `There is nothing at ${path.slice(0, 200)}.`));
    reply.header('allow', allowed.join(', '));
    return refuse(
      request,
      reply,
      new FerryError('method-not-allowed', `${request.method} is not possible at ${path.slice(0, 200)}.`),
    );
  });

  const calls = callHandlers(engine, options.version);
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- it ties the handler to its input
  const mountCall = <N extends CallName>(name: N): void => {
    const handle = calls[name];
    const { bodyLimitBytes: bodyLimit = bodyLimitBytes }: Operation = operations[name];
    app.route({
      method: routes[name].method,
      url: urlOf(name),
      bodyLimit,
      handler: async (request, reply) => {
        const input = parseInput(operations[name], request) as ParsedOf<N>;
        const answer = await handle(input, contextOf(name, input, request, reply));
        reply.code(operations[name].status);
        if (answer.location !== undefined) reply.header('location', answer.location);
        if (hasRevision(operations[name])) reply.header('etag', etagOf(answer.body));
        if (answer.body === undefined) return reply.send();
        return reply.header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(answer.body));
      },
    });
  };
  const streams = streamHandlers(engine);
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- it ties the handler to its input
  const mountStream = <N extends StreamName>(name: N): void => {
    const open = streams[name];
    app.route({
      method: routes[name].method,
      url: urlOf(name),
      handler: async (request, reply) => {
        const input = parseInput(operations[name], request) as ParsedOf<N>;
        const context = contextOf(name, input, request, reply);
        const events = await open(input, context);
        reply.hijack();
        try {
          await writeEvents(reply.raw, events, context.signal, options.pingMs);
        } catch (error) {
          log.error({ path: pathOf(request.url), error }, 'event stream ended by an error');
        }
      },
    });
  };
  for (const name of operationNames()) {
    if (isStream(name)) mountStream(name);
    else mountCall(name);
  }

  const document = openApiDocument(options.version);
  const openApiText = JSON.stringify(document);
  const page = docsPage(document, errorTable);
  app.get('/openapi.json', async (_request, reply) =>
    reply.header('content-type', 'application/json; charset=utf-8').send(openApiText),
  );
  app.get('/docs', async (_request, reply) =>
    reply
      .header('content-type', 'text/html; charset=utf-8')
      .header('content-security-policy', page.contentSecurityPolicy)
      .header('referrer-policy', 'no-referrer')
      .send(page.html),
  );
  return app;
};

const operationNames = (): readonly OperationName[] => Object.keys(routes) as OperationName[];
const isStream = (name: OperationName): name is StreamName => {
  const operation: Operation = operations[name];
  return operation.stream !== undefined;
};
const urlOf = (name: OperationName): string => `${apiBase}${routes[name].path.replaceAll(/\{(\w+)\}/g, ':$1')}`;
const pathOf = (url: string): string => url.replace(/\?.*$/s, '');

const callerOf = (request: FastifyRequest): Caller => ({
  method: request.method,
  path: pathOf(request.url),
  headers: request.headers,
  // An injected request comes in by no socket; it counts as one by the default port of HTTP.
  port: request.raw.socket.localPort ?? 80,
});

/** Methods that the path has; empty when there is no such path. */
const methodsOf = (path: string): readonly string[] => {
  if (path === '/docs' || path === '/openapi.json') return ['GET'];
  const matches = operationNames().filter((name) =>
    new RegExp(`^${apiBase}${routes[name].path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
  );
  return [...new Set(matches.map((name) => routes[name].method))];
};

/**
 * What is not HTTP, or does not come in time, gets an answer as short as it deserves: there is no request to refuse.
 * The descriptor is not kept for it.
 */
const endBrokenRequest = (socket: Socket): void => {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = JSON.stringify(problemOf(new FerryError('request-invalid', 'This is not a valid HTTP request.')));
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: ${problemType}\r\ncontent-length: ` +
      `${Buffer.byteLength(body)}\r\n\r\n${body}`,
    () => socket.destroy(),
  );
  setTimeout(() => socket.destroy(), closingMs).unref();
};
