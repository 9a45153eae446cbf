/** Clusters, policies, rules and labels as one document. */
import { z } from 'zod';
import { clusterSettings } from './cluster.ts';
import { nameText } from './parts.ts';
import { labelText, policyPutSchema } from './policy.ts';
import { ruleContentSchema } from './rule.ts';

/** As long as a host may call itself. */
const hostName = () => z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/);
const labels = () => z.array(labelText()).max(256);

export const configurationSchema = z
  .strictObject({
    version: z.literal(1).meta({ description: 'Of the format' }),
    policies: z.record(nameText(), policyPutSchema).optional(),
    clusters: z.record(nameText(), z.strictObject(clusterSettings)).optional(),
    bindings: z
      .record(labelText(), z.string().min(1).max(63))
      .optional()
      .meta({ description: 'By label: the policy of VMs that have it' }),
    hostLabels: z
      .record(hostName(), labels())
      .optional()
      .meta({ description: 'By name of the host: all of its labels' }),
    vmLabels: z
      .record(z.string().min(1).max(255), labels())
      .optional()
      .meta({ description: 'By UUID, or by a name that one VM has: all of its labels' }),
    rules: z.record(nameText(), ruleContentSchema).optional(),
  })
  .meta({
    id: 'Configuration',
    description: 'What it does not name stays as it is; what it names becomes as it says, with no other settings',
  });
export const configurationApplySchema = z
  .strictObject({
    configuration: configurationSchema,
    dryRun: z.boolean().optional().meta({ description: 'Check and compare, and change nothing' }),
  })
  .meta({ id: 'ConfigurationApply' });
export const configurationAppliedSchema = z
  .object({
    applied: z.boolean(),
    changes: z.array(
      z.object({
        section: z.enum(['policies', 'clusters', 'bindings', 'hostLabels', 'vmLabels', 'rules']),
        name: z.string(),
        change: z.enum(['create', 'change']),
        diff: z.array(z.string()).meta({ description: 'Settings that go, with -, and that come, with +' }),
      }),
    ),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'ConfigurationApplied' });

export type ConfigurationJson = z.infer<typeof configurationSchema>;
export type ConfigurationAppliedJson = z.infer<typeof configurationAppliedSchema>;
