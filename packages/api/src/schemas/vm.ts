/** VMs with their disks and instances, and the remains of interrupted migrations. */
import { domainStates } from '@ferry/core';
import { z } from 'zod';
import { bytes, revision, time } from './parts.ts';

export const domainStateSchema = z.enum(domainStates);

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
    instances: z.array(
      z.object({
        host: z.string(),
        name: z.string().optional().meta({ description: 'Its name on this host, if it differs' }),
        role: z.enum(['authoritative', 'parked', 'incoming', 'conflict']),
        state: domainStateSchema,
        persistent: z.boolean().optional(),
      }),
    ),
    currentMigration: z.string().optional(),
    labels: z.array(z.string()).optional(),
    revision: revision('of it, which are its labels'),
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
        knowledge: z.array(z.string()).meta({ description: 'What is known of this copy, one sentence each' }),
      }),
    ),
  })
  .meta({ id: 'VmCopies', description: 'Every instance of a VM, with what is known of it' });
export const vmSettleSchema = z
  .strictObject({
    keep: z.string().min(1).max(255).meta({
      description: 'Keep the copy on this host; end active copies elsewhere and park their definitions',
    }),
  })
  .meta({ id: 'VmSettle' });

export const vmRemainsSchema = z
  .object({
    vm: z.string(),
    items: z.array(
      z.object({
        kind: z.enum(['half', 'volume']),
        host: z.string(),
        what: z.string(),
        remedy: z.string().meta({ description: 'What cleanup does with it' }),
        settles: z.boolean().meta({ description: 'If false, cleanup leaves it alone' }),
      }),
    ),
  })
  .meta({ id: 'VmRemains', description: 'What interrupted migrations left of a VM' });

export const leftoverSchema = z
  .object({
    host: z.string(),
    path: z.string(),
    pool: z.string(),
    vm: z.object({ uuid: z.string(), name: z.string() }),
    migration: z.string(),
    at: time(),
    role: z
      .enum(['source', 'target'])
      .meta({ description: '"source": what a finished copy left; "target": what an unfinished one left' }),
    what: z.enum(['media', 'state']).optional().meta({
      description:
        '"media": an image that nobody writes; "state": UEFI variables, TPM state or saved memory; absent for a disk',
    }),
    sizeBytes: bytes(),
    allocatedBytes: bytes().optional(),
  })
  .meta({ id: 'Leftover', description: 'A file that a move left behind' });

export const leftoverPurgeSchema = z
  .strictObject({ host: z.string().min(1).max(255), path: z.string().min(1).max(4096) })
  .meta({ id: 'LeftoverPurge' });

export type VmJson = z.infer<typeof vmSchema>;
export type LeftoverJson = z.infer<typeof leftoverSchema>;
export type VmCopiesJson = z.infer<typeof vmCopiesSchema>;
export type VmRemainsJson = z.infer<typeof vmRemainsSchema>;
