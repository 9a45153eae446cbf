/** Hosts: a host, and the requests that add or change one. */
import { serviceStates } from '@ferry/core';
import { z } from 'zod';
import { bytes, nameText, revision, time } from './parts.ts';

export const hostStateSchema = z
  .enum(['connecting', 'connected', 'unreachable', 'other-machine'])
  .meta({ description: '"other-machine": another machine than the one that was added answers at its address' });

export const hostSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    uri: z.string(),
    cluster: z.string(),
    migrationAddress: z.string().optional().meta({ description: 'Address for migration data' }),
    state: hostStateSchema,
    stateDetail: z.string().optional(),
    stateRemedy: z.string().optional().meta({ description: 'What to do about that state' }),
    service: z.enum(serviceStates).meta({
      description:
        'Whether VMs are placed on it: "cordoned" takes none and keeps its own, from "draining" they are leaving, ' +
        '"maintenance" was empty when its drain ended',
    }),
    serviceSince: time().optional().meta({ description: 'Absent while it is schedulable' }),
    drain: z.string().optional().meta({ description: 'The drain that put it in that state' }),
    attention: z.string().optional().meta({ description: 'Why what its label "ferry.drain" asks for is not done' }),
    cpu: z.object({ arch: z.string(), model: z.string(), vendor: z.string(), threads: z.number().int() }).optional(),
    memory: z.object({ totalBytes: bytes(), freeBytes: bytes().optional() }).optional(),
    libvirtVersion: z.string().optional(),
    qemuVersion: z.string().optional(),
    labels: z.array(z.string()).optional(),
    vms: z.number().int().meta({ description: 'VMs whose authoritative instance is on this host' }),
    addedAt: time(),
    revision: revision(),
  })
  .meta({ id: 'Host' });

const hostSettings = {
  cluster: nameText().optional().meta({ description: 'If absent, "default"' }),
  migrationAddress: z
    .union([z.ipv4(), z.ipv6(), z.literal('')], 'It must be an IP address, or empty for none')
    .optional()
    .meta({ description: 'IP address for migration data; empty for none' }),
};

export const hostAddSchema = z
  .strictObject({ uri: z.string().min(1).max(1024), name: nameText().optional(), ...hostSettings })
  .meta({ id: 'HostAdd' });

export const hostChangeSchema = z
  .strictObject(hostSettings)
  .meta({ id: 'HostChange', description: 'An absent field stays as it is' });

export type HostJson = z.infer<typeof hostSchema>;
export type HostAdd = z.infer<typeof hostAddSchema>;
