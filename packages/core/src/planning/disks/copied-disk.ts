/**
 * A disk that is copied into a volume of the target: whether it can be, as blocks or as the file it is, and what becomes
 * of the images below it. Pure.
 */
import { hasParent } from '../../model/paths.ts';
import type { DiskPlan } from '../../model/plan.ts';
import type { Reason } from '../../model/reasons.ts';
import type { DiskFacts, PoolFacts } from '../../model/storage.ts';
import { placeOf } from '../definition.ts';
import { layoutOf, lossesOf, spaceFor, type ImageFacts } from '../images.ts';
import {
  chainAt,
  fileOf,
  formatsUnknown,
  namesAll,
  poolOf,
  unseenAt,
  type DiskOutcome,
  type DiskQuestion,
} from './question.ts';
import { notReplaceable } from './replaceable.ts';

/** QEMU sees a file as whole sectors, and copies between equal sizes only. */
const sectorBytes = 512;
const formats: readonly string[] = ['raw', 'qcow2'];

/** How its content goes over. */
interface Way {
  /** Byte for byte, with what is inside. */
  readonly asFile: boolean;
  /** Only what is above its base goes; the target has the base. */
  readonly keepsChain: boolean;
  readonly image: NonNullable<ImageFacts['qcow2']> | undefined;
  readonly internal: 'snapshots' | 'checkpoints' | undefined;
}

type VolumeThere = Pick<NonNullable<DiskPlan['volume']>, 'existing' | 'replaces'>;
type Copyable = DiskQuestion & { readonly format: string; readonly capacityBytes: number };

export function copiedDisk(question: DiskQuestion): DiskOutcome {
  const copyable = copyableOf(question);
  if (!('format' in copyable)) return copyable;
  const way = wayOf(copyable);
  const lost = lostBy(way, copyable);
  if (lost !== undefined) return lost;
  const pool = poolOf(question);
  if (!('name' in pool)) return pool;
  const unseen = unseenAt(question);
  if (unseen !== undefined) return unseen;
  const made = madeIn(pool, way, copyable, { existing: false, replaces: false });
  if (!namesAll(made)) return formatsUnknown(question);
  const there = whatIsThere(copyable, made.capacityBytes);
  return 'existing' in there ? madeIn(pool, way, copyable, there) : there;
}

function copyableOf(question: DiskQuestion): Copyable | readonly Reason[] {
  const { disk, place, wish, from, to, what, refuse } = question;
  const { format } = disk;
  if (format === undefined || !formats.includes(format))
    return refuse(
      'disk-format',
      `${what} has the format ${format ?? 'unknown'}; only raw and qcow2 are copied.`,
      'Convert the disk, or put it on shared storage.',
    );
  if (disk.capacityBytes === undefined)
    return refuse(
      'disk-size-unknown',
      `The size of ${what} cannot be read on ${from}.`,
      'Check that the file is there.',
    );
  if (disk.chainUnknown === true)
    return refuse(
      'disk-chain-unknown',
      `${from} does not say which base images ${what} has.`,
      `Check that the file and its folder can be read on ${from}.`,
    );
  if (hasParent(place))
    return refuse(
      'disk-path-parent',
      `${what} has ".." in its path on ${to} (${place}), and Ferry cannot follow links in such a path.`,
      'Write the path without ".." in its definition.',
    );
  if (disk.encryption !== undefined && disk.encryption.format !== 'luks')
    return refuse(
      'disk-encryption',
      `${what} is encrypted as ${disk.encryption.format || 'nothing known'}; Ferry copies only LUKS.`,
      'Convert the disk, or put it on shared storage.',
    );
  if (disk.encryption !== undefined && wish.useExistingVolumes === true)
    return refuse(
      'volume-encryption',
      `${what} is encrypted; Ferry cannot tell whether the prepared volume has the same key.`,
      'Omit --use-existing-volumes; Ferry then creates the volume.',
    );
  return { ...question, format, capacityBytes: disk.capacityBytes };
}

/**
 * Where nobody writes to it, byte for byte is faster, and keeps what is inside; a prepared volume has a format of its
 * own to keep.
 */
function wayOf({ disk, path, storage, wish, format, isShared }: Copyable): Way {
  const image = format === 'qcow2' ? storage.images?.get(path)?.qcow2 : undefined;
  const internal = disk.internal ?? ((image?.snapshots ?? 0) > 0 ? 'snapshots' : undefined);
  const whole = format === 'qcow2' || disk.encryption !== undefined;
  const asFile =
    wish.cold &&
    whole &&
    disk.fileBytes !== undefined &&
    wish.useExistingVolumes !== true &&
    image?.dataFile !== true &&
    (internal !== undefined || disk.backing.length === 0);
  // an encrypted volume is made without a base
  const keepsChain =
    disk.encryption === undefined &&
    disk.backing.length > 0 &&
    disk.backing[0]?.format !== undefined &&
    disk.backing.every(({ path: image }) => isShared(image));
  return { asFile, keepsChain, image, internal };
}

/** What the disk, or its snapshots, would lose on this way. */
function lostBy(
  { internal, asFile, keepsChain }: Way,
  { disk, wish, to, what, refuse }: Copyable,
): readonly Reason[] | undefined {
  if (internal !== undefined && !asFile) {
    return refuse(
      `disk-internal-${internal}`,
      `${what} has ${internal} inside its file, which a live copy would lose.`,
      `Shut the VM down and move it cold, delete the ${internal}, or put the disk on shared storage.`,
    );
  }
  if (disk.backing.length > 0 && (asFile || (wish.externalSnapshots && !keepsChain))) {
    return refuse(
      'disk-external-snapshots',
      `${what} has snapshots whose images (${disk.backing.map(({ path: image }) => image).join(', ')}) ` +
        `are not on ${to}; a copy would join them into one.`,
      'Merge or delete the snapshots, or put their images on shared storage.',
    );
  }
  if (keepsChain && wish.useExistingVolumes === true) {
    return refuse(
      'volume-chain',
      `${what} has the base image ${disk.backing[0]?.path}, which ${to} has too, so only what is in the disk ` +
        'itself would be copied; Ferry cannot tell whether the prepared volume is empty.',
      'Omit --use-existing-volumes; Ferry then creates the volume.',
    );
  }
  return undefined;
}

function madeIn(
  pool: PoolFacts,
  { asFile, keepsChain, image }: Way,
  { disk, path, place, storage, wish, proof, common, format, capacityBytes }: Copyable,
  there: VolumeThere,
): DiskPlan & { readonly capacityBytes: number } {
  const base = keepsChain ? disk.backing[0] : undefined;
  const kept =
    base?.format === undefined ? undefined : { path: placeOf(base.path, storage.places ?? []), format: base.format };
  const sizes = {
    capacityBytes: asFile ? Math.ceil((disk.fileBytes ?? 0) / sectorBytes) * sectorBytes : capacityBytes,
    allocationBytes: disk.allocationBytes ?? capacityBytes,
  };
  const below = asFile || keepsChain ? [] : disk.backing;
  const images = [{ path, format }, ...below].map((each): ImageFacts => {
    const { allocationBytes = each.path === path ? sizes.allocationBytes : sizes.capacityBytes, qcow2 } =
      storage.images?.get(each.path) ?? {};
    return { allocationBytes, ...(qcow2 === undefined || each.format !== 'qcow2' ? {} : { qcow2 }) };
  });
  const neededBytes = asFile ? sizes.allocationBytes : spaceFor(images, sizes.capacityBytes);
  const losses =
    asFile || image === undefined || wish.useExistingVolumes === true
      ? []
      : lossesOf(image, wish.usualClusters !== true);
  const asBlocks = asFile
    ? {}
    : {
        ...(image === undefined ? {} : { layout: layoutOf(image) }),
        ...(disk.encryption === undefined ? {} : { encryption: disk.encryption }),
      };
  return {
    ...common,
    ...sizes,
    ...(kept === undefined ? joined(disk) : chainAt(disk, storage)),
    neededBytes,
    ...(losses.length === 0 ? {} : { losses }),
    how: 'copy',
    proof,
    ...(asFile ? { asFile: true as const } : {}),
    volume: {
      pool: pool.name,
      name: fileOf(place),
      ...there,
      ...(kept === undefined ? {} : { backing: kept }),
      ...asBlocks,
    },
  };
}

/** Whether the volume that it goes into is there, and may be used or replaced. */
function whatIsThere(
  { vm, path, place, storage, wish, to, what, format, refuse }: Copyable,
  capacityBytes: number,
): VolumeThere | readonly Reason[] {
  const there = storage.volumes.get(path);
  if (there === undefined) {
    return wish.useExistingVolumes === true
      ? refuse(
          'volume-missing',
          `${to} has no volume ${place} prepared for ${what}.`,
          `Make it, ${capacityBytes} bytes of ${format}, or omit --use-existing-volumes.`,
        )
      : { existing: false, replaces: false };
  }
  if (wish.useExistingVolumes === true) {
    if (there.format !== format)
      return refuse(
        'volume-format',
        `The volume ${place} on ${to} is ${there.format}, ${what} is ${format}.`,
        'Recreate the volume in the same format.',
      );
    if (there.backing !== undefined)
      return refuse(
        'volume-backing',
        `The volume ${place} on ${to} has the base image ${there.backing.path}, and ${what} is copied as one image.`,
        'Recreate the volume without a backing file.',
      );
    if (there.capacityBytes !== capacityBytes)
      return refuse(
        'volume-size',
        `The volume ${place} on ${to} has ${there.capacityBytes} bytes, ${what} has ${capacityBytes}.`,
        'Recreate the volume with the same size.',
      );
    return { existing: true, replaces: false };
  }
  const stays = notReplaceable(vm, there, storage.records.get(path));
  if (stays === undefined) return { existing: false, replaces: true };
  return refuse(
    'volume-exists',
    `${to} already has something at ${place}, where ${what} would be copied to: ${stays}.`,
    'Check what it is, then delete it or move it away; if you prepared it for this move, use --use-existing-volumes.',
  );
}

/** A copy of the whole chain has no base. */
const joined = ({ backing }: DiskFacts): Pick<DiskPlan, 'chain'> => (backing.length === 0 ? {} : { chain: [] });
