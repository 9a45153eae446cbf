/** A benchmark that is asked to stop in the middle leaves nothing: no control plane, no lab, no process, no folder. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitFor } from '@ferry/lab';

/** Processes that carry our variable, by their command lines. */
const descendants = (variable: string): readonly string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .flatMap((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(variable)
          ? [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')}`]
          : [];
      } catch {
        // it has ended
        return [];
      }
    });

for (const [bench, signal] of [
  ['cold', 'SIGTERM'],
  ['overhead', 'SIGINT'],
] as const) {
  test(`${bench}, ${signal}`, { timeout: 120_000 }, async () => {
    const scratch = mkdtempSync(join(tmpdir(), 'fb-'));
    const labs = join(scratch, 'labs');
    const { NODE_TEST_CONTEXT: _context, ...inherited } = process.env;
    const child = spawn(process.execPath, [join(import.meta.dirname, '..', 'bench', 'src', `${bench}.ts`), '--quick'], {
      env: { ...inherited, TMPDIR: scratch, FERRY_LAB_DIR: labs },
      stdio: 'ignore',
    });
    const ended = once(child, 'exit');
    try {
      await waitFor(
        'its control plane to listen',
        () => readdirSync(scratch).some((name) => existsSync(join(scratch, name, 'server.json'))) || undefined,
        { timeoutMs: 90_000 },
      );
      assert.notDeepEqual(descendants(`TMPDIR=${scratch}`), []);
      child.kill(signal);
      await ended;
      await waitFor(
        'all that it has started to be gone',
        () => descendants(`TMPDIR=${scratch}`).length === 0 || undefined,
        { timeoutMs: 5_000 },
      ).catch(() => assert.deepEqual(descendants(`TMPDIR=${scratch}`), []));
      assert.equal(existsSync(labs), false, 'its lab is there');
      assert.deepEqual(readdirSync(scratch), []);
    } finally {
      child.kill('SIGKILL');
      rmSync(scratch, { recursive: true, force: true });
    }
  });
}
