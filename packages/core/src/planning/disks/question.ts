/** What is known of one disk and one target, and the small questions that the plan of every disk asks of it. Pure. */
import type { VmUuid } from '../../model/ids.ts';
import type { DiskPlan } from '../../model/plan.ts';
import type { Reason, ReasonCode } from '../../model/reasons.ts';
import type { DiskFacts, PoolFacts, SharingProof, VolumeFacts, VolumeRecord } from '../../model/storage.ts';
import { placeOf, type Places } from '../definition.ts';
import type { ImageFacts } from '../images.ts';

/** What one candidate says about the storage of this VM. Keyed by the disk's path on the source. */
export interface TargetStorage {
  /** Where on the target the source's paths are. */
  readonly places?: Places;
  /** Maps that lead nowhere. */
  readonly mapReasons?: readonly Reason[];
  readonly pools: readonly PoolFacts[];
  readonly sharing: ReadonlyMap<string, SharingProof>;
  readonly volumes: ReadonlyMap<string, VolumeFacts>;
  /** Why it cannot be seen what is there. */
  readonly unseen?: ReadonlyMap<string, string>;
  readonly records: ReadonlyMap<string, VolumeRecord>;
  /** Why the target does not have, or does not show, a file that may be shared. */
  readonly missing?: ReadonlyMap<string, string>;
  /** Of the source: what is to be copied, and what is below it. */
  readonly images?: ReadonlyMap<string, ImageFacts>;
}

export interface StorageWish {
  readonly media?: 'copy' | 'eject';
  readonly useExistingVolumes?: boolean;
  readonly assumeShared?: boolean;
  /** Nothing uses the disks while they move. */
  readonly cold: boolean;
  /** The VM has snapshots whose images are its backing chain. */
  readonly externalSnapshots: boolean;
  /** The target's libvirt makes qcow2 volumes with the default size of clusters only. */
  readonly usualClusters?: boolean;
}

export const folderOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 1));
export const fileOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
export const sizeText = (bytes: number): string =>
  bytes < 1_073_741_824 ? `${(bytes / 1_048_576).toFixed(1)} MiB` : `${(bytes / 1_073_741_824).toFixed(1)} GiB`;

/** Disks whose sharing has to be proved by looking: files, and blocks without an identity. */
export const needsProof = (disk: DiskFacts): boolean => disk.source !== undefined && disk.identity === undefined;

/** One disk that is somewhere, and one target. */
export interface DiskQuestion {
  readonly vm: { readonly name: string; readonly uuid: VmUuid };
  readonly disk: DiskFacts;
  readonly path: string;
  /** Where it is on the target. */
  readonly place: string;
  /** The target's pool on that folder. */
  readonly pool: PoolFacts | undefined;
  readonly storage: TargetStorage;
  readonly wish: StorageWish;
  readonly from: string;
  readonly to: string;
  readonly proof: SharingProof;
  /** In a plan of any kind. */
  readonly common: Pick<DiskPlan, 'target' | 'path' | 'targetPath' | 'namedPool' | 'format'>;
  /** The disk, in a sentence. */
  readonly what: string;
  /** Both hosts see this image. */
  readonly isShared: (image: string) => boolean;
  readonly refuse: (code: ReasonCode, message: string, remedy: string) => readonly Reason[];
}

export type DiskOutcome = DiskPlan | readonly Reason[];

export function questionOf(
  vm: DiskQuestion['vm'],
  disk: DiskFacts,
  path: string,
  storage: TargetStorage,
  wish: StorageWish,
  { from, to }: { readonly from: string; readonly to: string },
): DiskQuestion {
  const { target, format } = disk;
  const place = placeOf(path, storage.places ?? []);
  const pool = storage.pools.find((each) => each.path === folderOf(place));
  const named =
    disk.pool !== undefined && disk.type === 'file' && pool !== undefined && pool.name !== disk.pool
      ? { namedPool: pool.name }
      : {};
  return {
    vm,
    disk,
    path,
    place,
    pool,
    storage,
    wish,
    from,
    to,
    proof: proofOf(disk, storage, wish),
    common: {
      target,
      path,
      ...(place === path ? {} : { targetPath: place }),
      ...named,
      ...(format === undefined ? {} : { format }),
    },
    what: `${vm.name}'s disk ${target} (${path})`,
    isShared(image) {
      const { verdict } = storage.sharing.get(image) ?? { verdict: 'unknown' };
      return verdict === 'shared' || (verdict === 'unknown' && wish.assumeShared === true);
    },
    refuse: (code, message, remedy) => [{ code, host: to, message, remedy }],
  };
}

function proofOf(disk: DiskFacts, storage: TargetStorage, wish: StorageWish): SharingProof {
  if (disk.identity !== undefined) return { verdict: 'shared', method: 'identity', at: 0, detail: disk.identity };
  const found = storage.sharing.get(disk.source ?? '') ?? { verdict: 'unknown', method: 'none', at: 0 };
  return found.verdict === 'unknown' && wish.assumeShared === true
    ? { ...found, verdict: 'shared', method: 'operator' }
    : found;
}

/** Where maps put the images below a disk elsewhere, neither its file nor its definition names the right ones there. */
export function chainAt({ backing }: DiskFacts, { places = [] }: TargetStorage): Pick<DiskPlan, 'chain'> {
  const there = backing.map((image) => ({ ...image, path: placeOf(image.path, places) }));
  return there.every(({ path }, index) => path === backing[index]?.path) ? {} : { chain: there };
}

export const namesAll = ({ chain = [] }: DiskPlan): boolean => chain.every(({ format }) => format !== undefined);

export const formatsUnknown = ({ from, to, what, refuse }: DiskQuestion): readonly Reason[] =>
  refuse(
    'disk-chain-unknown',
    `${from} does not say the formats of the base images of ${what}, and they have other paths on ${to}.`,
    'Name them with their formats in its definition (backingStore), or use the same paths on both hosts.',
  );

/** Where it would be copied to, or is looked for by its pool. */
export function poolOf(question: DiskQuestion): PoolFacts | readonly Reason[] {
  const { disk, pool, place, to, what, refuse } = question;
  if (pool === undefined)
    return refuse(
      'target-pool-missing',
      `${to} has no storage pool for ${folderOf(place)}, where ${what} ` +
        `${disk.pool === undefined ? 'would be copied to' : 'is looked for by its pool'}.`,
      `Map it with --map-pool or --map-path; or, on ${to}: virsh pool-define-as ` +
        `NAME dir --target ${folderOf(place)}, then pool-build and pool-start.`,
    );
  return pool.active
    ? pool
    : refuse(
        'target-pool-inactive',
        `The pool ${pool.name} on ${to} is not active, and ${what} would be copied there.`,
        `On ${to}: virsh pool-start ${pool.name}`,
      );
}

/** Why it cannot be seen what is at the place to which it would be copied. */
export function unseenAt({ storage, path, place, to, what, refuse }: DiskQuestion): readonly Reason[] | undefined {
  const why = storage.unseen?.get(path);
  return why === undefined
    ? undefined
    : refuse(
        'target-unseen',
        `What is at ${place} on ${to}, where ${what} would be copied to, cannot be seen: ${why}`,
        `Correct that on ${to}, or choose another host.`,
      );
}
