/**
 * What ties a VM to its host, other than disks, cards and secrets: files and folders of the host that its definition
 * names, and devices with which QEMU cannot move a running guest. Pure.
 */
import type { Reason, ReasonCode } from '../model/reasons.ts';
import { doubt } from './doubt.ts';

/** A path of the host. `device`: nobody can look at it without opening it. */
export interface HostPath {
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'device';
  /** What it is to the VM, for people. */
  readonly what: string;
}

/** Something that stays behind when a running guest leaves. */
export type Tie =
  | { readonly kind: '9p' | 'virtiofs'; readonly name: string }
  | { readonly kind: 'shmem'; readonly name: string; readonly model: string; readonly role: string };

/** The result of a check of a path; `unknown`: it could not be checked. */
export type PathThere = 'there' | 'missing' | 'unknown';

/** What QEMU or libvirt refuses of a running guest. */
export function tieReasons(vm: string, ties: readonly Tie[]): readonly Reason[] {
  return ties.flatMap((tie): readonly Reason[] => {
    const refuse = (code: ReasonCode, what: string): readonly Reason[] => [
      {
        code,
        message: `${vm} has ${what}, with which QEMU moves no running guest.`,
        remedy: `Shut ${vm} down and move it cold, or detach it first.`,
      },
    ];
    switch (tie.kind) {
      case '9p':
      case 'virtiofs':
        return refuse('vm-shared-folder', `a folder of its host (${tie.name}, by ${tie.kind})`);
      case 'shmem':
        // its owner's memory travels with it
        return tie.model !== 'ivshmem' && tie.role === 'master'
          ? []
          : refuse(
              'vm-shared-memory',
              `shared memory of its host (${tie.name}, ${tie.model}${tie.role === '' ? '' : `, ${tie.role}`})`,
            );
    }
  });
}

/** Every path that the target is known to lack, and what nobody knows. */
export function planPaths(
  vm: string,
  paths: readonly HostPath[],
  seen: ReadonlyMap<string, PathThere>,
  target: string,
): { readonly reasons: readonly Reason[]; readonly doubts: readonly Reason[] } {
  const reasons = paths
    .filter(({ path }) => seen.get(path) === 'missing')
    .map(({ path, kind, what }): Reason => ({
      code: `${kind === 'folder' ? 'folder' : 'file'}-missing`,
      host: target,
      message: `${target} has no ${path} (${what}), which ${vm} needs to start.`,
      remedy:
        kind === 'folder'
          ? `Create the folder there with its content, or choose another host.`
          : `Put the same file there, or choose another host.`,
    }));
  const doubts = paths.flatMap(({ path, kind, what }) => {
    if (kind === 'device' || seen.get(path) === 'unknown')
      return [doubt('path-unknown', target, `whether ${target} has ${path} (${what})`, `On ${target}: ls -ld ${path}`)];
    return kind === 'folder' && seen.get(path) === 'there' && what.startsWith('folder')
      ? [
          doubt(
            'folder-content-unknown',
            target,
            `whether ${path} on ${target} holds the same (${what})`,
            `Compare the two folders; ${vm} finds there what ${target} has.`,
          ),
        ]
      : [];
  });
  return { reasons, doubts };
}
