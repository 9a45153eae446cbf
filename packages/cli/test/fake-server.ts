/** For tests of the command line: a small server that speaks the contract, and the command line as a process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const main = join(import.meta.dirname, '..', 'src', 'main.ts');
export const problem = (code: string, status: number, reasons: object[] = []) => ({
  type: 'x',
  title: 'x',
  status,
  detail: 'It is so.',
  code,
  remedy: 'Do this.',
  retriable: false,
  reasons,
});

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

export async function fakeServer(handler: Handler) {
  const dataDir = mkdtempSync(join(tmpdir(), 'ferry-cli-'));
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => handler(request, response, body));
  });
  server.listen(join(dataDir, 'api.sock'));
  await once(server, 'listening');
  writeFileSync(join(dataDir, 'token'), 'secret', { mode: 0o600 });
  return {
    dataDir,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

export const json = (response: ServerResponse, status: number, value: unknown): void => {
  response.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json' });
  response.end(JSON.stringify(value));
};
export function start(dataDir: string, ...args: readonly string[]) {
  return startNode([], dataDir, args);
}

export function startNode(
  options: readonly string[],
  dataDir: string,
  args: readonly string[],
  more: NodeJS.ProcessEnv = {},
) {
  const { FERRY_SERVER: _server, FERRY_TOKEN: _token, NODE_TEST_CONTEXT: _context, ...env } = process.env;
  const child = spawn(process.execPath, [...options, main, ...args], {
    env: { ...env, FERRY_DATA_DIR: dataDir, ...more },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const out = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (out.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (out.stderr += chunk.toString()));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...out }));
  return { child, ended, out };
}
