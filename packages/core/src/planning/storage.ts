/**
 * What happens to each disk of a VM that moves: shared disks stay where they are, local ones are copied into volumes
 * made for them, and whatever cannot be told is a reason, not a guess. Pure; what the hosts say is gathered by the
 * engine.
 */
import type { VmUuid } from '../model/ids.ts';
import { hasParent } from '../model/paths.ts';
import type { DiskPlan } from '../model/plan.ts';
import type { Reason, ReasonCode } from '../model/reasons.ts';
import type { PoolFacts, SharingProof, VolumeFacts, VolumeRecord, DiskFacts } from '../model/storage.ts';
import { placeOf, type Places } from './definition.ts';
import { layoutOf, lossesOf, spaceFor, type ImageFacts } from './images.ts';
import { isUntouched } from './ownership.ts';

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
  /** Why the target does not have, or does not show, a file whose sharing cannot be told. */
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

const folderOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 1));
const fileOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
const sizeText = (bytes: number): string =>
  bytes < 1_073_741_824 ? `${(bytes / 1_048_576).toFixed(1)} MiB` : `${(bytes / 1_073_741_824).toFixed(1)} GiB`;
/** QEMU sees a file as whole sectors, and copies between equal sizes only. */
const sectorBytes = 512;
const formats: readonly string[] = ['raw', 'qcow2'];

/** Disks whose sharing has to be proved by looking: files, and blocks without an identity. */
export const needsProof = (disk: DiskFacts): boolean => disk.source !== undefined && disk.identity === undefined;

/**
 * The plan for every disk on one target, or every reason against it. `vm`: its name and UUID, for records and
 * sentences; `from` and `to`: names of the hosts.
 */
export function planDisks(
  vm: { readonly name: string; readonly uuid: VmUuid },
  disks: readonly DiskFacts[],
  storage: TargetStorage,
  wish: StorageWish,
  names: { readonly from: string; readonly to: string },
): { readonly disks: readonly DiskPlan[]; readonly reasons: readonly Reason[] } {
  const reasons: Reason[] = [];
  const planned = disks.map((disk): DiskPlan => {
    const outcome = planDisk(vm, disk, storage, wish, names);
    if (Array.isArray(outcome)) {
      reasons.push(...(outcome as readonly Reason[]));
      return { target: disk.target, how: 'none' };
    }
    return outcome as DiskPlan;
  });
  const paths = planned.flatMap(({ how, path }) => (how === 'copy' && path !== undefined ? [path] : []));
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined)
    reasons.push({
      code: 'disk-twice',
      host: names.to,
      message: `${vm.name} has ${twice} as two disks; Ferry cannot copy them into one.`,
      remedy: 'Detach one of them.',
    });
  for (const pool of storage.pools) {
    const coming = planned.filter(
      ({ how, path = '', targetPath = path, volume }) =>
        (how === 'copy' && volume?.pool === pool.name && !volume.existing) ||
        (how === 'file' && folderOf(targetPath) === pool.path),
    );
    const wanted = coming.reduce((sum, { neededBytes = 0 }) => sum + neededBytes, 0);
    if (wanted <= pool.availableBytes) continue;
    // what is copied as a file stays as large as it is
    const grows =
      !wish.cold &&
      coming.some(
        ({ neededBytes = 0, allocationBytes = 0, volume }) =>
          neededBytes > allocationBytes && volume?.layout !== undefined && volume.backing === undefined,
      );
    reasons.push({
      code: 'target-space',
      host: names.to,
      message:
        `The pool ${pool.name} on ${names.to} has ${sizeText(pool.availableBytes)} free, the disks of ` +
        `${vm.name} take up to ${sizeText(wanted)} ` +
        `there${grows ? ', with the images below them and small clusters counted as blocks' : ''}.`,
      remedy: 'Free space there, or choose another host.',
    });
  }
  const chained = planned.filter(({ how, volume }) => how === 'copy' && volume?.backing !== undefined);
  const flat = disks.filter(
    (disk) =>
      disk.backing.length > 0 &&
      planned.some(
        ({ target, how, volume }) => target === disk.target && how === 'copy' && volume?.backing === undefined,
      ),
  );
  if (chained.length > 0 && flat.length > 0) {
    reasons.push({
      code: 'disk-chains-mixed',
      host: names.to,
      message:
        `Some disks of ${vm.name} have their base images on ${names.to}, others do not ` +
        `(${flat.map(({ target }) => target).join(', ')}); libvirt copies either whole chains or only the top.`,
      remedy: 'Put all base images on shared storage, or none.',
    });
  }
  return { disks: planned, reasons };
}

function planDisk(
  vm: { readonly name: string; readonly uuid: VmUuid },
  disk: DiskFacts,
  storage: TargetStorage,
  wish: StorageWish,
  { from, to }: { readonly from: string; readonly to: string },
): DiskPlan | readonly Reason[] {
  const { target, source: path, format } = disk;
  const refuse = (code: ReasonCode, message: string, remedy: string): readonly Reason[] => [
    { code, host: to, message, remedy },
  ];
  const what = `${vm.name}'s disk ${target} (${path ?? 'empty'})`;
  const formatsUnknown = () =>
    refuse(
      'disk-chain-unknown',
      `${from} does not say the formats of the base images of ${what}, and they have other paths on ${to}.`,
      'Name them with their formats in its definition (backingStore), or use the same paths on both hosts.',
    );
  const place = path === undefined ? '' : placeOf(path, storage.places ?? []);
  const pool = storage.pools.find((each) => each.path === folderOf(place));
  const named =
    disk.pool !== undefined && disk.type === 'file' && pool !== undefined && pool.name !== disk.pool
      ? { namedPool: pool.name }
      : {};
  const common = {
    target,
    ...(path === undefined ? {} : { path }),
    ...(place === (path ?? '') ? {} : { targetPath: place }),
    ...named,
    ...(format === undefined ? {} : { format }),
  };
  if (path === undefined) return { ...common, how: 'none' };
  const poolMissing = () =>
    refuse(
      'target-pool-missing',
      `${to} has no storage pool for ${folderOf(place)}, where ${what} ` +
        `${disk.pool === undefined ? 'would be copied to' : 'is looked for by its pool'}.`,
      `Map it with --map-pool or --map-path; or, on ${to}: virsh pool-define-as ` +
        `NAME dir --target ${folderOf(place)}, then pool-build and pool-start.`,
    );
  const poolInactive = (name: string) =>
    refuse(
      'target-pool-inactive',
      `The pool ${name} on ${to} is not active, and ${what} would be copied there.`,
      `On ${to}: virsh pool-start ${name}`,
    );
  if (disk.pool !== undefined && disk.type === 'file' && pool === undefined) return poolMissing();
  if (disk.pool !== undefined && disk.type === 'file' && pool?.active === false) return poolInactive(pool.name);
  const proof = proofOf(disk, storage, wish);
  const isShared = (image: string): boolean => {
    const { verdict } = storage.sharing.get(image) ?? { verdict: 'unknown' };
    return verdict === 'shared' || (verdict === 'unknown' && wish.assumeShared === true);
  };
  if (proof.verdict === 'shared') {
    const missing = proof.method === 'marker' ? undefined : storage.missing?.get(path);
    if (missing !== undefined)
      return refuse(
        'disk-not-there',
        `${what} is said to be shared with ${to}${proof.method === 'operator' ? '' : ' by its name'}, but ${missing}.`,
        `Make it visible on ${to}${proof.method === 'operator' ? ', or omit --assume-shared' : ', or choose another host'}.`,
      );
    if (disk.chainUnknown === true && proof.method === 'marker')
      return refuse(
        'disk-chain-unknown',
        `${from} does not say which base images ${what} has.`,
        `Check that the file and its folder can be read on ${from}.`,
      );
    const base = disk.backing.find(({ path: image }) => !isShared(image));
    if (base !== undefined)
      return refuse(
        'disk-base-not-shared',
        `${what} is on shared storage, but its base ${base.path} is not on ${to}.`,
        'Put the base on the shared storage too, or merge it into the disk.',
      );
    const shared: DiskPlan = { ...common, ...chainAt(disk, storage), how: 'shared', proof };
    return namesAll(shared) ? shared : formatsUnknown();
  }
  if (proof.verdict === 'other-file') {
    return refuse(
      'disk-other-file',
      `${what} is not the same file on ${from} and ${to}: ${proof.detail ?? ''}.`,
      proof.remedy ?? 'Replace the link or mount with the file itself, or let the definition name the path behind it.',
    );
  }
  if (proof.verdict === 'unknown' && proof.remedy !== undefined)
    return refuse('disk-unseen', `${what} cannot be looked at: ${proof.detail ?? ''}.`, proof.remedy);
  if (proof.verdict === 'unknown') {
    return refuse(
      'disk-sharing-unknown',
      `Ferry cannot tell whether ${to} has the same storage as ${from} for ${what}${proof.detail === undefined ? '' : `: ${proof.detail}`}.`,
      'If you know that both hosts see the same storage, use --assume-shared.',
    );
  }
  if (disk.type !== 'file')
    return refuse(
      'disk-not-copyable',
      `${what} is a ${disk.type} disk that ${to} does not have` +
        `${proof.detail === undefined ? '' : ` (${proof.detail})`}, and only files can be copied.`,
      `Make the disk visible on ${to}.`,
    );
  const why = storage.unseen?.get(path);
  const unseen =
    why === undefined
      ? undefined
      : refuse(
          'target-unseen',
          `What is at ${place} on ${to}, where ${what} would be copied to, cannot be seen: ${why}`,
          `Correct that on ${to}, or choose another host.`,
        );
  // a floppy that may be written is a disk: libvirt moves no running guest whose disk is neither shared nor copied
  if (disk.device === 'cdrom' || disk.readOnly) {
    const removable = disk.device === 'cdrom' || disk.device === 'floppy';
    if (wish.media === 'eject' && removable) return { ...common, how: 'eject' };
    if (wish.media !== 'copy')
      return refuse(
        'disk-read-only-local',
        `${what} is read-only and not on ${to}.`,
        `Copy it with --copy-media${removable ? ', eject it with --eject-media' : ''}, or put the same file on storage both hosts share.`,
      );
    if (unseen !== undefined) return unseen;
    const neededBytes = disk.fileBytes ?? disk.allocationBytes ?? 0;
    const inTheWay = storage.volumes.get(path);
    if (inTheWay === undefined) return { ...common, how: 'file', neededBytes };
    const reason = notReplaceable(vm, inTheWay, storage.records.get(path));
    if (reason === undefined) return { ...common, how: 'file', neededBytes, replaces: true };
    return refuse(
      'volume-exists',
      `${to} already has something at ${place}, where ${what} would be copied to: ${reason}.`,
      'If it is the same image, put both on shared storage; else delete it or move it ' +
        `away${removable ? ', or eject the image with --eject-media' : ''}.`,
    );
  }
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
  // nobody writes to it: byte for byte is faster, and keeps what is inside; a prepared volume has a format of its own
  // to keep
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
  if (internal !== undefined && !asFile) {
    return refuse(
      `disk-internal-${internal}`,
      `${what} has ${internal} inside its file, which a live copy would lose.`,
      `Shut the VM down and move it cold, delete the ${internal}, or put the disk on shared storage.`,
    );
  }
  // an encrypted volume is made without a base
  const keepsChain =
    disk.encryption === undefined &&
    disk.backing.length > 0 &&
    disk.backing[0]?.format !== undefined &&
    disk.backing.every(({ path: image }) => isShared(image));
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
  if (pool === undefined) return poolMissing();
  if (!pool.active) return poolInactive(pool.name);
  if (unseen !== undefined) return unseen;
  const base = keepsChain ? disk.backing[0] : undefined;
  const kept =
    base?.format === undefined ? undefined : { path: placeOf(base.path, storage.places ?? []), format: base.format };
  const sizes = {
    capacityBytes: asFile ? Math.ceil((disk.fileBytes ?? 0) / sectorBytes) * sectorBytes : disk.capacityBytes,
    allocationBytes: disk.allocationBytes ?? disk.capacityBytes,
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
  const made = (existing: boolean, replaces: boolean): DiskPlan => ({
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
      existing,
      replaces,
      ...(kept === undefined ? {} : { backing: kept }),
      ...asBlocks,
    },
  });
  if (!namesAll(made(false, false))) return formatsUnknown();
  const there = storage.volumes.get(path);
  if (there === undefined) {
    return wish.useExistingVolumes === true
      ? refuse(
          'volume-missing',
          `${to} has no volume ${place} prepared for ${what}.`,
          `Make it, ${sizes.capacityBytes} bytes of ${format}, or omit --use-existing-volumes.`,
        )
      : made(false, false);
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
    if (there.capacityBytes !== sizes.capacityBytes)
      return refuse(
        'volume-size',
        `The volume ${place} on ${to} has ${there.capacityBytes} bytes, ${what} has ${sizes.capacityBytes}.`,
        'Recreate the volume with the same size.',
      );
    return made(true, false);
  }
  const stays = notReplaceable(vm, there, storage.records.get(path));
  if (stays === undefined) return made(false, true);
  return refuse(
    'volume-exists',
    `${to} already has something at ${place}, where ${what} would be copied to: ${stays}.`,
    'Check what it is, then delete it or move it away; if you prepared it for this move, use --use-existing-volumes.',
  );
}

/** A copy of the whole chain lies above nothing. */
const joined = ({ backing }: DiskFacts): Pick<DiskPlan, 'chain'> => (backing.length === 0 ? {} : { chain: [] });

/** Where maps put the images below a disk elsewhere, neither its file nor its definition names the right ones there. */
function chainAt({ backing }: DiskFacts, { places = [] }: TargetStorage): Pick<DiskPlan, 'chain'> {
  const there = backing.map((image) => ({ ...image, path: placeOf(image.path, places) }));
  return there.every(({ path }, index) => path === backing[index]?.path) ? {} : { chain: there };
}

const namesAll = ({ chain = [] }: DiskPlan): boolean => chain.every(({ format }) => format !== undefined);

/**
 * Storage that libvirt may not know as shared, and that Ferry has proved to be or the operator has stated: libvirt is
 * told to take it as such. That also silences its look at cache modes, so `cacheReasons` stands for it.
 */
export const vouchesFor = (disks: readonly DiskPlan[]): boolean =>
  disks.some(({ how, proof }) => how === 'shared' && (proof?.method === 'marker' || proof?.method === 'operator'));

const uncached: readonly string[] = ['none', 'directsync'];
/** From 4.0 on QEMU drops what it remembers of a file when a guest arrives, which makes every cache mode safe. */
const dropsCacheFrom = 4;

/** Of a running guest: caches that would show the target old content. */
export function cacheReasons(
  vm: string,
  disks: readonly DiskFacts[],
  plan: readonly DiskPlan[],
  hosts: readonly { readonly name: string; readonly qemuVersion?: string | undefined }[],
): readonly Reason[] {
  const old = hosts.find(({ qemuVersion }) => Number(qemuVersion?.split('.')[0] ?? dropsCacheFrom) < dropsCacheFrom);
  if (old === undefined) return [];
  const cached = disks.filter(
    ({ target, cache, readOnly }) =>
      !readOnly && !uncached.includes(cache ?? '') && vouchesFor(plan.filter((each) => each.target === target)),
  );
  return cached.map(({ target, cache = 'writeback' }) => ({
    code: 'disk-cache',
    host: old.name,
    message:
      `${vm}'s disk ${target} is cached (${cache}), and QEMU ${old.qemuVersion ?? ''} on ${old.name} ` +
      'cannot drop the cache when the guest moves: it could read old data on shared storage.',
    remedy: "Set cache='none' for the disk, or move the VM shut off.",
  }));
}

function proofOf(disk: DiskFacts, storage: TargetStorage, wish: StorageWish): SharingProof {
  if (disk.identity !== undefined) return { verdict: 'shared', method: 'identity', at: 0, detail: disk.identity };
  const found = storage.sharing.get(disk.source ?? '') ?? { verdict: 'unknown', method: 'none', at: 0 };
  return found.verdict === 'unknown' && wish.assumeShared === true
    ? { ...found, verdict: 'shared', method: 'operator' }
    : found;
}

/** A volume that holds no more than this was never written by a copy. */
const untouchedBytes = 1_048_576;

/** What is there was made for the copy that the record speaks of. */
export const isMadeBy = (
  record: Pick<VolumeRecord, 'made' | 'what'>,
  there: { readonly allocationBytes: number },
): boolean => record.made === true || there.allocationBytes <= (record.what === undefined ? untouchedBytes : 0);

/** Why a volume that is in the way must stay; undefined when Ferry's own record proves it stale. */
export function notReplaceable(
  vm: { readonly uuid: VmUuid },
  there: Pick<VolumeFacts, 'modified' | 'allocationBytes'>,
  record: VolumeRecord | undefined,
): string | undefined {
  if (record === undefined) return 'Ferry has no record of it';
  if (record.vm.uuid !== vm.uuid) return `it belongs to ${record.vm.name}`;
  if (record.role === 'target') return isMadeBy(record, there) ? undefined : 'it was not made by Ferry';
  if (!isUntouched(record, there)) return `it was changed after migration ${record.migration} left it`;
  return undefined;
}
