/** The file of `ferry fleet export`: what is recorded of a fleet at one moment. docs/fleet-file.md shows one. */
import { domainStates, mostInFleet } from '@ferry/core';
import { z } from 'zod';
import { configurationSchema } from './configuration.ts';
import { hostStateSchema } from './host.ts';
import { bytes, nameText } from './parts.ts';

/** The format that this Ferry writes and reads. */
export const fleetFileVersion = 1;
const mostHosts = 20_000;
const mostVms = 500_000;

const text = (most = 255) => z.string().min(1).max(most);
const uuid = () => z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'It must be a UUID in lower case');
const version = () => z.string().regex(/^\d{1,4}(\.\d{1,4}){1,3}$/, 'It must be a version as in 10.0.0');

const factsSchema = z
  .strictObject({
    libvirtVersion: version(),
    qemuVersion: version().optional(),
    cpu: z.strictObject({
      arch: text(),
      model: z.string().max(255),
      vendor: z.string().max(255),
      threads: z.number().int().min(1).max(1_000_000),
      signature: text().optional().meta({ description: 'Family, model and stepping, as in 6/85/7' }),
      microcode: text().optional(),
      tsc: z.strictObject({ hz: z.number().min(0), scaling: z.boolean() }).optional(),
    }),
    memoryBytes: bytes(),
    firmware: text(1_000).optional().meta({ description: 'Vendor, version and date' }),
    nodes: z
      .array(z.strictObject({ id: z.number().int().min(0).max(100_000), cpus: z.string().max(65_536) }))
      .max(4_096)
      .optional()
      .meta({ description: 'NUMA nodes with their CPUs, as in 0-3,8' }),
    linkMbit: z.number().int().min(1).optional(),
    guests: z
      .array(
        z.strictObject({
          arch: text(),
          emulator: text(4_096),
          machines: z.array(text()).max(1_000),
          aliases: z.array(text()).max(1_000),
          domainTypes: z.array(text()).max(32),
        }),
      )
      .max(64)
      .optional()
      .meta({ description: 'How it runs guests of each architecture' }),
  })
  .meta({ id: 'FleetFileFacts', description: 'What the host last reported of itself' });

const hostSchema = z
  .strictObject({
    name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/, 'It must be the name of a host'),
    uri: text(1_024),
    cluster: nameText().optional().meta({ description: 'If absent, "default"' }),
    migrationAddress: text().optional(),
    machineUuid: text().optional(),
    state: hostStateSchema.optional().meta({ description: 'If absent, "connected"' }),
    stateDetail: text(1_000).optional(),
    service: z
      .enum(['cordoned', 'draining', 'maintenance'])
      .optional()
      .meta({ description: 'Absent: VMs may be placed on it' }),
    freeMemoryBytes: bytes().optional(),
    facts: factsSchema.optional(),
  })
  .meta({ id: 'FleetFileHost' });

const vmSchema = z
  .strictObject({
    uuid: uuid(),
    name: text(),
    host: text(),
    state: z.enum(domainStates).optional().meta({ description: 'If absent, "running"' }),
    memoryBytes: bytes(),
    vcpus: z.number().int().min(1).max(10_000).optional().meta({ description: 'If absent, 1' }),
    transient: z.literal(true).optional().meta({ description: 'Its host keeps no definition of it' }),
    arrivedPaused: z.literal(true).optional().meta({ description: 'It arrived paused and was not resumed since' }),
    others: z
      .array(
        z.strictObject({
          host: text(),
          role: z.enum(['parked', 'incoming', 'conflict']),
          name: text().optional().meta({ description: 'Its name there, if it differs' }),
          state: z.enum(domainStates),
          transient: z.literal(true).optional(),
          kept: z.literal(true).optional().meta({ description: 'Ferry keeps it there on purpose' }),
        }),
      )
      .max(64)
      .optional()
      .meta({ description: 'Its instances on other hosts' }),
  })
  .meta({ id: 'FleetFileVm' });

const reservationSchema = z.strictObject({
  migration: text(),
  vm: text(),
  side: z.enum(['source', 'target']).optional(),
  memoryBytes: bytes().optional(),
  ports: z.array(z.number().int().min(1).max(65_535)).max(64).optional(),
});

export const fleetFileSchema = z
  .strictObject({
    version: z.literal(fleetFileVersion).meta({ description: 'Of the format' }),
    takenAt: z.iso
      .datetime('It must be a time in UTC as in 2026-01-01T00:00:00Z')
      .meta({ description: 'All facts are as old as this, or older where a host does not answer' }),
    counts: z
      .strictObject({ hosts: z.number().int().min(0), vms: z.number().int().min(0) })
      .optional()
      .meta({ description: 'What the file has if it is whole' }),
    configuration: configurationSchema
      .optional()
      .meta({ description: 'Clusters, policies, rules and labels, as "ferry export" prints them' }),
    settings: z.strictObject({ maxMigrations: z.number().int().min(1).max(mostInFleet).optional() }).optional(),
    hosts: z.array(hostSchema).max(mostHosts),
    vms: z.array(vmSchema).max(mostVms),
    migrations: z
      .array(
        z.strictObject({
          id: text(),
          vm: uuid(),
          from: text(),
          to: text().optional().meta({ description: 'Once it is chosen' }),
          requestedTo: text().optional(),
        }),
      )
      .max(20_000)
      .optional()
      .meta({ description: 'Those that wait or run' }),
    reservations: z
      .record(
        z.string().regex(/^(fleet|host\/.{1,255}|network\/.{1,255}|cluster\/.{1,255})$/),
        z.array(reservationSchema).max(20_000),
      )
      .optional()
      .meta({ description: 'By host/NAME, network/NETWORK, cluster/NAME or "fleet": what migrations hold there' }),
  })
  .meta({ id: 'FleetFile', description: 'What is recorded of a fleet at one moment' });

export type FleetFileJson = z.infer<typeof fleetFileSchema>;
