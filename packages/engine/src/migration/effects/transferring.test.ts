import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MoveContext } from './context.ts';
import { recoverMove } from './transferring.ts';

const contextWith = (libvirtVersion: string, asked: string[]): MoveContext =>
  ({
    migration: { vm: { name: 'web' }, to: { name: 'host2' } },
    bounded: () => AbortSignal.timeout(1_000),
    signal: AbortSignal.timeout(1_000),
    target: () => ({ inventory: { facts: async () => ({ libvirtVersion }) } }),
    source: () => {
      asked.push(libvirtVersion);
      throw new Error('asked');
    },
  }) as unknown as MoveContext;

test('a daemon that would not survive a resumption is not asked for it; one that has been upgraded is', async () => {
  const asked: string[] = [];
  const failure = await recoverMove(contextWith('11.3.0', asked));
  assert.equal(failure?.notAsked, true);
  assert.match(failure?.message ?? '', /^The libvirt daemon of host2 \(11\.3\.0\) crashes.*Upgrade libvirt on host2/);
  assert.deepEqual(asked, []);
  assert.equal((await recoverMove(contextWith('12.8.0', asked)))?.message, 'asked');
  assert.deepEqual(asked, ['12.8.0']);
});
