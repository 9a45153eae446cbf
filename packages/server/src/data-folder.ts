/**
 * The data folder as far as the server owns it: the folder itself, the token, the socket by which the local CLI reaches
 * a running server and the note that says where that listens otherwise. Nothing in it is believed unless the folder and
 * the file are ours alone. The store's files are the driver's.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { FerryError } from '@ferry/core';

/** The default data folder. */
export const defaultDataDir = (
  environment: Readonly<Record<string, string | undefined>> = process.env,
  uid: number | undefined = process.getuid?.(),
): string => {
  const { FERRY_DATA_DIR: given, XDG_STATE_HOME: stateHome } = environment;
  if (given !== undefined && given !== '') return resolve(given);
  if (uid === 0) return '/var/lib/ferry';
  // A relative XDG_STATE_HOME is to be ignored, says the XDG specification.
  return join(
    stateHome !== undefined && isAbsolute(stateHome) ? stateHome : join(homedir(), '.local', 'state'),
    'ferry',
  );
};

/**
 * Makes the folder, readable by its owner only, if it is not there. Throws FerryError `store-broken`, `store-unsafe`.
 */
export const makeDataFolder = async (directory: string): Promise<void> => {
  try {
    // step by step: node's own way never ends where the system refuses to make a folder but does not say that it
    // exists (/proc)
    const missing: string[] = [];
    for (let at = resolve(directory); !(await exists(at)); at = dirname(at)) missing.push(at);
    for (const each of missing.toReversed()) await mkdir(each, { mode: 0o700 }).catch(unlessThere);
    if (!(await stat(directory)).isDirectory()) throw new Error('it is not a folder');
    await refuseUnsafe(directory);
  } catch (error) {
    throw unusable(directory, error);
  }
};

/**
 * The token in the folder, made if there is none. Its file is readable by its owner only. Throws FerryError
 * `store-broken`, `store-unsafe`.
 */
export const readOrMakeToken = async (directory: string): Promise<string> => {
  const path = join(directory, 'token');
  try {
    if (!(await exists(path))) await makeToken(path);
    const token = await readOwn(path);
    if (/^[A-Za-z0-9_-]{32,128}$/.test(token)) return token;
  } catch (error) {
    throw unusable(directory, error);
  }
  throw new FerryError(
    'store-broken',
    `The file ${path} does not hold a token; once it is removed, the next start makes a new one.`,
  );
};

/** Of a folder like /tmp: only the owner of a file may take it away. */
const stickyBit = 0o1000;

/** Who else may write here could put a token of his own in, or another folder in this one's place. */
const refuseUnsafe = async (directory: string): Promise<void> => {
  const own = process.getuid?.() ?? 0;
  const { uid, mode } = await stat(directory);
  if (uid !== own)
    throw new FerryError(
      'store-unsafe',
      `The data folder ${directory} belongs to the user ${uid}, and Ferry runs as ${own}.`,
    );
  if ((mode & 0o022) !== 0)
    throw new FerryError(
      'store-unsafe',
      `The data folder ${directory} can be written by others (mode ${(mode & 0o7777).toString(8)}).`,
    );
  for (let at = dirname(resolve(directory)); ; at = dirname(at)) {
    const above = await stat(at);
    const anybodys = (above.mode & 0o002) !== 0 && (above.mode & stickyBit) === 0;
    if (anybodys || (above.uid !== own && above.uid !== 0))
      throw new FerryError(
        'store-unsafe',
        `The data folder ${directory} can be replaced by others: ${at}, above it, ` +
          `${anybodys ? 'can be written by everybody' : `belongs to the user ${above.uid}`}.`,
      );
    if (at === dirname(at)) return;
  }
};

/** A regular file of our own, neither followed as a link nor waited for as a pipe; closed to others from here on. */
const readOwn = async (path: string): Promise<string> => {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(
    (error: unknown) => {
      throw codeOf(error) === 'ELOOP'
        ? new FerryError('store-unsafe', `${path} is a symbolic link, which Ferry does not follow.`, { cause: error })
        : error;
    },
  );
  const found = await file.stat();
  if (!found.isFile()) throw new FerryError('store-unsafe', `${path} is not a regular file.`);
  if (found.uid !== process.getuid?.())
    throw new FerryError(
      'store-unsafe',
      `${path} belongs to the user ${found.uid}, and Ferry runs as ${process.getuid?.()}.`,
    );
  if ((found.mode & 0o077) !== 0) await file.chmod(0o600);
  return (await file.readFile('utf8')).trim();
};

/** Written whole under another name first: a crash never leaves half a token. `link` loses against a second maker. */
const makeToken = async (path: string): Promise<void> => {
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
  try {
    await link(draft, path);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  } finally {
    await unlink(draft);
  }
};

/**
 * The path of the socket in the folder, for as long as the handle is open: by way of the folder's descriptor, since a
 * socket's path has at most 107 bytes and a folder's more.
 */
export const apiSocket = async (
  directory: string,
): Promise<{ readonly path: string; readonly close: () => Promise<void> }> => {
  const folder = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  return { path: `/proc/self/fd/${folder.fd}/api.sock`, close: () => folder.close() };
};

/** Says where the server is, for programs of the same user. */
export const writeServerNote = async (
  directory: string,
  note: { readonly url: string; readonly pid: number },
): Promise<void> => {
  const path = join(directory, 'server.json');
  const draft = `${path}.${note.pid}`;
  await writeFile(draft, `${JSON.stringify(note)}\n`, { mode: 0o600 });
  await rename(draft, path);
};

export const removeServerNote = async (directory: string): Promise<void> => {
  try {
    await unlink(join(directory, 'server.json'));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
};

/** Made by somebody else in the meantime. */
const unlessThere = (error: unknown): void => {
  if (codeOf(error) !== 'EEXIST') throw error;
};

const exists = async (path: string): Promise<boolean> => {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return false;
    throw error;
  }
};

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);

const unusable = (directory: string, error: unknown): FerryError =>
  error instanceof FerryError
    ? error
    : new FerryError(
        'store-broken',
        `Ferry can not use the data folder ${directory}: ${error instanceof Error ? error.message : String(error)}.`,
        { cause: error },
      );
