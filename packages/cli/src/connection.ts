/**
 * Finds the control plane and its token: what was given, the environment, else the local server's socket and token in
 * its data folder. That token goes to nobody but that socket: behind a port may listen anybody, once the server is
 * gone. It reads files; it never writes one.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ApiError, createClient, type Client } from '@ferry/api/client';
import { errorTable, type ErrorCode } from '@ferry/api/errors';
import { exchange, exchangeOver } from './http.ts';

// an import would read every export of the module, and some of them load a dozen others (http.ts)
const { closeSync, constants, fstatSync, openSync, readFileSync } = process.getBuiltinModule('node:fs');

export interface ConnectionOptions {
  readonly server?: string;
  readonly dataDir?: string;
}

const localError = (code: ErrorCode, message: string): ApiError =>
  new ApiError({ code, status: 0, message, remedy: errorTable[code].remedy });

function dataDirOf({ dataDir }: ConnectionOptions): string {
  if (dataDir !== undefined) return dataDir;
  const { FERRY_DATA_DIR, XDG_STATE_HOME } = process.env;
  if (FERRY_DATA_DIR !== undefined && FERRY_DATA_DIR !== '') return FERRY_DATA_DIR;
  if (process.getuid?.() === 0) return '/var/lib/ferry';
  return join(
    XDG_STATE_HOME !== undefined && XDG_STATE_HOME !== '' ? XDG_STATE_HOME : join(homedir(), '.local', 'state'),
    'ferry',
  );
}

/** A server that was named. Throws ApiError for what is no address. */
function namedServer({ server }: ConnectionOptions): string | undefined {
  const given = server ?? process.env['FERRY_SERVER'];
  if (given === undefined || given === '') return undefined;
  if (!URL.canParse(given) || new URL(given).protocol !== 'http:')
    throw localError(
      'request-invalid',
      `"${given}" is not the address of a server, which looks like http://127.0.0.1:8790.`,
    );
  return given;
}

/** Of the environment. Throws ApiError for what no token is. */
function givenToken(): string | undefined {
  const given = process.env['FERRY_TOKEN'];
  if (given === undefined || given === '') return undefined;
  if (!/^[\u0021-\u007e]+$/.test(given))
    throw localError(
      'token-wrong',
      'FERRY_TOKEN has a space, a line break or another character in it that no token has.',
    );
  return given;
}

const isOthers = (uid: number): boolean => process.getuid?.() !== 0 && uid !== process.getuid?.();

/**
 * The descriptor of the data folder; undefined when there is none. Throws ApiError for one that others can write to.
 */
function openFolder(dataDir: string): number | undefined {
  let folder: number;
  try {
    folder = openSync(dataDir, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch {
    // absent, or not ours to look at: no server of ours has it
    return undefined;
  }
  const { mode, uid } = fstatSync(folder);
  if ((mode & 0o022) === 0 && !isOthers(uid)) return folder;
  throw localError(
    'store-unsafe',
    `The data folder ${dataDir} ` +
      `${isOthers(uid) ? 'belongs to another user' : 'can be written by others'}, so Ferry does ` +
      'not trust what it says of a server.',
  );
}

/** What a file of the folder holds, when it is a regular one; undefined otherwise. */
function readIn(folder: number, name: string): string | undefined {
  try {
    const file = openSync(
      `/proc/self/fd/${folder}/${name}`,
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    );
    try {
      return fstatSync(file).isFile() ? readFileSync(file, 'utf8') : undefined;
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined;
  }
}

const urlIn = (folder: number): string | undefined => {
  const note = readIn(folder, 'server.json');
  return note === undefined ? undefined : (JSON.parse(note) as { readonly url: string }).url;
};

/** Throws ApiError when there is no server or no token to be found. */
export function connect(options: ConnectionOptions): Client {
  const server = namedServer(options);
  const given = givenToken();
  if (server !== undefined && given !== undefined)
    return createClient({ server, token: given, clientName: 'cli', fetch: exchange });
  const dataDir = dataDirOf(options);
  const folder = openFolder(dataDir);
  if (server !== undefined && (folder === undefined || server !== urlIn(folder))) {
    throw localError(
      'token-missing',
      `FERRY_TOKEN is not set, and the token in ${dataDir} goes to no other server than its own.`,
    );
  }
  const none = localError('server-unreachable', `No control plane runs with the data folder ${dataDir}.`);
  if (folder === undefined) throw none;
  const token = given ?? readIn(folder, 'token')?.trim();
  if (token === undefined)
    throw readIn(folder, 'server.json') === undefined
      ? none
      : localError('token-missing', `There is no token to be read in ${dataDir}, and FERRY_TOKEN is not set.`);
  // through the folder's descriptor: the folder that was checked is the one that is used, however long its name
  return createClient({
    server: 'http://localhost',
    token,
    clientName: 'cli',
    fetch: exchangeOver(`/proc/self/fd/${folder}/api.sock`, none),
  });
}
