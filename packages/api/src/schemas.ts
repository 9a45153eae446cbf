/**
 * The objects of the API as zod schemas: the JSON contract. Fields are only ever added. Sizes in bytes, times in ms or
 * RFC 3339 UTC. Types of requests and answers are inferred from here.
 */
import { z } from 'zod';
import { policyContentShape } from './policy-schemas.ts';

const bytes = () => z.number().int().nonnegative();
const time = () => z.string().meta({ format: 'date-time', description: 'RFC 3339, UTC' });
const milliseconds = () => z.number().int().nonnegative();
export const hostStateSchema = z.enum(['connecting', 'connected', 'unreachable']);
export const domainStateSchema = z.enum(['running', 'blocked', 'paused', 'shutting-down', 'shut-off', 'crashed', 'pm-suspended', 'no-state', 'unknown']);
export const phaseSchema = z.enum(['queued', 'checking', 'preparing', 'transferring', 'switching', 'post-copy', 'verifying', 'cleaning', 'succeeded', 'failed', 'cancelled']);
export const kindSchema = z.enum(['live', 'cold', 'suspended', 'configuration', 'evacuation']);
export const outcomeSchema = z.enum(['succeeded', 'failed', 'cancelled']);

export const versionSchema = z.object({ version: z.string(), api: z.literal('v1') }).meta({ id: 'Version' });

export const reasonSchema = z
  .object({ code: z.string(), host: z.string().optional(), message: z.string(), remedy: z.string() })
  .meta({ id: 'Reason', description: 'One ground on which a move is refused, for one host or as a whole' });

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.string(),
    remedy: z.string(),
    retriable: z.boolean(),
    reasons: z.array(reasonSchema),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem document' });

export const hostSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    uri: z.string(),
    cluster: z.string(),
    migrationAddress: z.string().optional().meta({ description: 'Where migration data reaches it' }),
    state: hostStateSchema,
    stateDetail: z.string().optional(),
    cpu: z.object({ arch: z.string(), model: z.string(), vendor: z.string(), threads: z.number().int() }).optional(),
    memory: z.object({ totalBytes: bytes(), freeBytes: bytes().optional() }).optional(),
    libvirtVersion: z.string().optional(),
    qemuVersion: z.string().optional(),
    vms: z.number().int().meta({ description: 'VMs whose authoritative instance is on this host' }),
    addedAt: time(),
  })
  .meta({ id: 'Host' });

const nameText = () => z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/);
const hostSettings = {
  cluster: nameText().optional().meta({ description: '"default" unless given' }),
  migrationAddress: z.union([z.ipv4(), z.ipv6(), z.literal('')], 'It must be an IP address, or empty for none').optional().meta({ description: 'IP address where migration data reaches the host; empty for none' }),
};

export const hostAddSchema = z
  .strictObject({ uri: z.string().min(1).max(1024), name: nameText().optional(), ...hostSettings })
  .meta({ id: 'HostAdd' });

export const hostChangeSchema = z.strictObject(hostSettings).meta({ id: 'HostChange', description: 'What is absent stays as it is' });

const names = (what: string) => z.record(z.string().min(1).max(1024), z.string().min(1).max(1024)).optional().meta({ description: what });
export const definitionMapSchema = z
  .strictObject({
    networks: names("libvirt's networks and the host's bridges: source to target"),
    pools: names('Storage pools'),
    paths: names('Files and folders; what lies below goes along'),
    graphicsListen: z.string().max(255).regex(/^[\w.:-]+$/).optional().meta({ description: "Address on which the target's consoles listen" }),
  })
  .meta({ id: 'DefinitionMap', description: 'What stands for the names of the source on the target' });

const port = () => z.number().int().min(1024).max(65_535);
const clusterSettings = {
  migrationNetwork: z.string().max(64).optional().meta({ description: 'As in 10.1.0.0/16: migration data goes to an address in it' }),
  migrationPorts: z.strictObject({ first: port(), last: port() }).optional().meta({ description: "Ports on the target for migration data, in place of libvirt's own" }),
  tls: z.boolean().optional().meta({ description: 'Migration data is encrypted unless asked otherwise' }),
  map: definitionMapSchema.optional(),
  policy: z.string().min(1).max(63).optional().meta({ description: 'Name of the policy for VMs that leave its hosts' }),
};
export const clusterPutSchema = z.strictObject(clusterSettings).meta({ id: 'ClusterPut', description: 'All settings of the cluster; what is absent is not set' });
export const clusterSchema = z.object({ name: z.string(), hosts: z.array(z.string()), ...clusterSettings }).meta({ id: 'Cluster' });

export const diskSchema = z.object({
  target: z.string(),
  device: z.enum(['disk', 'cdrom', 'floppy', 'lun']),
  type: z.string(),
  source: z.string().optional(),
  format: z.string().optional(),
  readOnly: z.boolean(),
});

export const vmSchema = z
  .object({
    uuid: z.string(),
    name: z.string(),
    host: z.string(),
    state: domainStateSchema,
    memoryBytes: bytes(),
    vcpus: z.number().int(),
    disks: z.array(diskSchema),
    instances: z.array(z.object({ host: z.string(), role: z.enum(['authoritative', 'parked', 'incoming', 'conflict']), state: domainStateSchema, persistent: z.boolean().optional() })),
    currentMigration: z.string().optional(),
    labels: z.array(z.string()).optional(),
  })
  .meta({ id: 'Vm' });

export const vmCopiesSchema = z
  .object({
    vm: z.string(),
    copies: z.array(
      z.object({
        host: z.string(),
        role: z.string(),
        state: domainStateSchema,
        reason: z.string().meta({ description: "libvirt's reason for the state" }),
        persistent: z.boolean(),
        knowledge: z.array(z.string()).meta({ description: 'What is known of this copy, sentence by sentence' }),
      }),
    ),
  })
  .meta({ id: 'VmCopies', description: 'Every instance of a VM with what is known of it' });
export const vmSettleSchema = z.strictObject({ keep: z.string().min(1).max(255).meta({ description: 'Host whose copy stays; the active ones elsewhere are ended' }) }).meta({ id: 'VmSettle' });

export const vmRemainsSchema = z
  .object({
    vm: z.string(),
    items: z.array(
      z.object({
        kind: z.enum(['half', 'volume']),
        host: z.string(),
        what: z.string(),
        remedy: z.string().meta({ description: 'What cleaning up does with it' }),
        settles: z.boolean().meta({ description: 'False: cleaning up leaves it alone' }),
      }),
    ),
  })
  .meta({ id: 'VmRemains', description: 'What interrupted migrations left of a VM' });

export const migrationCreateSchema = z
  .strictObject({
    vm: z.string().min(1).max(255),
    to: z.string().min(1).max(255).optional().meta({ description: 'This host or none' }),
    preferHost: z.string().min(1).max(255).optional().meta({ description: 'Tried first; another suited host otherwise' }),
    maxBandwidthMiBPerSecond: z.number().int().min(1).max(1_000_000).optional(),
    kind: kindSchema.exclude(['evacuation']).optional().meta({ description: 'Absent: the one that fits the state of the VM' }),
    temporary: z.boolean().optional().meta({ description: 'The target keeps no definition; when the VM shuts down there it is its source\'s again' }),
    keepSource: z.boolean().optional().meta({ description: 'The source keeps a parked definition, autostart off' }),
    deleteSourceDisks: z.boolean().optional().meta({ description: 'Disks that were copied are deleted on the source once the target is verified' }),
    useExistingVolumes: z.boolean().optional().meta({ description: 'Copies go into volumes prepared on the target, of the same format and size' }),
    assumeShared: z.boolean().optional().meta({ description: 'Storage whose sharing cannot be told is shared: the operator knows' }),
    toUri: z.string().min(1).max(1024).optional().meta({ description: 'libvirt URI of a host that need not be of the fleet; it is checked first' }),
    toCluster: z.string().min(1).max(63).optional().meta({ description: 'The target is in this cluster, not in that of the VM' }),
    map: definitionMapSchema.optional(),
    xml: z.string().min(1).max(131_072).optional().meta({ description: "The definition for the target, in place of the VM's own" }),
    media: z.enum(['copy', 'eject']).optional().meta({ description: 'Images of drives that only the source has: copied as files, or the drive arrives empty' }),
    createMissing: z.boolean().optional().meta({ description: 'Networks, filters and secrets that the target lacks are made there as on the source' }),
    mode: z.enum(['peer-to-peer', 'direct']).optional().meta({ description: 'Who drives: the hosts among themselves, or Ferry. Absent: found out' }),
    tls: z.boolean().optional().meta({ description: 'Memory and disks travel encrypted, the peer verified. Absent: what the cluster says' }),
    tunnelled: z.boolean().optional().meta({ description: 'Through the connection of the two daemons' }),
    parallelConnections: z.number().int().min(1).max(255).optional().meta({ description: 'Connections for memory' }),
    compression: z.enum(['xbzrle', 'zlib', 'zstd']).optional(),
    zeroCopy: z.boolean().optional(),
    postCopy: z.boolean().optional().meta({ description: 'It may be switched to post-copy while it runs. Absent: what the policy says' }),
    policy: z.string().min(1).max(63).optional().meta({ description: "In place of the policy that the VM's labels or its cluster select" }),
    deadlineMs: z.number().int().min(1_000).max(2_000_000_000).optional().meta({ description: 'From now on' }),
    quicklyFinish: z.boolean().optional().meta({ description: 'The pause may become as long as the rest needs, up to 10 s or maxDowntimeMs' }),
    keepTargetOnFailure: z.boolean().optional().meta({ description: "What a failed target leaves is kept: volumes, definition, and its QEMU's log" }),
    maxDowntimeMs: z.number().int().min(1).max(2_000_000).optional().meta({ description: 'Longest pause for the switchover that QEMU aims at' }),
    rescue: z
      .strictObject({ statement: z.string().min(1).max(1000), by: z.string().min(1).max(255).optional().meta({ description: 'Name of who says so' }) })
      .optional()
      .meta({ description: "The VM's host is down: start it elsewhere from the stored definition. The statement is the caller's word that the host is dead; it is kept" }),
    autoStart: z.boolean().optional().meta({ description: 'A VM that was shut off is started on the target' }),
  })
  .meta({ id: 'MigrationCreate' });

export const migrationTuneSchema = z
  .strictObject({ maxBandwidthMiBPerSecond: z.number().int().min(1).max(1_000_000).optional(), maxDowntimeMs: z.number().int().min(1).max(2_000_000).optional(), deadlineMs: z.number().int().min(1_000).max(2_000_000_000).optional().meta({ description: 'From now on' }), quicklyFinish: z.literal(true).optional().meta({ description: 'The pause may become as long as the rest needs, up to 10 s or maxDowntimeMs' }) })
  .refine((limits) => Object.keys(limits).length > 0, 'nothing to change is given')
  .meta({ id: 'MigrationTune' });

const movedDiskSchema = z
  .object({
    target: z.string(),
    path: z.string().optional(),
    targetPath: z.string().optional().meta({ description: 'On the target, when it is another one there' }),
    how: z.enum(['none', 'shared', 'copy', 'file', 'eject']),
    sharing: z
      .object({ verdict: z.enum(['shared', 'separate', 'unknown']), method: z.enum(['marker', 'identity', 'operator', 'none']), at: time().optional(), detail: z.string().optional() })
      .optional()
      .meta({ description: 'How it is known whether both hosts have this storage' }),
    sizeBytes: bytes().optional(),
    allocatedBytes: bytes().optional(),
    pool: z.string().optional().meta({ description: 'Pool of the target that the copy goes into' }),
  })
  .meta({ id: 'MovedDisk' });

export const leftoverSchema = z
  .object({
    host: z.string(),
    path: z.string(),
    pool: z.string(),
    vm: z.object({ uuid: z.string(), name: z.string() }),
    migration: z.string(),
    at: time(),
    role: z.enum(['source', 'target']).meta({ description: '"source": what a finished copy left; "target": what an unfinished one left' }),
    sizeBytes: bytes(),
    allocatedBytes: bytes().optional(),
  })
  .meta({ id: 'Leftover', description: 'A volume that a move left behind' });

export const leftoverPurgeSchema = z.strictObject({ host: z.string().min(1).max(255), path: z.string().min(1).max(4096) }).meta({ id: 'LeftoverPurge' });

export const progressSchema = z.object({
  percent: z.number().min(0).max(100).meta({ description: 'Never runs backwards' }),
  processedBytes: bytes(),
  remainingBytes: bytes(),
  totalBytes: bytes(),
  dirtyBytesPerSecond: bytes(),
  throughputBytesPerSecond: bytes(),
  iteration: z.number().int(),
  part: z.enum(['disks', 'memory']).optional().meta({ description: 'What is being sent' }),
  etaMs: milliseconds().optional(),
  etaEarliestMs: milliseconds().optional(),
  etaLatestMs: milliseconds().optional(),
  throttlePercent: z.number().optional().meta({ description: 'How much QEMU slows the guest down' }),
  postCopyFaults: z.number().int().optional().meta({ description: 'Pages that the guest had to wait for in post-copy' }),
});

const figuresSchema = z.object({
  part: z.enum(['disks', 'memory']),
  iteration: z.number().int(),
  restBytes: z.number(),
  dirtyBytesPerSecond: z.number(),
  linkBytesPerSecond: z.number(),
  presentBytesPerSecond: z.number(),
  downtimeMs: z.number(),
  throttlePercent: z.number(),
  unchangedMs: z.number(),
  elapsedMs: z.number(),
  neededPauseMs: z.number().optional(),
  endsInMs: z.number().optional(),
});
const decisionSchema = z
  .object({ at: time(), do: z.string(), toMs: z.number().optional(), step: z.number().int().optional().meta({ description: "Index of the policy's step" }), text: z.string(), figures: figuresSchema })
  .meta({ id: 'Decision', description: 'What was done or said about a running transfer, and the figures that led to it' });
const resolvedPolicySchema = z
  .object({ name: z.string(), version: z.number().int(), from: z.enum(['migration', 'vm', 'cluster', 'default']), text: z.string(), ...policyContentShape })
  .meta({ id: 'ResolvedPolicy', description: 'What the migration goes by, as it was when it was asked for' });

const outlookSchema = z
  .object({
    kind: z.enum(['converges', 'at-risk', 'does-not-converge', 'unknown']),
    text: z.string().meta({ description: 'All of it, in words' }),
    budgetMs: milliseconds().meta({ description: 'Pause for the switchover that QEMU aims at first' }),
    dirtyBytesPerSecond: bytes().optional().meta({ description: 'Pages that the guest writes within a second, each counted once' }),
    bandwidthBytesPerSecond: bytes().optional(),
    inMs: milliseconds().optional().meta({ description: 'Time of the transfer if all memory is in use' }),
    earliestMs: milliseconds().optional(),
    latestMs: milliseconds().optional(),
    pauseMs: milliseconds().optional().meta({ description: 'Pause that it would take: at least when it does not converge, at most when it is at risk' }),
    remedies: z
      .array(z.object({ do: z.enum(['throttle', 'set-downtime', 'post-copy', 'pause', 'power-off']), toMs: milliseconds().optional(), when: z.string().optional() }))
      .meta({ description: 'What the policy does then; empty: nothing that would help' }),
  })
  .meta({ id: 'Outlook', description: 'Whether pre-copy will end at the bandwidth of this migration, from the measured dirty rate' });
const howSchema = z.enum(['guest', 'helper', 'definition', 'stored-definition']).meta({ description: 'What travels: the guest, a helper domain with its disks, or its definition only' });
const persistenceSchema = z.enum(['permanent', 'temporary', 'keep-source', 'transient']);
const transferSchema = z
  .object({
    mode: z.enum(['peer-to-peer', 'direct']),
    modeReason: z.string(),
    tls: z.boolean().optional(),
    tunnelled: z.boolean().optional(),
    migrateUri: z.string().optional(),
    listenAddress: z.string().optional(),
    disksPort: z.number().int().optional(),
    parallelConnections: z.number().int().optional(),
    compression: z.string().optional(),
    zeroCopy: z.boolean().optional(),
    postCopy: z.boolean().optional(),
    bandwidthMiBPerSecond: z.number().optional(),
    throttle: z.object({ initialPercent: z.number(), incrementPercent: z.number() }).optional(),
    handover: z.boolean().optional(),
  })
  .meta({ id: 'Transfer', description: 'How the bytes travel' });
const resourceSchema = z.object({ kind: z.enum(['network', 'filter', 'secret']), name: z.string() }).meta({ id: 'Resource', description: 'Made on the target before the VM comes' });

export const plannedMigrationSchema = z
  .object({
    vm: z.object({ uuid: z.string(), name: z.string() }),
    from: z.string(),
    to: z.string(),
    kind: kindSchema,
    how: howSchema,
    persistence: persistenceSchema,
    transfer: transferSchema.optional(),
    policy: resolvedPolicySchema,
    outlook: outlookSchema.optional(),
    disks: z.array(movedDiskSchema),
    creates: z.array(resourceSchema).optional(),
    differences: z.array(z.string()).meta({ description: "What the target's cluster does otherwise" }),
    diff: z.array(z.string()).meta({ description: 'Lines of the definition that change on the way, with - and +' }),
  })
  .meta({ id: 'PlannedMigration', description: 'What would happen; nothing has been touched' });

export const migrationSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    vm: z.object({ uuid: z.string(), name: z.string() }),
    kind: kindSchema,
    origin: z.enum(['operator']),
    actor: z.string(),
    client: z.string(),
    from: z.string().meta({ description: 'Name of the source host' }),
    to: z.string().optional().meta({ description: 'Name of the target host, once chosen' }),
    phase: phaseSchema,
    phases: z.array(z.object({ phase: phaseSchema, at: time() })),
    outcome: outcomeSchema.optional(),
    progress: progressSchema.optional(),
    totalMs: milliseconds().optional(),
    downtimeMs: milliseconds().optional(),
    transferredBytes: bytes().optional(),
    vmIsNow: z.object({ host: z.string(), state: domainStateSchema }).optional(),
    error: z.object({ code: z.string(), message: z.string(), remedy: z.string(), reasons: z.array(reasonSchema) }).optional(),
    maxBandwidthMiBPerSecond: z.number().int().optional(),
    maxDowntimeMs: milliseconds().optional(),
    proofOfDeath: z
      .object({ host: z.string(), statement: z.string(), actor: z.string(), at: time() })
      .optional()
      .meta({ description: 'On whose word the host was taken for dead' }),
    how: howSchema.optional(),
    transfer: transferSchema.optional(),
    creates: z.array(resourceSchema).optional(),
    persistence: persistenceSchema.optional(),
    disks: z.array(movedDiskSchema).optional(),
    policy: resolvedPolicySchema.optional(),
    deadlineAt: time().optional(),
    decisions: z.array(decisionSchema).optional(),
    attempts: z.array(z.object({ at: time(), to: z.string().optional(), message: z.string() })).optional().meta({ description: 'Attempts before this one' }),
    attention: z.string().optional().meta({ description: 'What an operator should know now' }),
    adopted: z.boolean().optional().meta({ description: 'A restarted control plane took this transfer over' }),
  })
  .meta({ id: 'Migration' });

export const samplesSchema = z
  .object({ items: z.array(z.object({ at: time(), iteration: z.number(), remainingBytes: z.number(), processedBytes: z.number(), dirtyBytesPerSecond: z.number(), throughputBytesPerSecond: z.number(), throttlePercent: z.number().optional(), part: z.string().optional() })) })
  .meta({ id: 'Samples', description: 'Figures of a transfer, oldest first' });
export const inspectionSchema = z
  .object({ migration: z.string(), at: time(), host: z.string(), log: z.string().optional(), definition: z.string().optional(), volumes: z.array(z.string()), notes: z.array(z.string()) })
  .meta({ id: 'Inspection', description: 'What was kept of a failed target' });

export const eventSchema = z
  .discriminatedUnion('type', [
    z.object({ type: z.literal('migration'), at: time(), migration: migrationSchema }),
    z.object({ type: z.literal('host'), at: time(), host: hostSchema }),
    z.object({ type: z.literal('host-removed'), at: time(), host: z.string() }),
    z.object({ type: z.literal('vm'), at: time(), vm: vmSchema }),
    z.object({ type: z.literal('vm-removed'), at: time(), uuid: z.string(), name: z.string() }),
    z.object({ type: z.literal('alarm'), at: time(), code: z.string(), vm: z.string(), message: z.string() }).meta({ description: 'Something that a person has to put right now' }),
    z.object({ type: z.literal('reset'), at: time() }).meta({ description: 'Events were lost: read everything again' }),
  ])
  .meta({ id: 'Event' });

export type VersionView = z.infer<typeof versionSchema>;
export type HostJson = z.infer<typeof hostSchema>;
export type HostAdd = z.infer<typeof hostAddSchema>;
export type ClusterJson = z.infer<typeof clusterSchema>;
export type ClusterPut = z.infer<typeof clusterPutSchema>;
export type VmJson = z.infer<typeof vmSchema>;
export type MigrationCreate = z.infer<typeof migrationCreateSchema>;
export type PlannedMigrationJson = z.infer<typeof plannedMigrationSchema>;
export type MigrationJson = z.infer<typeof migrationSchema>;
export type LeftoverJson = z.infer<typeof leftoverSchema>;
export type VmCopiesJson = z.infer<typeof vmCopiesSchema>;
export type VmRemainsJson = z.infer<typeof vmRemainsSchema>;
export type InspectionJson = z.infer<typeof inspectionSchema>;
export type SamplesJson = z.infer<typeof samplesSchema>;
export type Problem = z.infer<typeof problemSchema>;
export type FerryEvent = z.infer<typeof eventSchema>;
