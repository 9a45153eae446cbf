/** Hosts: what is known of one, and what adding or changing one takes. */
import { z } from 'zod';
import { bytes, nameText, time } from './parts.ts';

export const hostStateSchema = z
  .enum(['connecting', 'connected', 'unreachable', 'other-machine'])
  .meta({ description: '"other-machine": what answers at its address is not the machine that was added' });

export const hostSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    uri: z.string(),
    cluster: z.string(),
    migrationAddress: z.string().optional().meta({ description: 'Where migration data reaches it' }),
    state: hostStateSchema,
    stateDetail: z.string().optional(),
    stateRemedy: z.string().optional().meta({ description: 'The way out of that state' }),
    cpu: z.object({ arch: z.string(), model: z.string(), vendor: z.string(), threads: z.number().int() }).optional(),
    memory: z.object({ totalBytes: bytes(), freeBytes: bytes().optional() }).optional(),
    libvirtVersion: z.string().optional(),
    qemuVersion: z.string().optional(),
    vms: z.number().int().meta({ description: 'VMs whose authoritative instance is on this host' }),
    addedAt: time(),
  })
  .meta({ id: 'Host' });

const hostSettings = {
  cluster: nameText().optional().meta({ description: '"default" unless given' }),
  migrationAddress: z
    .union([z.ipv4(), z.ipv6(), z.literal('')], 'It must be an IP address, or empty for none')
    .optional()
    .meta({ description: 'IP address where migration data reaches the host; empty for none' }),
};

export const hostAddSchema = z
  .strictObject({ uri: z.string().min(1).max(1024), name: nameText().optional(), ...hostSettings })
  .meta({ id: 'HostAdd' });

export const hostChangeSchema = z
  .strictObject(hostSettings)
  .meta({ id: 'HostChange', description: 'What is absent stays as it is' });

export type HostJson = z.infer<typeof hostSchema>;
export type HostAdd = z.infer<typeof hostAddSchema>;
