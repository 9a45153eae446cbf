/**
 * The table of moves: what a VM is, what its disks are, how it is asked to move, and what comes of it. moves.test.ts
 * runs every row on real hosts; docs/moves.md is this table as a page (moves-page.ts writes it).
 */
import type { DiskKind } from '@ferry/lab';

/** `saved`: shut off, its memory kept by libvirt (managed save). */
export type VmState = 'running' | 'paused' | 'shut-off' | 'saved';

export interface Move {
  /** State of the VM before the move. */
  readonly state: VmState;
  readonly disk: DiskKind;
  /** Options of `ferry vm migrate`. */
  readonly options: readonly string[];
  readonly result:
    | {
        readonly kind: 'live' | 'cold' | 'suspended' | 'configuration';
        readonly how: 'guest' | 'helper' | 'definition';
        readonly stateAfter: VmState;
        /** What the disk does. */
        readonly copied: boolean;
      }
    | { readonly refused: string };
  readonly note: string;
}

const needsWord = (disk: DiskKind): readonly string[] => (disk === 'block' ? ['--assume-shared'] : []);

/** Rows for one kind of disk, in an order in which one guest can go through all of them. */
export function movesOf(disk: DiskKind): readonly Move[] {
  const copied = disk === 'local';
  const options = needsWord(disk);
  const shared = disk === 'none' ? 'it has no disk' : copied ? 'its disk is copied' : 'both hosts have its disk';
  const coldWay = copied ? 'helper' : 'definition';
  return [
    ...(disk === 'block'
      ? [
          {
            state: 'running' as const,
            disk,
            options: [],
            result: { refused: 'disk-sharing-unknown' },
            note: 'a block device without an identity in its name: Ferry cannot tell whether both hosts have the same one',
          },
        ]
      : []),
    {
      state: 'running',
      disk,
      options,
      result: { kind: 'live', how: 'guest', stateAfter: 'running', copied },
      note: `the guest runs on; ${shared}`,
    },
    {
      state: 'running',
      disk,
      options: [...options, '--kind', 'cold'],
      result: { refused: 'kind-unfit' },
      note: 'a running guest is not shut down by a move',
    },
    {
      state: 'running',
      disk,
      options: [...options, '--kind', 'suspended'],
      result: { kind: 'suspended', how: 'guest', stateAfter: 'running', copied },
      note: 'paused, moved, resumed',
    },
    ...(copied
      ? [
          {
            state: 'running' as const,
            disk,
            options: ['--temporary'],
            result: { refused: 'temporary-needs-shared' },
            note: 'what it writes there would be lost when it comes back',
          },
        ]
      : []),
    {
      state: 'paused',
      disk,
      options,
      result: { kind: 'suspended', how: 'guest', stateAfter: 'paused', copied },
      note: `it arrives paused; ${shared}`,
    },
    ...(copied || disk === 'none'
      ? []
      : [
          {
            state: 'paused' as const,
            disk,
            options,
            result: { refused: 'vm-arrived-paused' },
            note: 'a guest that arrived paused must run before it moves again: QEMU would lose its memory',
          },
        ]),
    {
      state: 'saved',
      disk,
      options,
      result: { kind: 'suspended', how: coldWay, stateAfter: 'saved', copied },
      note: 'its memory travels as the file that libvirt saved',
    },
    {
      state: 'saved',
      disk,
      options: [...options, '--kind', 'cold'],
      result: { refused: 'kind-unfit' },
      note: 'its memory would be lost',
    },
    {
      state: 'saved',
      disk,
      options: [...options, '--auto-start'],
      result: { kind: 'suspended', how: coldWay, stateAfter: 'running', copied },
      note: 'it goes on where it was saved',
    },
    {
      state: 'shut-off',
      disk,
      options: [...options, '--kind', 'live'],
      result: { refused: 'kind-unfit' },
      note: 'there is no guest to keep running',
    },
    {
      state: 'shut-off',
      disk,
      options,
      result: { kind: 'cold', how: coldWay, stateAfter: 'shut-off', copied },
      note: copied ? 'its disk travels in a paused helper domain' : 'only its definition travels',
    },
    {
      state: 'shut-off',
      disk,
      options: [...options, '--auto-start'],
      result: { kind: 'cold', how: coldWay, stateAfter: 'running', copied },
      note: 'started on the target afterwards',
    },
  ];
}

export const diskKindsOfTheTable: readonly DiskKind[] = ['none', 'local', 'shared', 'block', 'nbd'];

const diskNames: Readonly<Record<DiskKind, string>> = {
  none: 'none',
  local: 'file of one host',
  shared: 'file both hosts have',
  block: 'block device',
  nbd: 'network disk',
};

/** docs/moves.md */
export function movesPage(): string {
  const rows = diskKindsOfTheTable
    .flatMap((disk) => movesOf(disk))
    .map(({ state, disk, options, result, note }) => {
      const asked = options.length === 0 ? '' : `\`${options.join(' ')}\``;
      const what = 'refused' in result ? `refused: \`${result.refused}\`` : `${result.kind}, then ${result.stateAfter}`;
      return `| ${state} | ${diskNames[disk]} | ${asked} | ${what} | ${note} |`;
    });
  return `# What moves, and how

Every row is a test on real libvirt hosts (test/moves.test.ts); this page is made from the same table by
\`node test/moves-page.ts\`.

| the VM is | its disk | asked | result | |
| --- | --- | --- | --- | --- |
${rows.join('\n')}

Ferry takes a file for shared on two proofs. It creates a marker volume in the file's folder through one host and finds it
through the other; and both hosts see the same size and modification time when the move starts. A network disk, or a
block device named by its WWN, is shared if both hosts have that name.

Of a VM with several disks, only the disks that the target does not have are copied. Ferry copies each into a thin volume
that it creates in the target's pool for the same folder, and deletes that volume again if the move fails. The source
keeps its copies unless \`--delete-source-disks\` is used. \`ferry volume leftovers\` lists them, with saved images and
UEFI variables; with \`--purge\` it deletes those that nobody has changed or uses.

Ferry overwrites or deletes a file only if it is proved to be the VM's own. Files that other definitions or disk chains
of that host need are kept, and so is a file that is already where the VM's saved memory, UEFI variables or TPM state
would go. Ferry refuses such a move and names the file (docs/decisions/0019-whose-files.md).

Other tests:

| | where |
| --- | --- |
| \`--kind configuration\`, \`--keep-source\`, \`--temporary\`; two definitions of one VM | test/kept-source.test.ts |
| several disks, chains, raw; prepared volumes; what is in the way; aborts; limits while disks are copied | test/storage.test.ts |
| files of other VMs, and what is not proved to be the VM's own; leftovers and their purge | test/ownership.test.ts |
| crashes of control plane and target | test/storage-interrupted.test.ts |
| snapshots and checkpoints: with shared disks live, inside a local file cold | test/snapshots.test.ts |
| UEFI variables and TPM state; a VM too large, of another CPU or with host devices, cold | test/saved.test.ts |
| \`--rescue-mode\`: the VM's host is dead | test/rescue.test.ts |
`;
}
