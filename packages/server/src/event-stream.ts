/**
 * Server-sent events from an AsyncIterable. One event is written at a time and the next one is asked for only when the
 * socket has room, so nothing queues here: the bound and the overflow rule are the source's. A comment goes out when
 * nothing has been written for a while, so that both ends notice a dead connection. It never ends the process' streams.
 */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

export interface ServerSentEvent {
  /** Digits or other text without line breaks; absent for events that can not be replayed. */
  readonly id?: string;
  readonly event: string;
  readonly data: unknown;
}

export const eventStreamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
} as const;

export const encodeEvent = (event: ServerSentEvent): string => {
  const lines: string[] = [];
  if (event.id !== undefined) lines.push(`id: ${oneLine(event.id)}`);
  lines.push(`event: ${oneLine(event.event)}`, `data: ${JSON.stringify(event.data)}`);
  return `${lines.join('\n')}\n\n`;
};

const oneLine = (text: string): string => {
  if (/[\r\n\0]/.test(text)) throw new RangeError('a line break in an id or name of an event');
  return text;
};

/**
 * Writes until the source ends (a text is an event that is encoded already), the reader leaves or `signal` aborts, and
 * ends the response. Rejects with what the source threw, unless the signal had aborted. `signal` must abort when the
 * reader leaves.
 */
export const writeEvents = async (
  response: ServerResponse,
  source: AsyncIterable<ServerSentEvent | string>,
  signal: AbortSignal,
  pingMs = 15_000,
): Promise<void> => {
  const ping = setInterval(() => {
    if (!response.writableNeedDrain && !response.writableEnded) response.write(': ping\n\n');
  }, pingMs);
  ping.unref();
  const iterator = source[Symbol.asyncIterator]();
  try {
    // The source is opened before the headers are sent: a client that has them misses no later event.
    let next = iterator.next();
    response.writeHead(200, eventStreamHeaders);
    response.write(': ferry\n\n');
    for (;;) {
      const { done, value } = await next;
      if (done === true || signal.aborted) break;
      if (!response.write(typeof value === 'string' ? value : encodeEvent(value)))
        await once(response, 'drain', { signal });
      next = iterator.next();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    clearInterval(ping);
    response.end();
    await iterator.return?.().catch(() => undefined);
  }
};
