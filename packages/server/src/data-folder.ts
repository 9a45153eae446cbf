/**
 * The data folder as far as the server owns it: the folder itself, the token and the note by which the local CLI finds
 * a running server. The store's files in it are the driver's.
 */
import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { FerryError } from '@ferry/core';

/** Where Ferry keeps its data unless told otherwise. */
export const defaultDataDir = (environment: Readonly<Record<string, string | undefined>> = process.env, uid: number | undefined = process.getuid?.()): string => {
  const { FERRY_DATA_DIR: given, XDG_STATE_HOME: stateHome } = environment;
  if (given !== undefined && given !== '') return resolve(given);
  if (uid === 0) return '/var/lib/ferry';
  // A relative XDG_STATE_HOME is to be ignored, says the XDG specification.
  return join(stateHome !== undefined && isAbsolute(stateHome) ? stateHome : join(homedir(), '.local', 'state'), 'ferry');
};

/** Makes the folder, readable by its owner only, if it is not there. Throws FerryError `store-broken`. */
export const makeDataFolder = async (directory: string): Promise<void> => {
  try {
    // step by step: node's own way never ends where the system refuses to make a folder but does not say that it exists (/proc)
    const missing: string[] = [];
    for (let at = resolve(directory); !(await exists(at)); at = dirname(at)) missing.push(at);
    for (const each of missing.toReversed()) await mkdir(each, { mode: 0o700 }).catch(unlessThere);
    if (!(await stat(directory)).isDirectory()) throw new Error('it is not a folder');
  } catch (error) {
    throw unusable(directory, error);
  }
};

/** The token in the folder, made if there is none. Its file is readable by its owner only. Throws FerryError `store-broken`. */
export const readOrMakeToken = async (directory: string): Promise<string> => {
  const path = join(directory, 'token');
  try {
    if (!(await exists(path))) await makeToken(path);
    if (((await stat(path)).mode & 0o077) !== 0) await chmod(path, 0o600);
    const token = (await readFile(path, 'utf8')).trim();
    if (/^[A-Za-z0-9_-]{32,128}$/.test(token)) return token;
  } catch (error) {
    throw unusable(directory, error);
  }
  throw new FerryError('store-broken', `The file ${path} does not hold a token; once it is removed, the next start makes a new one.`);
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

/** Says where the server is, for programs of the same user. */
export const writeServerNote = async (directory: string, note: { readonly url: string; readonly pid: number }): Promise<void> => {
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
  new FerryError('store-broken', `Ferry can not use the data folder ${directory}: ${error instanceof Error ? error.message : String(error)}.`, { cause: error });
