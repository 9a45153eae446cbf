/** Policies on the wire: the data of core's `PolicyContent`, with what a field means. */
import { z } from 'zod';

const ms = (most = 2_000_000_000) => z.number().int().min(0).max(most);
const pauseMs = () => z.number().int().min(1).max(2_000_000);
const percent = () => z.number().int().min(1).max(99);

const triggers = [
  { when: z.literal('forecast').meta({ description: 'Pre-copy will not end by itself, or not within the patience' }) },
  {
    when: z.literal('passes').meta({ description: 'More than so many passes over the memory are over' }),
    count: z.number().int().min(0).max(10_000),
  },
  {
    when: z.literal('stalled').meta({ description: 'So many passes in a row left no less than the best before them' }),
    passes: z.number().int().min(1).max(1_000),
  },
  {
    when: z
      .literal('elapsed')
      .meta({ description: 'Time since the transfer began: ms, or msPerGib for each GiB where that is more' }),
    ms: ms().optional(),
    msPerGib: ms().optional(),
  },
  {
    when: z.literal('no-progress').meta({ description: 'The smallest rest has not shrunk for this long' }),
    ms: ms(),
  },
  {
    when: z.literal('throttled').meta({ description: 'Throttled to this much, for so many passes' }),
    percent: percent(),
    passes: z.number().int().min(0).max(1_000),
  },
  { when: z.literal('deadline').meta({ description: 'The deadline has come' }) },
] as const;
const measures = [
  { do: z.literal('raise-downtime'), toMs: pauseMs() },
  { do: z.literal('double-downtime') },
  {
    do: z
      .literal('fit-downtime')
      .meta({ description: 'The pause budget becomes what the smallest rest needs, where the limit allows that' }),
  },
  { do: z.literal('post-copy') },
  { do: z.literal('pause').meta({ description: 'The guest is paused until it has arrived' }) },
  { do: z.literal('power-off').meta({ description: 'The guest is shut down, moved cold and started again' }) },
  { do: z.literal('abort') },
] as const;

const stepSchema = z
  .union(triggers.flatMap((trigger) => measures.map((measure) => z.strictObject({ ...trigger, ...measure }))))
  .meta({ id: 'PolicyStep', description: 'When something is due, and what is done then' });

export const policyContentShape = {
  description: z.string().min(1).max(1_000),
  downtime: z.strictObject({ initialMs: pauseMs(), limitMs: pauseMs() }).meta({
    description: 'Pause for the switchover that QEMU aims at: at first, and the most that a step makes of it',
  }),
  steps: z.array(stepSchema).max(32).meta({ description: 'In the order in which they are tried' }),
  patience: z.number().min(0).max(1_000).optional().meta({
    description: '"forecast" ends pre-copy when it would take longer than this many times the first pass',
  }),
  throttle: z
    .strictObject({ initialPercent: percent(), incrementPercent: percent() })
    .optional()
    .meta({ description: 'QEMU slows the guest down when it dirties memory too fast' }),
  postCopy: z.enum(['never', 'if-recoverable', 'allowed']),
  compression: z.enum(['xbzrle', 'zlib', 'zstd']).optional(),
  connections: z.number().int().min(1).max(255).optional(),
  bandwidthMiBPerSecond: z.number().int().min(1).max(1_000_000).optional(),
  linkShare: z
    .number()
    .gt(0)
    .max(1)
    .optional()
    .meta({ description: "Share of the slower host's link, where the hosts tell its speed" }),
  deadlineMs: ms().optional(),
  retry: z
    .strictObject({ attempts: z.number().int().min(1).max(20), delayMs: ms(86_400_000) })
    .optional()
    .meta({ description: 'After a failure that left the VM where it was' }),
  singleCopy: z
    .enum(['guard', 'handover'])
    .meta({ description: 'What keeps a VM from running twice when the last reply is lost' }),
  twoCopies: z.enum(['alarm', 'suspend-both']),
  unknownSharing: z.enum(['refuse', 'shared']),
};
export const policyPutSchema = z
  .strictObject(policyContentShape)
  .meta({ id: 'PolicyPut', description: 'The whole policy; what is absent is not set' });
export const policySchema = z
  .object({
    name: z.string(),
    version: z.number().int().meta({ description: 'Grows with each change; presets have 0' }),
    changedAt: z.string().optional(),
    preset: z.boolean(),
    text: z.string().meta({ description: 'What it may do, in words' }),
    ...policyContentShape,
  })
  .meta({ id: 'Policy' });

const labelText = () =>
  z
    .string()
    .max(127)
    .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}=[A-Za-z0-9._-]{0,63}$/, 'A label is KEY=VALUE');
export const bindingSchema = z
  .object({ label: z.string(), policy: z.string() })
  .meta({ id: 'PolicyBinding', description: 'VMs with the label go by the policy' });
export const bindingPutSchema = z
  .strictObject({
    label: labelText(),
    policy: z.string().min(1).max(63).optional().meta({ description: 'Absent: the label no longer selects a policy' }),
  })
  .meta({ id: 'PolicyBindingPut' });
export const vmLabelSchema = z
  .strictObject({ add: z.array(labelText()).max(64).optional(), remove: z.array(labelText()).max(64).optional() })
  .meta({ id: 'VmLabel' });

export type PolicyJson = z.infer<typeof policySchema>;
export type PolicyPut = z.infer<typeof policyPutSchema>;
export type PolicyBindingJson = z.infer<typeof bindingSchema>;
