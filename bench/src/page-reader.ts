// A client of the control plane on a thread of its own: it reads a page again and again until it is stopped, and says
// how long each took, to the last byte. What it does with the answer is no cost of the server's.
import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const EVERY_MS = 100;

interface Reading {
  readonly url: string;
  readonly token: string;
}

/** Reads until it is disposed of; then `tookMs` has what each page took. */
export function readingPages(reading: Reading): AsyncDisposable & { readonly tookMs: readonly number[] } {
  const tookMs: number[] = [];
  const worker = new Worker(new URL(import.meta.url), { workerData: reading });
  worker.on('message', (ms: number) => void tookMs.push(ms));
  let failure: unknown;
  worker.once('error', (error) => (failure = error));
  return {
    tookMs,
    async [Symbol.asyncDispose]() {
      await worker.terminate();
      if (failure !== undefined) throw failure;
    },
  };
}

const readPage = ({ url, token }: Reading, agent: Agent): Promise<void> =>
  new Promise((resolve, reject) => {
    const asking = get(url, { agent, headers: { authorization: `Bearer ${token}` } }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`${url}: ${answer.statusCode}`));
      answer.resume();
      answer.once('end', resolve);
    });
    asking.once('error', reject);
  });

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  const reading = workerData as Reading;
  const agent = new Agent({ keepAlive: true });
  for (;;) {
    const began = performance.now();
    await readPage(reading, agent);
    port.postMessage(performance.now() - began);
    await sleep(EVERY_MS);
  }
}
