/** Rollouts in any order of events: one host at a time, each step only after the one before, and no hook called twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { batchPhases } from '../model/batch.ts';
import { FerryError } from '../model/errors.ts';
import { hookResults } from '../model/hook.ts';
import type { HostView } from '../model/host.ts';
import { batchId, hostId, rolloutId, type HostId } from '../model/ids.ts';
import type { Rollout, RolloutPlan } from '../model/rollout.ts';
import { rolloutHosts } from './begin.ts';
import type { RolloutEffect, RolloutEvent } from './protocol.ts';
import { hasRolledOut, stepRollout } from './step.ts';

const ids = ['h1', 'h2', 'h3'].map(hostId);
const viewOf = (id: HostId, state: HostView['state'] = 'connected', libvirtVersion = '9.0.0'): HostView => ({
  host: { id, name: id, uri: '', cluster: 'default', machineUuid: id, addedAt: 0 },
  state,
  facts: {
    hostname: id,
    machineUuid: id,
    libvirtVersion,
    cpu: { arch: '', model: '', vendor: '', threads: 1 },
    memoryBytes: 1,
  },
});
const begun = (plan: RolloutPlan): Rollout => ({
  id: rolloutId('r1'),
  name: 'rollout-h1+2-r1',
  actor: 'operator',
  client: 'cli',
  plan,
  hosts: rolloutHosts(
    ids.map((id) => viewOf(id)),
    plan,
    0,
  ),
  startedAt: 0,
  phase: 'running',
});

const host = fc.constantFrom(...ids);
const batch = fc.constantFrom('d1', 'd2', 'r1', 'r2').map(batchId);
const events = fc.oneof(
  { weight: 8, arbitrary: fc.constant<RolloutEvent | undefined>(undefined) },
  fc.record({
    type: fc.constant('looked' as const),
    hosts: fc.array(host).map((gone) => ids.filter((id) => !gone.includes(id)).map((id) => viewOf(id))),
    batches: fc.array(fc.record({ id: batch, phase: fc.constantFrom(...batchPhases) })),
    calling: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('looked' as const),
    hosts: fc
      .tuple(...ids.map(() => fc.constantFrom<HostView['state']>('connected', 'unreachable')))
      .map((states) => ids.map((id, index) => viewOf(id, states[index]))),
    batches: fc.constant(['d1', 'd2', 'r1', 'r2'].map((id) => ({ id: batchId(id), phase: 'done' as const }))),
    calling: fc.constant(false),
  }),
  fc.record({
    type: fc.constant('answered' as const),
    host,
    what: fc.constantFrom('ask' as const, 'work' as const),
    answer: fc.record({ result: fc.constantFrom(...hookResults) }),
  }),
  fc.record({
    type: fc.constant('began' as const),
    host,
    what: fc.constantFrom('drain' as const, 'restore' as const),
    batch,
  }),
  fc.record({ type: fc.constantFrom('opened' as const, 'left' as const, 'nothing-to-restore' as const), host }),
  fc.record({ type: fc.constant('refused' as const), host, message: fc.constant('No.') }),
  fc.constant({ type: 'continue-requested' as const }),
  fc.constant({ type: 'cancel-requested' as const }),
  fc.record({ type: fc.constant('call-lost' as const), host }),
);
const plans: fc.Arbitrary<RolloutPlan> = fc.record(
  {
    work: fc.constant({ program: '/hooks/work' }),
    onlyIf: fc.constant({ program: '/hooks/ask' }),
    reboots: fc.constant(true as const),
    upgrade: fc.constant(true as const),
    libvirtVersion: fc.constantFrom('9.0.0', '10.0.0'),
    returnMs: fc.constant(1_000),
  },
  { requiredKeys: ['returnMs'] },
);
/** What the engine makes of an effect, so that long ways are come by. */
const answerTo = (effect: RolloutEffect): RolloutEvent | undefined => {
  switch (effect.do) {
    case 'ask':
    case 'work':
      return { type: 'answered', host: effect.host.id, what: effect.do, answer: { result: 'ok' } };
    case 'drain':
    case 'restore':
      return {
        type: 'began',
        host: effect.host.id,
        what: effect.do,
        batch: batchId(effect.do === 'drain' ? 'd1' : 'r1'),
      };
    case 'open':
      return { type: 'opened', host: effect.host.id };
    case 'retry':
    case 'cancel':
      return undefined;
  }
};
const underWay = ['asking', 'draining', 'working', 'returning', 'restoring'];

test('property: one host at a time, in order, and each is worked on at most once and only when it is empty', () => {
  fc.assert(
    fc.property(plans, fc.array(fc.tuple(events, fc.nat(2_000)), { maxLength: 80 }), (plan, sequence) => {
      let rollout = begun(plan);
      let waiting: readonly RolloutEffect[] = [];
      let now = 0;
      const worked: string[] = [];
      for (const [given, ms] of sequence) {
        now += ms;
        const own = waiting[0] === undefined ? undefined : answerTo(waiting[0]);
        const healthy: RolloutEvent = {
          type: 'looked',
          hosts: ids.map((id) => viewOf(id)),
          batches: ['d1', 'd2', 'r1', 'r2'].map((id) => ({ id: batchId(id), phase: 'done' as const })),
          calling: false,
        };
        const event = given ?? own ?? healthy;
        const before = rollout;
        try {
          const stepped = stepRollout(rollout, event, now);
          ({ rollout } = stepped);
          waiting = stepped.effects;
        } catch (error) {
          assert.ok(error instanceof FerryError && event.type.endsWith('-requested'), String(error));
          continue;
        }
        if (hasRolledOut(before)) assert.deepEqual(waiting, [], 'nothing begins after the end');
        if (before.phase === 'stopped' && event.type !== 'continue-requested') assert.deepEqual(waiting, []);
        const current = rollout.hosts.filter(({ state }) => underWay.includes(state));
        assert.ok(current.length <= 1, JSON.stringify(rollout.hosts));
        for (const effect of waiting) {
          if (effect.do !== 'work') continue;
          worked.push(effect.host.id);
          const each = rollout.hosts.find((one) => one.host.id === effect.host.id);
          assert.ok(each?.state === 'working' && each.drain !== undefined && each.called === true);
        }
        // the next one has no turn before this one is through
        const states = rollout.hosts.map(({ state }) => state);
        const firstWaiting = states.indexOf('waiting');
        if (firstWaiting >= 0)
          assert.ok(states.slice(firstWaiting).every((state) => state === 'waiting' || state === 'held'));
      }
      assert.equal(new Set(worked).size, worked.length, 'a hook is called once for each host');
    }),
    { numRuns: 500 },
  );
});

test('a host that is gone from the fleet, or does not answer, stops it before its turn', () => {
  const stop = (hosts: readonly HostView[]): string =>
    stepRollout(begun({ returnMs: 1_000 }), { type: 'looked', hosts, batches: [], calling: false }, 1).rollout
      .attention ?? '';
  assert.match(
    stop([]),
    /^h1 is no longer in the fleet\. See to it: "ferry rollout continue rollout-h1\+2-r1" goes on/,
  );
  assert.match(stop([viewOf(hostId('h1'), 'unreachable')]), /^h1 does not answer\. See to it/);
});
