/** Policies on the wire: core's `PolicyContent`, with the meaning of each field. */
import { hookResults, hookStages, longestHookTimeoutMs, mostHooks } from '@ferry/core';
import { softCodes } from '@ferry/core/reasons';
import { z } from 'zod';
import { nameText, revision } from './parts.ts';

const ms = (most = 2_000_000_000) => z.number().int().min(0).max(most);
const pauseMs = () => z.number().int().min(1).max(2_000_000);
const percent = () => z.number().int().min(1).max(99);

const triggers = [
  { when: z.literal('forecast').meta({ description: 'Pre-copy does not converge, or not within the patience' }) },
  {
    when: z.literal('passes').meta({ description: 'More than this number of passes over the memory have ended' }),
    count: z.number().int().min(0).max(10_000),
  },
  {
    when: z
      .literal('stalled')
      .meta({ description: 'This number of passes in a row left no less than the best pass before them' }),
    passes: z.number().int().min(1).max(1_000),
  },
  {
    when: z
      .literal('elapsed')
      .meta({ description: 'Time since the transfer began: ms, or msPerGib for each GiB, whichever is more' }),
    ms: ms().optional(),
    msPerGib: ms().optional(),
  },
  {
    when: z.literal('no-progress').meta({ description: 'The smallest remainder has not shrunk for this time' }),
    ms: ms(),
  },
  {
    when: z
      .literal('throttled')
      .meta({ description: 'The guest has been throttled by this percentage for this number of passes' }),
    percent: percent(),
    passes: z.number().int().min(0).max(1_000),
  },
  { when: z.literal('deadline').meta({ description: 'The deadline has passed' }) },
] as const;
const measures = [
  { do: z.literal('raise-downtime'), toMs: pauseMs() },
  { do: z.literal('double-downtime') },
  {
    do: z
      .literal('fit-downtime')
      .meta({ description: 'Raise the pause budget to what the smallest remainder needs, if the limit allows it' }),
  },
  { do: z.literal('post-copy') },
  { do: z.literal('pause').meta({ description: 'Pause the guest until it has arrived' }) },
  { do: z.literal('power-off').meta({ description: 'Shut the guest down, move it cold and start it again' }) },
  { do: z.literal('abort') },
] as const;

const stepSchema = z
  .union(triggers.flatMap((trigger) => measures.map((measure) => z.strictObject({ ...trigger, ...measure }))))
  .meta({ id: 'PolicyStep', description: 'A condition, and what Ferry does when it holds' });

/** What is called: a program or a URL. */
export const hookTargetShape = {
  program: z
    .string()
    .max(4_096)
    .optional()
    .meta({ description: "Absolute path of a program in the server's hook folder" }),
  url: z.string().max(2_048).optional().meta({ description: 'Gets a signed POST request, in place of a program' }),
  secretFile: z
    .string()
    .max(4_096)
    .optional()
    .meta({ description: 'Absolute path of the file in the hook folder with the key that signs the request' }),
  timeoutMs: z.number().int().min(1).max(longestHookTimeoutMs).optional().meta({ description: '60,000 if absent' }),
};
const hookSchema = z
  .strictObject({
    name: nameText(),
    stage: z.enum(hookStages).meta({
      description:
        '"before": the target is chosen and nothing is done yet; it may veto. "after": the VM has moved. "failed": the ' +
        'migration failed or was cancelled',
    }),
    ...hookTargetShape,
  })
  .meta({ id: 'Hook' });
export const hookAnswerShape = { result: z.enum(hookResults), message: z.string().optional() };

export const policyContentShape = {
  description: z.string().min(1).max(1_000),
  downtime: z.strictObject({ initialMs: pauseMs(), limitMs: pauseMs() }).meta({
    description: 'Pause for the switchover that QEMU aims at: at first, and at most after a step',
  }),
  steps: z.array(stepSchema).max(32).meta({ description: 'In the order in which Ferry tries them' }),
  patience: z.number().min(0).max(1_000).optional().meta({
    description: '"forecast" holds if pre-copy would take longer than this number of first passes',
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
    .meta({ description: "Share of the slower host's link, if the hosts report its speed" }),
  deadlineMs: ms().optional(),
  retry: z
    .strictObject({ attempts: z.number().int().min(1).max(20), delayMs: ms(86_400_000) })
    .optional()
    .meta({ description: 'Retries after a failure that left the VM where it was' }),
  singleCopy: z
    .enum(['guard', 'handover'])
    .meta({ description: 'What keeps a VM from running twice if the last reply is lost' }),
  twoCopies: z.enum(['alarm', 'suspend-both']),
  unknownSharing: z.enum(['refuse', 'shared']),
  checks: z
    .partialRecord(z.enum(softCodes), z.enum(['refuse', 'warn', 'ignore']))
    .optional()
    .meta({
      description:
        'By code, what a warning of a check or something that Ferry cannot tell does to a move: "warn" shows it, as without an entry',
    }),
  hooks: z.array(hookSchema).max(mostHooks).optional().meta({ description: 'Called in this order' }),
};
export const policyPutSchema = z
  .strictObject(policyContentShape)
  .meta({ id: 'PolicyPut', description: 'The whole policy; an absent field is not set' });
export const policySchema = z
  .object({
    name: z.string(),
    revision: revision(),
    version: z.number().int().meta({ description: 'Rises with each change; 0 for a preset' }),
    changedAt: z.string().optional(),
    preset: z.boolean(),
    text: z.string().meta({ description: 'What the policy may do, in words' }),
    ...policyContentShape,
  })
  .meta({ id: 'Policy' });

export const labelText = () =>
  z
    .string()
    .max(127)
    .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}=[A-Za-z0-9._-]{0,63}$/, 'A label is KEY=VALUE');
export const bindingSchema = z
  .object({ label: z.string(), policy: z.string() })
  .meta({ id: 'PolicyBinding', description: 'VMs with the label use the policy' });
export const bindingPutSchema = z
  .strictObject({
    label: labelText(),
    policy: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .meta({ description: 'If absent, the label no longer selects a policy' }),
  })
  .meta({ id: 'PolicyBindingPut' });
export const vmLabelSchema = z
  .strictObject({ add: z.array(labelText()).max(64).optional(), remove: z.array(labelText()).max(64).optional() })
  .meta({ id: 'VmLabel' });

export const hostLabelSchema = z
  .strictObject({ add: z.array(labelText()).max(64).optional(), remove: z.array(labelText()).max(64).optional() })
  .meta({ id: 'HostLabel' });

export type PolicyJson = z.infer<typeof policySchema>;
export type PolicyPut = z.infer<typeof policyPutSchema>;
export type PolicyBindingJson = z.infer<typeof bindingSchema>;
