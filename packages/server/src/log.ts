/**
 * Log lines as JSON, one per line, to a stream. It has no levels to switch, no rotation and no targets: the service
 * manager of the machine does that. The token is never passed to it.
 */
import type { Log } from '@ferry/engine';

export const jsonLog = (out: { write(text: string): unknown }, now: () => number = Date.now): Log => {
  const line =
    (level: string) =>
    (fields: object, message: string): void => {
      out.write(`${JSON.stringify({ time: new Date(now()).toISOString(), level, message, ...fields }, plain)}\n`);
    };
  return { info: line('info'), warn: line('warn'), error: line('error') };
};

const plain = (_key: string, value: unknown): unknown => {
  if (typeof value === 'bigint') return value.toString();
  if (!(value instanceof Error)) return value;
  return {
    name: value.name,
    message: value.message,
    stack: value.stack,
    ...(value.cause === undefined ? {} : { cause: value.cause }),
  };
};
