/**
 * What was seen to move between hosts of different Debian releases: the kinds of move, what generations.test.ts saw of
 * each between each two releases (generations.json), and the page that is made of it. generations.test.ts holds all
 * three in step.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RELEASES, type Release } from '@ferry/lab';

/** In the order of the page. */
export const kindsOfMove = {
  'live-own-boot': 'running, booted by the release that it leaves',
  'live-copied': 'running, its disk is copied',
  'live-copied-direct': 'the same with `--direct`',
  'live-shared': 'running, both hosts have its disk',
  'live-shared-direct': 'the same with `--direct`',
  'live-tls': 'running, memory and disk encrypted (`--enable-tls`)',
  suspended: 'running, `--kind suspended`',
  paused: 'paused',
  saved: 'saved: its memory goes along as a file',
  cold: 'shut off, its disk is copied',
  configuration: 'its definition only (`--kind configuration`)',
  snapshots: 'running with snapshots on a disk that both hosts have; reverted to one there',
  'snapshots-cold': 'shut off with snapshots inside its disk; reverted to one there',
  'uefi-live': 'running with UEFI variables, and TPM state that the older release made',
  'uefi-cold': 'shut off with UEFI variables, and TPM state that the older release made',
  'tpm-own-live': 'running with TPM state that the release which it leaves made',
  'tpm-own-cold': 'shut off with TPM state that the release which it leaves made',
  'own-machine': 'shut off, with the newest machine type of the release that it leaves',
  'post-copy': 'post-copy, the connection broken and resumed',
  zlib: '`--compression zlib`',
  zstd: '`--compression zstd`',
} as const;
export type KindOfMove = keyof typeof kindsOfMove;
export const allKinds = Object.keys(kindsOfMove) as readonly KindOfMove[];

export interface Seen {
  /** What each release had on the day of the last full run. */
  readonly versions: Readonly<Partial<Record<Release, Versions>>>;
  /**
   * By kind of move, then as in `bookworm to trixie`: `moves`, `fails`, `kept` (a post-copy that is not resumed, both
   * halves kept), or the codes with which Ferry refused it.
   */
  readonly moves: Readonly<Partial<Record<KindOfMove, Readonly<Record<string, string>>>>>;
}
export interface Versions {
  readonly libvirt: string;
  readonly qemu: string;
}

const seenFile = join(import.meta.dirname, 'generations.json');
export const pageFile = join(import.meta.dirname, '..', 'docs', 'compatibility.md');

export const knownSeen = (): Seen => JSON.parse(readFileSync(seenFile, 'utf8')) as Seen;

/** Everything seen now in place of what was seen of it before. */
export function remember({ versions, moves }: Seen): void {
  const known = knownSeen();
  const merged = Object.fromEntries(allKinds.map((kind) => [kind, { ...known.moves[kind], ...moves[kind] }]));
  writeFileSync(
    seenFile,
    `${JSON.stringify({ versions: { ...known.versions, ...versions }, moves: merged }, undefined, 2)}\n`,
  );
}

export const way = (from: Release, to: Release): string => `${from} to ${to}`;

/** docs/compatibility.md */
export function compatibilityPage({ versions, moves }: Seen): string {
  const ways = RELEASES.flatMap((from) => RELEASES.filter((to) => to !== from).map((to) => way(from, to)));
  const releases = RELEASES.map(
    (release) =>
      `| ${release} | ${versions[release]?.libvirt ?? 'not tried'} | ${versions[release]?.qemu ?? 'not tried'} |`,
  );
  const rows = allKinds.map(
    (kind) => `| ${kindsOfMove[kind]} | ${ways.map((each) => told(moves[kind]?.[each])).join(' | ')} |`,
  );
  return `# Hosts of different releases

A fleet may mix Debian releases during an upgrade. Every cell below is a move on real hosts (test/generations.test.ts).
\`node test/compatibility-page.ts\` writes this page from what that test saw (test/generations.json).

| release | libvirt | QEMU |
| --- | --- | --- |
${releases.join('\n')}

| the VM is | ${ways.join(' | ')} |
| --- |${' --- |'.repeat(ways.length)}
${rows.join('\n')}

\`yes\`: it arrived as it was; counter, disk records, snapshots, firmware variables and TPM state were compared.
\`fails\`: QEMU refused it, and the VM kept running where it was. \`not resumed\`: both halves are kept. A code is the reason
for which Ferry refuses the move before anything happens.

**Virtio queues, from trixie to testing.** The fix of CVE-2026-50626 in stable QEMUs (seen in 10.0.13) makes every virtio
queue 1024 entries long, with any machine type. QEMU 11.1 refuses a queue that is longer than configured: "VQ 0 vring.num
1024 exceeds allocated max 256". A guest that 10.0.13 booted therefore cannot move to 11.1 while it runs, and a detour by
bookworm does not help. A guest that bookworm or testing booted can, until it reboots on trixie. No host reports which
QEMU booted a guest. The plan says that it is not known, Ferry prefers other targets, and a guest that QEMU refuses stays
where it is; the error gives this reason. Shut such a guest down and move it cold. Ferry does not send the memory of a
saved VM (\`saved-memory-unsure\`), because it would fail only at its next start: start the VM and move it live. QEMU 11.1
does not revert to a snapshot with memory that 10.0.13 took.

**TPM state, from testing to the older releases.** swtpm and libtpms 0.10 create the state of a new TPM with the profile
"default-v1"; libvirt 10.10 and later show it in the definition. bookworm and trixie cannot read it: "load of migration
failed: Input/output error". State that they created themselves can move to testing and back. No host reports its version
of swtpm. To a host with an older libvirt, the plan says that it is not known, and state in a file is not sent
(\`tpm-state-unsure\`). To create a TPM that all three read, put \`<profile source='null'/>\` into its \`<backend>\` before
the VM's first start on testing; such a VM moved to trixie and back.

**Interrupted post-copy into trixie.** libvirt 11.2 and 11.3 crash when an interrupted post-copy is resumed into them. Ferry's default
policy does not use post-copy to such a host. With \`--postcopy\` it does. If the connection breaks then, Ferry keeps both
halves, and resumes when libvirt there has been upgraded.

**Machine types.** A VM keeps the machine type it was defined with, such as \`pc-q35-7.2\`. Newer QEMUs know the types of
older ones, but not the reverse. A VM defined with plain \`q35\` on a newer host cannot move to an older one, whether it is
running, shut off, saved or rescued. In a mixed fleet, define VMs with the machine type of the oldest host.

**Daemons.** All three releases package the monolithic libvirtd only. On hosts with modular daemons, Ferry uses the socket
of virtqemud; the test gives libvirtd that name.
`;
}

const words: Readonly<Record<string, string>> = { moves: 'yes', fails: 'fails', kept: 'not resumed' };
const told = (seen: string | undefined): string => (seen === undefined ? 'not tried' : (words[seen] ?? `\`${seen}\``));
