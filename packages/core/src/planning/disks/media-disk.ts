/** A CD, or another disk that nobody writes to, which the target does not have: it goes as a file, or is ejected. Pure. */
import { unseenAt, type DiskOutcome, type DiskQuestion } from './question.ts';
import { notReplaceable } from './replaceable.ts';

export function mediaDisk(question: DiskQuestion): DiskOutcome {
  const { vm, disk, path, place, storage, wish, to, common, what, refuse } = question;
  const removable = disk.device === 'cdrom' || disk.device === 'floppy';
  if (wish.media === 'eject' && removable) return { ...common, how: 'eject' };
  if (wish.media !== 'copy')
    return refuse(
      'disk-read-only-local',
      `${what} is read-only and not on ${to}.`,
      `Copy it with --copy-media${removable ? ', eject it with --eject-media' : ''}, or put the same file on storage both hosts share.`,
    );
  const unseen = unseenAt(question);
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
