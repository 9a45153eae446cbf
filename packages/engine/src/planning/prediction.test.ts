import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostId, presets, resolvePolicy, vmUuid, type MigrationPlan } from '@ferry/core';
import { createDirtyCurves } from './dirty-curves.ts';
import { predictConvergence } from './prediction.ts';

const mib = 1_048_576;

test(
  "a thin disk takes its capacity's time under a limit, and its data's under a share of the link, which is " +
    "the memory's alone",
  async () => {
    const policy = resolvePolicy(presets.get('default') ?? assert.fail(), 'default');
    const inSeconds = async (transfer: object, maxBandwidthMiBPerSecond?: number, disks = 1): Promise<number> => {
      const plan: MigrationPlan = {
        how: 'guest',
        live: true,
        persistence: 'permanent',
        autostart: false,
        disks: Array.from({ length: disks }, (_, index) => ({
          target: `vd${index}`,
          how: 'copy' as const,
          capacityBytes: 4_000 * mib,
          allocationBytes: 400 * mib,
        })),
        transfer: { mode: 'peer-to-peer', modeReason: '', ...transfer },
      };
      const clock = { now: () => 0, timeout: () => new AbortController().signal };
      const { kind, totalMs } = await predictConvergence(
        { clock, curves: createDirtyCurves({ clock }), outcomes: async () => [] },
        () => ({ dirtyRate: async () => ({ bytesPerSecond: 0 }), residentBytes: async () => undefined }),
        {
          vm: { uuid: vmUuid('a'), memoryBytes: 1_000 * mib },
          from: hostId('h1'),
          to: hostId('h2'),
          request: maxBandwidthMiBPerSecond === undefined ? {} : { maxBandwidthMiBPerSecond },
          plan,
          policy,
        },
        new AbortController().signal,
      );
      assert.equal(kind, 'converges');
      return Math.floor((totalMs?.expected ?? 0) / 1_000);
    };
    assert.deepEqual(
      [
        await inSeconds({ memoryBandwidthMiBPerSecond: 100 }),
        await inSeconds({ bandwidthMiBPerSecond: 100 }),
        await inSeconds({ memoryBandwidthMiBPerSecond: 100 }, 50),
        await inSeconds({ bandwidthMiBPerSecond: 100 }, undefined, 2),
      ],
      [14, 50, 100, 50],
      'two disks are copied at once, each at the limit',
    );
  },
);
