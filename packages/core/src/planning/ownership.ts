/**
 * Whose files are at stake. A move copies, creates, replaces and deletes files. Each is checked against every
 * definition and chain of its host; a file that is not proved to be this VM's own is a reason to refuse, not a guess.
 * Pure; the engine gathers the facts.
 */
import type { VmUuid } from '../model/ids.ts';
import { normalPath } from '../model/paths.ts';
import type { DiskPlan } from '../model/plan.ts';
import type { Reason } from '../model/reasons.ts';
import type { VolumeRecord, StatePlace } from '../model/storage.ts';

/** `base`: an image below a disk. `state`: UEFI variables, TPM state, saved memory. */
export type FileRole = 'disk' | 'base' | 'state' | 'other';

interface Named {
  readonly uuid: VmUuid;
  readonly name: string;
}

/** A file that a definition of a host names, or that is in a chain of images. */
export interface FileUse {
  /** As `normalPath` writes it. */
  readonly path: string;
  readonly vm: Named;
  readonly as: FileRole;
  readonly readOnly?: true;
  readonly shareable?: true;
}

/** All of them on one host. */
export interface HostUses {
  /** What uses the file at `path` if both folders are one, which nobody can tell. */
  readonly perhaps?: readonly (FileUse & { readonly pair: { readonly mine: string; readonly other: string } })[];
  readonly files: readonly FileUse[];
  /** Images whose chain is not known. */
  readonly untold: readonly { readonly vm: Named; readonly path: string }[];
}

/** What a look at one path found. */
export type FileThere =
  | {
      readonly kind: 'file';
      readonly modified?: string;
      readonly allocationBytes: number;
      readonly record?: VolumeRecord;
      /** It is the source's own file, seen through both hosts. */ readonly shared?: true;
    }
  | { readonly kind: 'unseen'; readonly why: string };

/** What a candidate says of the files that the move would write. */
export interface TargetHoldings {
  /** Absent: nothing is written there. */
  readonly uses?: HostUses;
  /** By path, of places where something is. */
  readonly state: ReadonlyMap<string, FileThere>;
}

const roles: Readonly<Record<FileRole, string>> = {
  disk: 'a disk of',
  base: 'a base image of',
  state: 'part of',
  other: 'used by',
};

/** How other VMs use this file, as words, e.g. `a disk of db`. */
export function otherUsers(uses: HostUses | undefined, path: string, own: VmUuid | undefined): readonly string[] {
  const at = normalPath(path);
  return [
    ...new Set(
      (uses?.files ?? [])
        .filter((use) => use.path === at && use.vm.uuid !== own)
        .map(({ as, vm }) => `${roles[as]} ${vm.name}`),
    ),
  ];
}

/**
 * Why a file of the VM must not be deleted or written over here, in words that follow "it is"; undefined: nobody else
 * uses it, as far as all definitions and chains tell.
 */
export function heldBy(uses: HostUses, path: string, own: VmUuid | undefined): string | undefined {
  const users = otherUsers(uses, path, own);
  if (users.length > 0) return users.join(', ');
  const at = normalPath(path);
  const perhaps = uses.perhaps?.find((use) => use.path === at && use.vm.uuid !== own);
  if (perhaps !== undefined)
    return (
      `perhaps ${roles[perhaps.as]} ${perhaps.vm.name}: ` +
      `${perhaps.pair.mine} is perhaps the same folder as ${perhaps.pair.other}, which cannot be told`
    );
  const [untold] = uses.untold.filter(({ vm }) => vm.uuid !== own);
  return untold === undefined
    ? undefined
    : `perhaps a base image of ${untold.vm.name}: the base images of ${untold.path} cannot be read`;
}

/** A file that Ferry left there, and that nobody has touched since. */
export const isUntouched = (
  record: Pick<VolumeRecord, 'modified' | 'allocationBytes'>,
  there: { readonly modified?: string; readonly allocationBytes: number },
): boolean =>
  record.modified !== undefined &&
  record.modified === there.modified &&
  record.allocationBytes === there.allocationBytes;

interface Sides {
  readonly from: string;
  readonly to: string;
}

/** What other users of the files say against copying these disks. */
export function diskOwnership(
  vm: Named,
  disks: readonly DiskPlan[],
  source: HostUses | undefined,
  target: HostUses | undefined,
  { from, to }: Sides,
  deletesSource: boolean,
): readonly Reason[] {
  return disks.flatMap((disk): readonly Reason[] => {
    if (disk.path === undefined || (disk.how !== 'copy' && disk.how !== 'file')) return [];
    const place = disk.targetPath ?? disk.path;
    const what = `${vm.name}'s disk ${disk.target} (${disk.path})`;
    const reasons: Reason[] = [];
    const at = normalPath(disk.path);
    const here = (source?.files ?? []).filter((use) => use.path === at);
    const others = here.filter((use) => use.vm.uuid !== vm.uuid && use.as === 'disk' && use.readOnly !== true);
    if (disk.how === 'copy' && here.some((use) => use.vm.uuid === vm.uuid && use.shareable === true)) {
      reasons.push({
        code: 'disk-shareable',
        host: to,
        message: `${what} is shareable: a copy on ${to} would miss what others write on ${from}.`,
        remedy: `Put it on storage that both hosts share. If only ${vm.name} uses it, remove <shareable/> from its definition.`,
      });
    } else if (disk.how === 'copy' && others.length > 0) {
      reasons.push({
        code: 'disk-of-others',
        host: to,
        message:
          `${what} is ${otherUsers({ files: others, untold: [] }, at, vm.uuid).join(', ')} on ${from}, ` +
          'too: the two copies would diverge.',
        remedy: `Detach it from ${[...new Set(others.map((use) => use.vm.name))].join(', ')}, or put it on storage that both hosts share.`,
      });
    }
    const held = deletesSource && disk.how === 'copy' && source !== undefined ? heldBy(source, at, vm.uuid) : undefined;
    if (held !== undefined)
      reasons.push({
        code: 'disk-needed',
        host: to,
        message: `${what} cannot be deleted on ${from}: it is ${held}.`,
        remedy: 'Omit --delete-source-disks.',
      });
    const goes = disk.volume?.existing === true || disk.volume?.replaces === true || disk.replaces === true;
    const users = otherUsers(target, place, vm.uuid);
    const there =
      goes && target !== undefined ? heldBy(target, place, vm.uuid) : users.length > 0 ? users.join(', ') : undefined;
    if (there !== undefined)
      reasons.push({
        code: 'target-path-used',
        host: to,
        message: `${what} would be copied to ${place} on ${to}, which is ${there} there.`,
        remedy: `Map it to another place with --map-path or --map-pool, or choose another host.`,
      });
    return reasons;
  });
}

const stateWords: Readonly<Record<StatePlace['what'], string>> = {
  memory: 'saved memory',
  nvram: 'UEFI variables',
  tpm: 'TPM state',
};

/**
 * What happens to the VM's state on the target: what is shared stays, own stale copies go first, everything else is a
 * reason.
 */
export function planState(
  vm: Named,
  places: readonly StatePlace[],
  holdings: TargetHoldings | undefined,
  { from, to }: Sides,
): {
  readonly shared: ReadonlySet<string>;
  readonly replaces: readonly StatePlace[];
  readonly reasons: readonly Reason[];
} {
  const shared = new Set<string>();
  const replaces: StatePlace[] = [];
  const reasons: Reason[] = [];
  for (const { path, what } of places) {
    const there = holdings?.state.get(path);
    const users = otherUsers(holdings?.uses, path, vm.uuid);
    const place = `${path} on ${to}, where the ${stateWords[what]} of ${vm.name} would be`;
    if (there?.kind === 'unseen')
      reasons.push({
        code: 'state-unseen',
        host: to,
        message: `What is at ${place}, cannot be seen: ${there.why}`,
        remedy: `Correct that on ${to}, or choose another host.`,
      });
    else if (users.length > 0)
      reasons.push({
        code: 'state-of-others',
        host: to,
        message: `${place}, is ${users.join(', ')} there.`,
        remedy: `Give one of them a path of its own (virsh edit, <nvram>), or choose another host.`,
      });
    else if (there?.shared === true && what === 'memory')
      reasons.push({
        code: 'state-shared-memory',
        host: to,
        message: `The saved memory of ${vm.name} is at ${path}, which ${from} and ${to} share: it would go with the definition on ${from}.`,
        remedy: `Start ${vm.name} first (virsh start), or discard its saved memory (virsh managedsave-remove).`,
      });
    else if (there?.shared === true) shared.add(path);
    else if (there !== undefined && isOwnState(vm, { path, what }, there, holdings?.uses))
      replaces.push({ path, what });
    else if (there !== undefined)
      reasons.push({
        code: 'state-exists',
        host: to,
        message: `There is a file at ${place}, and nothing proves that it is this VM's: ${unproved(there.record, vm)}.`,
        remedy: `Choose another host; or, once you know that no VM needs it, on ${to}: ${setAside(path)}`,
      });
  }
  return { shared, replaces, reasons };
}

/** A command that loses nothing. */
export function setAside(path: string): string {
  const quoted = (text: string): string => (/^[\w./+:@%-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  return `mv ${quoted(path)} ${quoted(`${path}.old`)}`;
}

/** What is there is this VM's own. */
export function isOwnState(
  vm: Named,
  { path, what }: StatePlace,
  there: Omit<Extract<FileThere, { readonly kind: 'file' }>, 'kind'>,
  uses: HostUses | undefined,
): boolean {
  // libvirt keeps it by the VM's UUID
  if (what === 'tpm') return true;
  // a definition of this VM that the target keeps has it
  const at = normalPath(path);
  if (what === 'nvram' && uses?.files.some((use) => use.path === at && use.as === 'state') === true) return true;
  const { record } = there;
  return record?.vm.uuid === vm.uuid && (record.role === 'target' ? record.made === true : isUntouched(record, there));
}

/** Why a file at a place of the VM's state is not proved to be its own. */
function unproved(record: VolumeRecord | undefined, vm: Named): string {
  if (record === undefined) return 'Ferry has no record of it';
  return record.vm.uuid === vm.uuid ? 'it was changed since a migration left it' : `it was left by ${record.vm.name}`;
}
