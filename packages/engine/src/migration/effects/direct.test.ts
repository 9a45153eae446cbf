/** A migration that Ferry drives itself, over hosts that take a call and never answer: it ends by what the target shows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstanceView } from '@ferry/core';
import type { DirectSide, Handover } from '../../ports/ports.ts';
import { silentLog } from '../../fake/fleet.ts';
import { virtualTime } from '../../time/virtual-time.ts';
import { moveDirect } from './direct.ts';

const handover: Handover = { name: 'web', xml: '<domain/>', paused: false, cookie: new Uint8Array() };
const runs: InstanceView = {
  kind: 'present',
  state: 'running',
  reason: 'migrated',
  persistent: true,
  migrating: false,
};
const silent = <T>(): Promise<T> => new Promise(() => {});

async function moved(hangs: string, target: InstanceView = { kind: 'absent' }) {
  using time = virtualTime();
  const calls: string[] = [];
  const side = (of: string): DirectSide => {
    const call = (step: string) => (_?: unknown, cancelled?: boolean) => {
      calls.push(`${of} ${step}${cancelled === true ? ' cancelled' : ''}`);
      return hangs === `${of} ${step}` ? silent<Handover>() : Promise.resolve(handover);
    };
    return {
      begin: call('begin'),
      prepare: call('prepare'),
      perform: call('perform'),
      finish: call('finish'),
      confirm: async (...args) => void (await call('confirm')(...args)),
      failureOf: (error) => ({ outcome: 'unknown', message: error instanceof Error ? error.message : '' }),
      [Symbol.asyncDispose]: async () => void calls.push(`${of} closed`),
    };
  };
  const ended = await moveDirect({
    source: () => (hangs === 'source opens' ? silent() : Promise.resolve(side('source'))),
    target: () => (hangs === 'target opens' ? silent() : Promise.resolve(side('target'))),
    handingOver: async () => {},
    lookAtTarget: async () => target,
    keepsDefinition: true,
    sleep: (ms) => time.sleep(ms),
    log: silentLog,
  }).catch((error: unknown) => (error instanceof Error ? error.message : ''));
  return { ended, calls };
}

for (const [hangs, ms] of [
  ['source opens', 60],
  ['target opens', 60],
  ['source begin', 60],
] as const)
  test(`a connection or a begin that never answers (${hangs}) ends it, and what is open is closed`, async () => {
    const { ended, calls } = await moved(hangs);
    assert.equal(ended, `The host did not answer within ${ms} s.`);
    assert.equal(calls.includes('source closed'), hangs !== 'source opens');
    assert.ok(!calls.includes('target prepare'));
  });

test('a target that never prepares ends it, and the source is taken back', async () => {
  const { ended, calls } = await moved('target prepare');
  assert.deepEqual(ended, { failure: { outcome: 'unknown', message: 'The host did not answer within 600 s.' } });
  assert.deepEqual(calls.slice(2), ['source confirm cancelled', 'target closed', 'source closed']);
});

test('a target that never says that it runs: the source is let go once the target is seen to run', async () => {
  const { ended, calls } = await moved('target finish', runs);
  assert.deepEqual(ended, {});
  assert.deepEqual(calls.slice(3), ['target finish', 'source confirm', 'target closed', 'source closed']);
});

test('a source that never confirms: what it is then seen to be decides', async () => {
  const { ended } = await moved('source confirm', runs);
  assert.deepEqual(ended, { failure: { outcome: 'unknown', message: 'The host did not answer within 60 s.' } });
});
