import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runAttached, tryRun } from './child.ts';
import { MARKER, killAndWait, markedProcesses } from './processes.ts';
import { waitFor } from './wait.ts';

/** A shell that has started another process, both with the command's output open; `ended` is a name for them. */
const twoSleepers = (name: string): [string, ...string[]] => [
  'bash',
  '-c',
  `export ${MARKER}=${name}; sleep 1000 & sleep 1000`,
];
const sleepers = (name: string, count: number) =>
  waitFor(`${count} sleepers of ${name}`, () => (markedProcesses(name).length === count ? true : undefined), {
    timeoutMs: 30_000,
  });

async function allEnd(
  name: string,
  run: (command: [string, ...string[]]) => Promise<unknown>,
  stop: () => void,
  outcome: (running: Promise<unknown>) => Promise<void>,
): Promise<void> {
  try {
    const running = run(twoSleepers(name));
    const seen = outcome(running);
    await sleepers(name, 2);
    stop();
    await seen;
    await sleepers(name, 0);
  } finally {
    await killAndWait(markedProcesses(name));
  }
}

test('a command that takes too long ends with all that it has started', { timeout: 60_000 }, async () => {
  await allEnd(
    `slow-${process.pid}`,
    (command) => tryRun(command, { timeoutMs: 2_000 }),
    () => undefined,
    (running) => assert.rejects(running, /took longer than 2 s and was killed/),
  );
});

test('a command that is aborted ends with all that it has started', { timeout: 60_000 }, async () => {
  const stop = new AbortController();
  await allEnd(
    `aborted-${process.pid}`,
    (command) => tryRun(command, { signal: stop.signal }),
    () => stop.abort(new Error('enough')),
    (running) => assert.rejects(running, /enough/),
  );
});

test(
  'a command on the terminal ends with all that it has started when this process is told to end',
  { timeout: 60_000 },
  async () => {
    await allEnd(
      `told-${process.pid}`,
      (command) => runAttached(command),
      () => process.emit('SIGTERM'),
      async (running) => assert.equal(await running, 143),
    );
  },
);
