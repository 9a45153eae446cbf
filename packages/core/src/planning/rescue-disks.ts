/**
 * The disks of a VM whose host is dead, on a candidate: only what it has already, as earlier moves proved or the
 * operator states. Nothing can be copied. Pure.
 */
import type { HostView } from '../model/host.ts';
import type { DiskPlan } from '../model/plan.ts';
import type { Reason } from '../model/reasons.ts';
import type { DiskFacts, SharingProof } from '../model/storage.ts';

/**
 * What a candidate says about the disks and the images below them: proofs of earlier days by path, and the paths it
 * has.
 */
export interface RescueStorage {
  readonly sharing: ReadonlyMap<string, SharingProof>;
  readonly found: ReadonlySet<string>;
  /** Devices that are not there, as far as that can be seen. */
  readonly missing?: ReadonlySet<string>;
  /** Base images of a disk, by its path, that its definition does not name; absent if not known. */
  readonly below: ReadonlyMap<string, readonly string[]>;
}

export function planRescueDisk(
  name: string,
  disk: DiskFacts,
  storage: RescueStorage | undefined,
  from: string,
  { host }: HostView,
  assumed: boolean,
): { readonly plan: DiskPlan } | { readonly reason: Reason } {
  const { target, source: path, format } = disk;
  const common = { target, ...(path === undefined ? {} : { path }), ...(format === undefined ? {} : { format }) };
  if (path === undefined) return { plan: { ...common, how: 'none' } };
  if (storage?.missing?.has(path) === true)
    return {
      reason: {
        code: 'disk-not-there',
        host: host.name,
        message: `${host.name} does not have the device of ${name}'s disk ${target} (${path}).`,
        remedy: `Make it visible on ${host.name}, or choose another host.`,
      },
    };
  if (disk.identity !== undefined)
    return {
      plan: {
        ...common,
        how: 'shared',
        proof: { verdict: 'shared', method: 'identity', at: 0, detail: disk.identity },
      },
    };
  const what = `${name}'s disk ${target} (${path})`;
  if (disk.type === 'file' && storage?.found.has(path) !== true) {
    return {
      reason: {
        code: 'disk-not-there',
        host: host.name,
        message: `${host.name} does not have ${what}; it may be on ${from} only.`,
        remedy: `Repair ${from}, or restore the disk from a backup.`,
      },
    };
  }
  const below = disk.chainUnknown === true ? storage?.below.get(path) : [];
  if (disk.type === 'file' && below === undefined) {
    return {
      reason: {
        code: 'disk-chain-unknown',
        host: host.name,
        message: `${host.name} does not say which base images ${what} has.`,
        remedy: `Check that the file and its folder can be read on ${host.name}.`,
      },
    };
  }
  const chain = [...disk.backing.map((image) => image.path), ...(below ?? [])];
  const lost = chain.find((image) => storage?.found.has(image) !== true);
  if (lost !== undefined) {
    return {
      reason: {
        code: 'disk-not-there',
        host: host.name,
        message: `${host.name} does not have ${lost}, a base image of ${what}; it may be on ${from} only.`,
        remedy: `Repair ${from}, or restore the image from a backup.`,
      },
    };
  }
  const proof = storage?.sharing.get(path);
  const proved = [path, ...chain].every((image) => storage?.sharing.get(image)?.verdict === 'shared');
  if (proved && proof !== undefined) return { plan: { ...common, how: 'shared', proof } };
  if (assumed) return { plan: { ...common, how: 'shared', proof: { verdict: 'shared', method: 'operator', at: 0 } } };
  return {
    reason: {
      code: 'disk-sharing-unknown',
      host: host.name,
      message:
        `Whether ${host.name} has the same storage as ${from} for ` +
        `${chain.length === 0 ? what : `${what} and the images below it`} was never proved, and ${from} ` +
        'cannot be asked now.',
      remedy: 'If you know that it is, use --assume-shared.',
    },
  };
}
