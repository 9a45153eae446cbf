/**
 * Finds the control plane and its token: what was given, the environment, else what the local server left in its data
 * folder. It reads files; it never writes one.
 */
import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ApiError, createClient, type Client } from '@ferry/api/client';
import { errorTable, type ErrorCode } from '@ferry/api/errors';
import { exchange } from './http.ts';

export interface ConnectionOptions {
  readonly server?: string;
  readonly dataDir?: string;
}

const localError = (code: ErrorCode, message: string): ApiError => new ApiError({ code, status: 0, message, remedy: errorTable[code].remedy });

function dataDirOf({ dataDir }: ConnectionOptions): string {
  if (dataDir !== undefined) return dataDir;
  const { FERRY_DATA_DIR, XDG_STATE_HOME } = process.env;
  if (FERRY_DATA_DIR !== undefined && FERRY_DATA_DIR !== '') return FERRY_DATA_DIR;
  if (process.getuid?.() === 0) return '/var/lib/ferry';
  return join(XDG_STATE_HOME !== undefined && XDG_STATE_HOME !== '' ? XDG_STATE_HOME : join(homedir(), '.local', 'state'), 'ferry');
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // Absent, or not ours to read: either way this source has nothing to tell.
    return undefined;
  }
}

function serverUrl(options: ConnectionOptions, dataDir: string): string {
  const given = options.server ?? process.env['FERRY_SERVER'];
  if (given !== undefined && given !== '') {
    if (!URL.canParse(given) || new URL(given).protocol !== 'http:') throw localError('request-invalid', `"${given}" is not the address of a server, which looks like http://127.0.0.1:8790.`);
    return given;
  }
  const note = localServer(dataDir);
  if (note === undefined) throw localError('server-unreachable', `No control plane runs with the data folder ${dataDir}.`);
  return note;
}

function localServer(dataDir: string): string | undefined {
  const note = read(join(dataDir, 'server.json'));
  return note === undefined ? undefined : (JSON.parse(note) as { readonly url: string }).url;
}

const isLoopback = (server: string): boolean => /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(new URL(server).hostname);

function tokenOf(dataDir: string, server: string): string {
  const given = process.env['FERRY_TOKEN'];
  if (given !== undefined && given !== '') {
    if (!/^[\u0021-\u007e]+$/.test(given)) throw localError('token-wrong', 'FERRY_TOKEN has a space, a line break or another character in it that no token has.');
    return given;
  }
  // the token in the folder is that of the server on this machine, and goes nowhere else
  if (!isLoopback(server) && server !== localServer(dataDir)) throw localError('token-missing', `FERRY_TOKEN is not set, and the local server's token is not sent to ${server}.`);
  const path = join(dataDir, 'token');
  const token = read(path);
  if (token === undefined) throw localError('token-missing', `There is no token to be read in ${path}, and FERRY_TOKEN is not set.`);
  if ((statSync(path).mode & 0o077) !== 0) process.stderr.write(`warning: ${path} can be read by others; it should have the mode 600.\n`);
  return token.trim();
}

/** Throws ApiError when there is no server or no token to be found. */
export function connect(options: ConnectionOptions): Client {
  const dataDir = dataDirOf(options);
  const server = serverUrl(options, dataDir);
  return createClient({ server, token: tokenOf(dataDir, server), clientName: 'cli', fetch: exchange });
}
