/**
 * The client's exchange over node:http. Node's fetch does the same but takes some 40 ms to load, half of what a short
 * command takes; the server is on loopback and speaks plain HTTP.
 */
import type { Exchange } from '@ferry/api/client';

// an import would read every export of the module, and one of them loads all of fetch
const { request } = process.getBuiltinModule('node:http');

export const exchange: Exchange = (url, options) => send(url, options, {});

/** Over the socket at this path; rejects with `none` when nobody listens there. */
export const exchangeOver =
  (socketPath: string, none: Error): Exchange =>
  (url, options) =>
    send(url, options, { socketPath }).catch((error: unknown) => {
      throw isNobodyThere(error) ? none : error;
    });

const isNobodyThere = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ECONNREFUSED');

const send = (
  url: string,
  { method, headers, body, signal }: Parameters<Exchange>[1],
  way: { readonly socketPath?: string },
): ReturnType<Exchange> =>
  new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      { method, headers, agent: false, ...way, ...(signal === undefined ? {} : { signal }) },
      (answer) => {
        const status = answer.statusCode ?? 0;
        resolve({
          ok: status >= 200 && status < 300,
          status,
          headers: { get: (name) => String(answer.headers[name.toLowerCase()] ?? '') || null },
          body: answer as AsyncIterable<Uint8Array>,
          text: async () => {
            const chunks: Uint8Array[] = [];
            for await (const chunk of answer as AsyncIterable<Uint8Array>) chunks.push(chunk);
            return Buffer.concat(chunks).toString('utf8');
          },
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
