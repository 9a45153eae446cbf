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
  if (given !== undefined && given !== '') return given;
  const note = read(join(dataDir, 'server.json'));
  if (note === undefined) throw localError('server-unreachable', `No control plane runs with the data folder ${dataDir}.`);
  return (JSON.parse(note) as { readonly url: string }).url;
}

function tokenOf(dataDir: string): string {
  const given = process.env['FERRY_TOKEN'];
  if (given !== undefined && given !== '') return given;
  const path = join(dataDir, 'token');
  const token = read(path);
  if (token === undefined) throw localError('token-missing', `There is no token to be read in ${path}, and FERRY_TOKEN is not set.`);
  if ((statSync(path).mode & 0o077) !== 0) process.stderr.write(`warning: ${path} can be read by others; it should have the mode 600.\n`);
  return token.trim();
}

/** Throws ApiError when there is no server or no token to be found. */
export function connect(options: ConnectionOptions): Client {
  const dataDir = dataDirOf(options);
  return createClient({ server: serverUrl(options, dataDir), token: tokenOf(dataDir), clientName: 'cli', fetch: exchange });
}
