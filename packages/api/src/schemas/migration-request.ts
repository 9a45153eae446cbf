/** Requests: a migration or its plan, and new limits for a migration. */
import { z } from 'zod';
import { definitionMapSchema } from './cluster.ts';

export const kindSchema = z.enum(['live', 'cold', 'suspended', 'configuration', 'evacuation']);

const flag = (description: string) => z.boolean().optional().meta({ description });
const text = (most: number, description: string) => z.string().min(1).max(most).optional().meta({ description });

const limits = {
  maxBandwidthMiBPerSecond: z.number().int().min(1).max(1_000_000).optional(),
  maxDowntimeMs: z
    .number()
    .int()
    .min(1)
    .max(2_000_000)
    .optional()
    .meta({ description: 'Pause for the switchover that QEMU aims at' }),
  deadlineMs: z.number().int().min(1_000).max(2_000_000_000).optional().meta({ description: 'Milliseconds from now' }),
};
const quicklyFinish = 'Accept the pause that is needed once passes gain nothing, up to 10 s or maxDowntimeMs';

export const migrationCreateSchema = z
  .strictObject({
    vm: z.string().min(1).max(255),
    to: text(255, 'To this host only'),
    preferHost: text(255, 'Try this host first, then other suitable hosts'),
    ...limits,
    kind: kindSchema
      .exclude(['evacuation'])
      .optional()
      .meta({ description: 'If absent, the kind that fits the state of the VM' }),
    temporary: flag('The target keeps no definition; when the VM shuts down there, it returns to its source'),
    keepSource: flag('Keep a parked definition on the source, with autostart off'),
    deleteSourceDisks: flag('Delete copied disks on the source once the target is verified'),
    useExistingVolumes: flag('Copy into volumes that you prepared on the target, of the same format and size'),
    assumeShared: flag('Treat storage as shared if Ferry cannot prove it'),
    skipCpuCheck: flag('Only show what the policy refuses because of the CPU of the target'),
    skipKernelCheck: flag('Only show what the policy refuses because of the kernel of the target'),
    toUri: text(1024, 'To the host with this libvirt URI; it need not be in the fleet'),
    toCluster: text(63, "To a host of this cluster, not of the VM's own"),
    map: definitionMapSchema.optional(),
    xml: text(131_072, "Definition for the target, instead of the VM's own"),
    media: z
      .enum(['copy', 'eject'])
      .optional()
      .meta({ description: 'For images in drives that only the source has: copy them as files, or empty the drive' }),
    createMissing: flag('Create networks, filters and secrets that the target lacks, as on the source'),
    mode: z
      .enum(['peer-to-peer', 'direct'])
      .optional()
      .meta({ description: "Who drives: the source's daemon, or Ferry. If absent, Ferry chooses" }),
    tls: flag("Encrypt memory and disks and verify the peer. If absent, the cluster's setting"),
    tunnelled: flag('Send data through the connection of the two daemons'),
    parallelConnections: z
      .number()
      .int()
      .min(1)
      .max(255)
      .optional()
      .meta({ description: 'Number of connections for memory' }),
    compression: z.enum(['xbzrle', 'zlib', 'zstd']).optional(),
    zeroCopy: z.boolean().optional(),
    postCopy: flag("Allow post-copy while it runs. If absent, the policy's setting"),
    policy: text(63, "Instead of the policy that the VM's labels or its cluster select"),
    quicklyFinish: flag(quicklyFinish),
    keepTargetOnFailure: flag("Keep what a failed target leaves: volumes, definition and QEMU's log"),
    rescue: z
      .strictObject({
        statement: z.string().min(1).max(1000),
        by: text(255, 'Name of the person who states this'),
      })
      .optional()
      .meta({
        description:
          "The VM's host is dead: start the VM elsewhere, from the stored definition. The statement says how you " +
          'know that the host is dead; it is kept',
      }),
    autoStart: flag('Start a VM that was shut off on the target'),
  })
  .meta({ id: 'MigrationCreate' });

export const migrationTuneSchema = z
  .strictObject({
    ...limits,
    quicklyFinish: z.literal(true).optional().meta({ description: quicklyFinish }),
  })
  .refine((limits) => Object.keys(limits).length > 0, 'name at least one limit')
  .meta({ id: 'MigrationTune' });

export type MigrationCreate = z.infer<typeof migrationCreateSchema>;
