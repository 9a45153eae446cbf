/**
 * What happens to each disk of a VM that moves: shared disks stay where they are, local ones are copied into volumes
 * created for them. What is not known is a reason to refuse, not a guess. Pure; the engine gathers the facts.
 */
import type { VmUuid } from '../../model/ids.ts';
import type { DiskPlan } from '../../model/plan.ts';
import type { Reason } from '../../model/reasons.ts';
import type { DiskFacts } from '../../model/storage.ts';
import { copiedDisk } from './copied-disk.ts';
import { mediaDisk } from './media-disk.ts';
import {
  folderOf,
  poolOf,
  questionOf,
  sizeText,
  type DiskOutcome,
  type DiskQuestion,
  type StorageWish,
  type TargetStorage,
} from './question.ts';
import { sharedDisk } from './shared-disk.ts';

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
  vm: DiskQuestion['vm'],
  disk: DiskFacts,
  storage: TargetStorage,
  wish: StorageWish,
  names: { readonly from: string; readonly to: string },
): DiskOutcome {
  const { target, source: path, format } = disk;
  if (path === undefined) return { target, ...(format === undefined ? {} : { format }), how: 'none' };
  const question = questionOf(vm, disk, path, storage, wish, names);
  const { proof, to, what, refuse } = question;
  if (disk.pool !== undefined && disk.type === 'file') {
    const pool = poolOf(question);
    if (!('name' in pool)) return pool;
  }
  const shared = sharedDisk(question);
  if (shared !== undefined) return shared;
  if (disk.type !== 'file')
    return refuse(
      'disk-not-copyable',
      `${what} is a ${disk.type} disk that ${to} does not have` +
        `${proof.detail === undefined ? '' : ` (${proof.detail})`}, and only files can be copied.`,
      `Make the disk visible on ${to}.`,
    );
  // a floppy that may be written is a disk: libvirt moves no running guest whose disk is neither shared nor copied
  return disk.device === 'cdrom' || disk.readOnly ? mediaDisk(question) : copiedDisk(question);
}
