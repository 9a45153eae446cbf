/** Rollouts: hosts emptied, worked on and brought back, one after the other. */
import { longestWorkMs, rolloutHostStates, rolloutPhases } from '@ferry/core';
import { z } from 'zod';
import { revision, time } from './parts.ts';
import { hookTargetShape } from './policy.ts';

const targetSchema = () =>
  z.strictObject({ ...hookTargetShape, timeoutMs: z.number().int().min(1).max(longestWorkMs).optional() });
const version = () =>
  z
    .string()
    .max(63)
    .regex(/^\d+(\.\d+){0,2}$/, 'a version as in 10.0.0')
    .optional();

const planShape = {
  work: targetSchema().optional().meta({
    description:
      'Called once for each host that is empty, 30 min at most if it has no timeout; else an operator continues',
  }),
  onlyIf: targetSchema().optional().meta({ description: 'Hosts of which it does not agree are skipped' }),
  reboots: z.literal(true).optional().meta({ description: 'A host has come back only after its connection was lost' }),
  libvirtVersion: version().meta({ description: 'That it must have then, such as "10.0.0"' }),
  qemuVersion: version(),
  upgrade: z
    .literal(true)
    .optional()
    .meta({ description: 'No VM goes to a host that is still to be upgraded; VMs come back once all hosts are done' }),
  force: z.literal(true).optional().meta({ description: 'Also the last host of a cluster that takes VMs' }),
};
const returnMs = () =>
  z.number().int().min(1_000).max(86_400_000).meta({ description: 'For a host to come back, else the rollout stops' });

export const rolloutCreateSchema = z
  .strictObject({
    hosts: z.array(z.string().min(1).max(255)).max(256).meta({ description: 'In this order' }),
    selector: z
      .string()
      .min(1)
      .max(1024)
      .optional()
      .meta({ description: 'Hosts with these labels too, such as "rack=7"; not one that selects all hosts' }),
    ...planShape,
    returnMs: returnMs().optional(),
  })
  .meta({ id: 'RolloutCreate' });

export const rolloutSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    actor: z.string(),
    client: z.string(),
    phase: z.enum(rolloutPhases).meta({ description: '"stopped": nothing begins until it is continued or cancelled' }),
    plan: z.object({ ...planShape, returnMs: returnMs() }),
    hosts: z.array(
      z.object({
        host: z.string(),
        state: z.enum(rolloutHostStates),
        since: time(),
        drain: z.string().optional().meta({ description: 'Id of its drain' }),
        restore: z.string().optional().meta({ description: 'Id of its restore' }),
        note: z.string().optional(),
      }),
    ),
    startedAt: time(),
    endedAt: time().optional(),
    attention: z.string().optional().meta({ description: 'What an operator should know or do now' }),
    revision: revision(),
  })
  .meta({ id: 'Rollout' });

export type RolloutJson = z.infer<typeof rolloutSchema>;
export type RolloutCreate = z.input<typeof rolloutCreateSchema>;
