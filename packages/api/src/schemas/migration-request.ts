/** What a caller asks for: a migration (or the plan of one), and other limits for one that is there. */
import { z } from 'zod';
import { definitionMapSchema } from './cluster.ts';

export const kindSchema = z.enum(['live', 'cold', 'suspended', 'configuration', 'evacuation']);

export const migrationCreateSchema = z
  .strictObject({
    vm: z.string().min(1).max(255),
    to: z.string().min(1).max(255).optional().meta({ description: 'This host or none' }),
    preferHost: z
      .string()
      .min(1)
      .max(255)
      .optional()
      .meta({ description: 'Tried first; another suited host otherwise' }),
    maxBandwidthMiBPerSecond: z.number().int().min(1).max(1_000_000).optional(),
    kind: kindSchema
      .exclude(['evacuation'])
      .optional()
      .meta({ description: 'Absent: the one that fits the state of the VM' }),
    temporary: z
      .boolean()
      .optional()
      .meta({ description: "The target keeps no definition; when the VM shuts down there it is its source's again" }),
    keepSource: z.boolean().optional().meta({ description: 'The source keeps a parked definition, autostart off' }),
    deleteSourceDisks: z
      .boolean()
      .optional()
      .meta({ description: 'Disks that were copied are deleted on the source once the target is verified' }),
    useExistingVolumes: z
      .boolean()
      .optional()
      .meta({ description: 'Copies go into volumes prepared on the target, of the same format and size' }),
    assumeShared: z
      .boolean()
      .optional()
      .meta({ description: 'The operator asserts that storage is shared where Ferry cannot prove it' }),
    toUri: z
      .string()
      .min(1)
      .max(1024)
      .optional()
      .meta({ description: 'libvirt URI of a host that need not be of the fleet; it is checked first' }),
    toCluster: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .meta({ description: 'The target is in this cluster, not in that of the VM' }),
    map: definitionMapSchema.optional(),
    xml: z
      .string()
      .min(1)
      .max(131_072)
      .optional()
      .meta({ description: "The definition for the target, in place of the VM's own" }),
    media: z
      .enum(['copy', 'eject'])
      .optional()
      .meta({ description: 'Images of drives that only the source has: copied as files, or the drive arrives empty' }),
    createMissing: z
      .boolean()
      .optional()
      .meta({ description: 'Networks, filters and secrets that the target lacks are made there as on the source' }),
    mode: z
      .enum(['peer-to-peer', 'direct'])
      .optional()
      .meta({ description: 'Who drives: the hosts among themselves, or Ferry. Absent: found out' }),
    tls: z
      .boolean()
      .optional()
      .meta({ description: 'Memory and disks travel encrypted, the peer verified. Absent: what the cluster says' }),
    tunnelled: z.boolean().optional().meta({ description: 'Through the connection of the two daemons' }),
    parallelConnections: z.number().int().min(1).max(255).optional().meta({ description: 'Connections for memory' }),
    compression: z.enum(['xbzrle', 'zlib', 'zstd']).optional(),
    zeroCopy: z.boolean().optional(),
    postCopy: z
      .boolean()
      .optional()
      .meta({ description: 'It may be switched to post-copy while it runs. Absent: what the policy says' }),
    policy: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .meta({ description: "In place of the policy that the VM's labels or its cluster select" }),
    deadlineMs: z.number().int().min(1_000).max(2_000_000_000).optional().meta({ description: 'From now on' }),
    quicklyFinish: z
      .boolean()
      .optional()
      .meta({ description: 'The pause may become as long as the rest needs, up to 10 s or maxDowntimeMs' }),
    keepTargetOnFailure: z
      .boolean()
      .optional()
      .meta({ description: "What a failed target leaves is kept: volumes, definition, and its QEMU's log" }),
    maxDowntimeMs: z
      .number()
      .int()
      .min(1)
      .max(2_000_000)
      .optional()
      .meta({ description: 'Longest pause for the switchover that QEMU aims at' }),
    rescue: z
      .strictObject({
        statement: z.string().min(1).max(1000),
        by: z.string().min(1).max(255).optional().meta({ description: 'Name of who says so' }),
      })
      .optional()
      .meta({
        description:
          "The VM's host is down: start it elsewhere from the stored definition. The statement is the " +
          "caller's word that the host is dead; it is kept",
      }),
    autoStart: z.boolean().optional().meta({ description: 'A VM that was shut off is started on the target' }),
  })
  .meta({ id: 'MigrationCreate' });

export const migrationTuneSchema = z
  .strictObject({
    maxBandwidthMiBPerSecond: z.number().int().min(1).max(1_000_000).optional(),
    maxDowntimeMs: z.number().int().min(1).max(2_000_000).optional(),
    deadlineMs: z.number().int().min(1_000).max(2_000_000_000).optional().meta({ description: 'From now on' }),
    quicklyFinish: z
      .literal(true)
      .optional()
      .meta({ description: 'The pause may become as long as the rest needs, up to 10 s or maxDowntimeMs' }),
  })
  .refine((limits) => Object.keys(limits).length > 0, 'nothing to change is given')
  .meta({ id: 'MigrationTune' });

export type MigrationCreate = z.infer<typeof migrationCreateSchema>;
