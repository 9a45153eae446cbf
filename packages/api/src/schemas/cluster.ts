/** Clusters: their settings, and the names that Ferry replaces in a definition for another host. */
import { z } from 'zod';
import { revision } from './parts.ts';

const names = (what: string) =>
  z.record(z.string().min(1).max(1024), z.string().min(1).max(1024)).optional().meta({ description: what });
export const definitionMapSchema = z
  .strictObject({
    networks: names('Networks of libvirt and bridges of the host: source to target'),
    pools: names('Storage pools'),
    paths: names('Files, and folders with everything in them'),
    graphicsListen: z
      .string()
      .max(255)
      .regex(/^[\w.:-]+$/)
      .optional()
      .meta({ description: "Address on which the target's consoles listen" }),
  })
  .meta({ id: 'DefinitionMap', description: 'Names on the source, and what replaces them on the target' });

const port = () => z.number().int().min(1024).max(65_535);
const atOnce = (what: string) =>
  z
    .number()
    .int()
    .min(1)
    .optional()
    .meta({ description: `Most migrations at once ${what}` });
export const clusterSettings = {
  migrationNetwork: z
    .string()
    .max(64)
    .optional()
    .meta({ description: 'Migration data goes to an address in this network, for example 10.1.0.0/16' }),
  migrationPorts: z
    .strictObject({ first: port(), last: port() })
    .optional()
    .meta({ description: "Ports on the target for migration data, in place of libvirt's own" }),
  tls: z.boolean().optional().meta({ description: 'Encrypt migration data unless the migration says otherwise' }),
  map: definitionMapSchema.optional(),
  policy: z.string().min(1).max(63).optional().meta({ description: 'Policy for VMs that leave its hosts' }),
  maxOutgoingPerHost: atOnce('from each of its hosts; 8 if absent'),
  maxIncomingPerHost: atOnce('to each of its hosts; 8 if absent'),
  maxPerMigrationNetwork: atOnce('to it over its migration network; no limit if absent'),
  blackouts: z
    .array(z.string().min(1).max(100))
    .max(32)
    .optional()
    .meta({
      description:
        'Periods, UTC, in which no drain or restore begins to move a VM off its hosts: "Mon-Fri 08:00-18:00", ' +
        '"22:00-02:00", "2026-12-24T00:00Z/2026-12-27T00:00Z"',
    }),
};
const changedNames = (what: string) =>
  z
    .record(z.string().min(1).max(1024), z.string().min(1).max(1024).nullable())
    .nullable()
    .optional()
    .meta({ description: what });
export const cpuBaselineSchema = z
  .object({
    cluster: z.string(),
    cpu: z.string().meta({ description: 'The element <cpu> for definitions, as libvirt computed it' }),
    computedOn: z.string().meta({ description: 'The host whose libvirt computed it' }),
    hosts: z.array(z.string()).meta({ description: 'Hosts that have this CPU' }),
    leftOut: z
      .array(z.object({ host: z.string(), why: z.string() }))
      .meta({ description: 'Hosts that it says nothing about' }),
    unfit: z.array(
      z.object({
        vm: z.string(),
        host: z.string(),
        why: z.enum(['stuck', 'next-start', 'unknown']).meta({
          description:
            '"stuck": it cannot go to every host while it runs; "next-start": it takes what its host has when it starts',
        }),
        message: z.string(),
      }),
    ),
  })
  .meta({ id: 'CpuBaseline', description: 'A CPU that all hosts of a cluster have, and the VMs that need another' });

export const clusterChangeSchema = z
  .strictObject({
    migrationNetwork: clusterSettings.migrationNetwork.nullable(),
    migrationPorts: clusterSettings.migrationPorts.nullable(),
    tls: clusterSettings.tls.nullable(),
    policy: clusterSettings.policy.nullable(),
    maxOutgoingPerHost: clusterSettings.maxOutgoingPerHost.nullable(),
    maxIncomingPerHost: clusterSettings.maxIncomingPerHost.nullable(),
    maxPerMigrationNetwork: clusterSettings.maxPerMigrationNetwork.nullable(),
    blackouts: clusterSettings.blackouts.nullable(),
    map: z
      .strictObject({
        networks: changedNames('Networks of libvirt and bridges of the host: source to target'),
        pools: changedNames('Storage pools'),
        paths: changedNames('Files, and folders with everything in them'),
        graphicsListen: definitionMapSchema.shape.graphicsListen.nullable(),
      })
      .nullable()
      .optional(),
  })
  .meta({
    id: 'ClusterChange',
    description: 'A merge patch (RFC 7396): an absent field stays as it is; null removes a setting or a map entry',
  });
export const clusterSchema = z
  .object({ name: z.string(), hosts: z.array(z.string()), revision: revision(), ...clusterSettings })
  .meta({ id: 'Cluster' });

export type ClusterJson = z.infer<typeof clusterSchema>;
export type ClusterChange = z.infer<typeof clusterChangeSchema>;
export type CpuBaselineJson = z.infer<typeof cpuBaselineSchema>;
