/**
 * The API as a contract: routes, schemas, operations, OpenAPI document, errors and the typed client. No behaviour of
 * the server.
 */
export * from './client.ts';
export * from './errors.ts';
export * from './every-item.ts';
export * from './host-answer.ts';
export * from './openapi.ts';
export * from './operations.ts';
export * from './routes.ts';
export * from './schemas.ts';
