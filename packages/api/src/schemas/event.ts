/** The events of the stream. */
import { z } from 'zod';
import { clusterSchema } from './cluster.ts';
import { fleetSchema } from './fleet.ts';
import { drainSchema } from './drain.ts';
import { hostSchema } from './host.ts';
import { migrationSchema } from './migration.ts';
import { time } from './parts.ts';
import { policySchema } from './policy.ts';
import { rolloutSchema } from './rollout.ts';
import { ruleSchema } from './rule.ts';
import { vmSchema } from './vm.ts';

export const eventSchema = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('migration'), at: time(), migration: migrationSchema }),
    z
      .object({
        type: z.literal('migration-progress'),
        at: time(),
        migration: z.string().meta({ description: 'Its id' }),
        vm: z.object({ uuid: z.string(), name: z.string() }),
        phase: migrationSchema.shape.phase,
        attention: migrationSchema.shape.attention,
        progress: migrationSchema.shape.progress,
      })
      .meta({ description: 'Progress between two phases, without the document; only where "progress=light" is asked' }),
    z.object({ type: z.literal('host'), at: time(), host: hostSchema }),
    z.object({ type: z.literal('drain'), at: time(), drain: drainSchema }),
    z.object({ type: z.literal('rollout'), at: time(), rollout: rolloutSchema }),
    z.object({ type: z.literal('host-removed'), at: time(), host: z.string() }),
    z.object({ type: z.literal('policy'), at: time(), policy: policySchema }),
    z.object({ type: z.literal('policy-removed'), at: time(), policy: z.string() }),
    z
      .object({ type: z.literal('policy-binding'), at: time(), label: z.string(), policy: z.string().optional() })
      .meta({ description: 'VMs with the label go by the policy; without one, no more' }),
    z.object({ type: z.literal('fleet'), at: time(), fleet: fleetSchema }),
    z.object({ type: z.literal('cluster'), at: time(), cluster: clusterSchema }),
    z
      .object({ type: z.literal('cluster-removed'), at: time(), cluster: z.string() })
      .meta({ description: 'Its settings are gone, and no host names it' }),
    z.object({ type: z.literal('rule'), at: time(), rule: ruleSchema }),
    z.object({ type: z.literal('rule-removed'), at: time(), rule: z.string() }),
    z.object({ type: z.literal('vm'), at: time(), vm: vmSchema }),
    z.object({ type: z.literal('vm-removed'), at: time(), uuid: z.string(), name: z.string() }),
    z
      .object({ type: z.literal('alarm'), at: time(), code: z.string(), vm: z.string(), message: z.string() })
      .meta({ description: 'An operator must act now' }),
    z
      .object({ type: z.literal('reset'), at: time() })
      .meta({ description: 'Events were lost: read all objects again' }),
  ])
  .meta({ id: 'Event' });

export type FerryEvent = z.infer<typeof eventSchema>;
