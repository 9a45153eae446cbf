/** Rules on where VMs may be. */
import { z } from 'zod';
import { revision } from './parts.ts';

const names = (what: string) => z.array(z.string().min(1).max(255)).max(256).meta({ description: what });
const selectorText = () => z.string().min(1).max(1024);

export const ruleContentShape = {
  kind: z.enum(['together', 'apart', 'on-hosts', 'off-hosts', 'pinned']).meta({
    description:
      '"together": on one host; "apart": no two on one host; "on-hosts": only on these; "off-hosts": on any but these; ' +
      '"pinned": where they are',
  }),
  strength: z
    .enum(['hard', 'soft'])
    .meta({ description: 'A hard rule refuses a target; a soft one warns and weighs in the choice' }),
  description: z.string().min(1).max(1_000).optional(),
  vms: names('Names or UUIDs of VMs; those that the selector means come on top').optional(),
  vmSelector: selectorText().optional().meta({ description: 'VMs by their labels, as in tier=db' }),
  hosts: names('Names of hosts, for "on-hosts" and "off-hosts"').optional(),
  hostSelector: selectorText().optional().meta({ description: 'Hosts by their labels, as in zone in (a,b)' }),
};
export const ruleContentSchema = z.strictObject(ruleContentShape).meta({ id: 'RuleContent' });
export const ruleChangeSchema = z
  .strictObject({
    kind: ruleContentShape.kind.optional(),
    strength: ruleContentShape.strength.optional(),
    description: ruleContentShape.description.nullable(),
    vms: ruleContentShape.vms.nullable(),
    vmSelector: ruleContentShape.vmSelector.nullable(),
    hosts: ruleContentShape.hosts.nullable(),
    hostSelector: ruleContentShape.hostSelector.nullable(),
  })
  .meta({
    id: 'RuleChange',
    description: 'A merge patch (RFC 7396): an absent field stays as it is, null removes it. A new rule is hard',
  });
export const ruleSchema = z
  .object({
    name: z.string(),
    revision: revision(),
    ...ruleContentShape,
    matches: z
      .object({ vms: z.number().int(), hosts: z.array(z.string()) })
      .meta({ description: 'VMs (their number) and hosts that it means now' }),
    warnings: z.array(z.string()).meta({ description: 'What it names and the fleet does not have' }),
  })
  .meta({ id: 'Rule' });

export type RuleJson = z.infer<typeof ruleSchema>;
export type RuleChange = z.infer<typeof ruleChangeSchema>;
