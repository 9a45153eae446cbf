/**
 * Calls hooks: a program of one folder, or an address that gets a signed request. Whoever may change a policy may name
 * what is called, so a program or a key outside of the folder is refused, and a program gets the document on its
 * standard input only: no arguments, no shell, a fixed environment. It decides nothing but what an exit code or a
 * status means.
 */
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { constants } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { access, readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { HookAnswer, HookTarget } from '@ferry/core';
import type { HookCaller } from '@ferry/engine';

/** Of what a hook says, this much is kept. */
const longestMessage = 300;
/** In the hook folder, one a line: where it is, no other addresses are called. */
const urlsFile = 'urls';
/** After its end, for the rest of its output. */
const outputGraceMs = 500;
const environment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  HOME: '/',
};

const failed = (message: string): HookAnswer => ({ result: 'failed', message });

/** The first line, without control characters. */
const firstLine = (text: string): string => {
  const [line = ''] = text.trimStart().split(/[\r\n]/, 1);
  // oxlint-disable-next-line no-control-regex -- they are what must not get through
  return line.replaceAll(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?').slice(0, longestMessage);
};
const said = (result: HookAnswer['result'], text: string): HookAnswer => {
  const message = firstLine(text);
  return message === '' ? { result } : { result, message };
};

export function hookCaller(directory: string): HookCaller {
  /** The file itself; a sentence where it may not be used. */
  const fileOf = async (path: string): Promise<{ readonly file: string } | string> => {
    const folder = await realpath(directory).catch(() => undefined);
    if (folder === undefined)
      return `there is no hook folder ${directory}: make it, or start "ferry serve" with --hook-dir`;
    try {
      const file = await realpath(path);
      if (dirname(file) !== folder)
        return `${path} is not in the hook folder ${directory}: move it there, or start "ferry serve" with --hook-dir`;
      const { mode } = await stat(file);
      if ((mode & 0o022) !== 0) return `${path} can be written by others: run "chmod go-w ${path}"`;
      return { file };
    } catch (error) {
      return `${path} cannot be used: ${error instanceof Error ? error.message : String(error)}`;
    }
  };

  /** The program's file; a sentence where it cannot be started. */
  const programOf = async (program: string): Promise<{ readonly file: string } | string> => {
    const found = await fileOf(program);
    if (typeof found === 'string') return found;
    const runs = await stat(found.file)
      .then(
        async (seen) => {
          if (!seen.isFile()) return false;
          await access(found.file, constants.X_OK);
          return true;
        },
        () => false,
      )
      .catch(() => false);
    return runs ? found : `${program} is not executable: run "chmod +x ${program}"`;
  };

  const callProgram = async (program: string, document: string, signal: AbortSignal): Promise<HookAnswer> => {
    const found = await programOf(program);
    if (typeof found === 'string') return failed(found);
    // files may have kept it waiting for longer than it has
    signal.throwIfAborted();
    return run(found.file, program, document, signal);
  };

  /** A sentence where the address may not be called. */
  const notListed = async (url: string): Promise<string | undefined> => {
    const path = join(directory, urlsFile);
    const isThere = await stat(path).then(
      () => true,
      (error: NodeJS.ErrnoException) => error.code !== 'ENOENT',
    );
    if (!isThere) return undefined;
    const found = await fileOf(path);
    if (typeof found === 'string') return found;
    const lines = (await readFile(found.file, 'utf8')).split('\n').map((line) => line.trim());
    const { origin } = new URL(url);
    return lines.some((line) => URL.canParse(line) && new URL(line).origin === origin)
      ? undefined
      : `${origin} is not in ${path}: add it there, if hooks may call it`;
  };

  /** The key for requests to this address; a sentence where it may not be called. */
  const keyFor = async (url: string, secretFile = ''): Promise<{ readonly key: string } | string> => {
    const found = await fileOf(secretFile);
    if (typeof found === 'string') return found;
    const key = (await readFile(found.file, 'utf8')).trim();
    if (key === '') return `${secretFile} is empty: it must hold the key that signs the request`;
    return (await notListed(url)) ?? { key };
  };

  const callAddress = async (
    url: string,
    secretFile: string | undefined,
    document: string,
    signal: AbortSignal,
  ): Promise<HookAnswer> => {
    const found = await keyFor(url, secretFile);
    if (typeof found === 'string') return failed(found);
    signal.throwIfAborted();
    const answer = await post(url, document, signatureOf(document, found.key), signal).catch((error: unknown) => {
      signal.throwIfAborted();
      return `${url} does not answer: ${error instanceof Error ? error.message : String(error)}`;
    });
    if (typeof answer === 'string') return failed(answer);
    const { status, text } = answer;
    // whoever names an address is shown nothing that it serves to others: only a refusal has words
    if (status >= 200 && status < 300) return { result: 'ok' };
    if (status === 409) return said('refused', text);
    return failed(firstLine(`${url} answered ${status}`));
  };

  return {
    call: ({ program, url, secretFile }: HookTarget, document, signal) =>
      url === undefined
        ? callProgram(resolve('/', program ?? ''), document, signal)
        : callAddress(url, secretFile, document, signal),
    async problem({ program, url, secretFile }) {
      const found = await (url === undefined ? programOf(resolve('/', program ?? '')) : keyFor(url, secretFile));
      return typeof found === 'string' ? found : undefined;
    },
  };
}

/** What the receiver computes over the body with the same key. */
export const signatureOf = (body: string, key: string): string =>
  `sha256=${createHmac('sha256', key).update(body).digest('hex')}`;

/**
 * Without fetch, which gives up after five minutes whatever its signal says: a hook may work for hours. Redirects are not
 * followed, and not more of the answer is read than is kept.
 */
function post(
  url: string,
  body: string,
  signature: string,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((settle, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'ferry-signature': signature,
    };
    const ask = url.startsWith('https:') ? httpsRequest : httpRequest;
    const request = ask(url, { method: 'POST', headers, signal, agent: false }, (answer) => {
      let text = '';
      const done = (): void => {
        settle({ status: answer.statusCode ?? 0, text });
        answer.destroy();
      };
      answer.setEncoding('utf8');
      answer.on('data', (chunk: string) => {
        text += chunk;
        if (text.length >= longestMessage) done();
      });
      answer.once('end', done);
      answer.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** `shown`: as the policy names it. */
function run(file: string, shown: string, document: string, signal: AbortSignal): Promise<HookAnswer> {
  return new Promise((settle, reject) => {
    // in a group of its own: what it has started ends with it
    const child = spawn(file, [], { cwd: '/', env: environment, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    const texts = { stdout: '', stderr: '' };
    const end = (): void => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // it has ended already
      }
    };
    const aborted = (): void => {
      end();
      reject(signal.reason as Error);
    };
    // first of all: one that cannot be started may have no pipes either
    child.once('error', (error) => settle(failed(`${shown} cannot be started: ${error.message}`)));
    if (child.pid === undefined) return;
    for (const name of ['stdout', 'stderr'] as const)
      child[name].on('data', (chunk: Buffer) => {
        if (texts[name].length < longestMessage) texts[name] += chunk.toString();
      });
    // one that does not read it has decided without it
    child.stdin.on('error', () => undefined);
    child.stdin.end(document);
    child.once('exit', (code, by) => {
      signal.removeEventListener('abort', aborted);
      let told = false;
      const tell = (): void => {
        if (told) return;
        told = true;
        clearTimeout(held);
        child.stdout.destroy();
        child.stderr.destroy();
        const text = texts.stderr.trim() === '' ? texts.stdout : texts.stderr;
        if (code === 0) return settle(said('ok', texts.stdout));
        if (code === 1) return settle(said('refused', text));
        const how = code === null ? `was ended by ${by ?? 'a signal'}` : `ended with exit code ${code}`;
        settle(failed(firstLine(`${shown} ${how}${text.trim() === '' ? '' : `: ${text.trim()}`}`)));
      };
      // what it left in the background may hold its output open
      const held = setTimeout(tell, outputGraceMs);
      child.once('close', tell);
    });
    if (signal.aborted) aborted();
    else signal.addEventListener('abort', aborted, { once: true });
  });
}
