/** Drains and restores: the batch, and the requests that make or end one. */
import { batchPhases, maintenanceWays, memberStates } from '@ferry/core';
import { z } from 'zod';
import { bytes, revision, time } from './parts.ts';

const memberSchema = z
  .object({
    vm: z.object({ uuid: z.string(), name: z.string() }),
    memoryBytes: bytes(),
    from: z.string().meta({ description: 'Name of the host that it leaves' }),
    to: z.string().optional().meta({ description: 'Host that is proposed, and where it went once it has moved' }),
    way: z.enum([...maintenanceWays, 'start']).meta({ description: 'From its label "ferry.maintenance"; else "live"' }),
    state: z.enum(memberStates),
    migration: z.string().optional().meta({ description: 'Id of its last migration' }),
    tries: z.number().int().meta({ description: 'How often it was tried in vain' }),
    note: z.string().optional().meta({ description: 'Why it is in this state' }),
    expected: z
      .object({
        beginsAt: time().optional(),
        endsAt: time().optional(),
        latestAt: time()
          .optional()
          .meta({ description: 'Absent if nothing ends it for sure, or the link is not measured' }),
        unknown: z.string().optional().meta({ description: 'Why it is not known; then there are no times' }),
      })
      .optional()
      .meta({ description: 'When it will have left; absent once it has ended, in lists and in events' }),
  })
  .meta({ id: 'DrainMember' });

export const drainSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    kind: z.enum(['drain', 'restore']),
    actor: z.string(),
    client: z.string(),
    hosts: z.array(z.string()),
    of: z.string().optional().meta({ description: 'Id of the drain that a restore takes back' }),
    phase: z.enum(batchPhases).meta({
      description:
        '"scheduled": it begins at its time; "done": the hosts themselves show it; "incomplete": VMs stayed that should not have',
    }),
    startedAt: time(),
    beginsAt: time().optional().meta({ description: 'When it is to begin; its hosts take VMs until then' }),
    endedAt: time().optional(),
    deadlineAt: time().optional(),
    neverDegrade: z.boolean().optional().meta({ description: 'Every guest of a target keeps the memory it was given' }),
    attention: z.string().optional().meta({ description: 'What an operator should know now' }),
    pace: z
      .array(z.object({ host: z.string(), atOnce: z.number().int(), why: z.string() }))
      .optional()
      .meta({ description: 'How many move at once over the link of each host, and why no more' }),
    expected: z
      .object({ endsAt: time().optional(), latestAt: time().optional(), text: z.string() })
      .optional()
      .meta({ description: 'When the whole will have ended; absent once it has, in lists and in events' }),
    members: z.array(memberSchema),
    revision: revision(),
  })
  .meta({ id: 'Drain', description: 'A drain, or the restore that takes it back' });

export const drainCreateSchema = z
  .strictObject({
    hosts: z.array(z.string().min(1).max(255)).min(1).max(256),
    at: z.iso
      .datetime({ offset: true })
      .optional()
      .meta({ description: 'Begin at this time; until then it can be cancelled, and its hosts take VMs' }),
    deadline: z.iso.datetime({ offset: true }).optional().meta({ description: 'Nothing begins after this time' }),
    neverDegrade: z
      .boolean()
      .optional()
      .meta({ description: 'Only to hosts where every guest keeps the memory it was given; what does not fit waits' }),
    force: z
      .boolean()
      .optional()
      .meta({ description: 'Also if no host of the cluster is left: VMs that need one stay where they are' }),
  })
  .meta({ id: 'DrainCreate' });

export const drainCancelSchema = z
  .strictObject({
    abort: z
      .boolean()
      .optional()
      .meta({ description: 'Abort its running migrations too; else they go on to their end' }),
  })
  .meta({ id: 'DrainCancel' });

export type DrainJson = z.infer<typeof drainSchema>;
