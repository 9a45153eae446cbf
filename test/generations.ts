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

A fleet may mix Debian releases while it is upgraded. Every cell is a move on real hosts (test/generations.test.ts); this page is made from what
that test saw (test/generations.json) by \`node test/compatibility-page.ts\`.

| release | libvirt | QEMU |
| --- | --- | --- |
${releases.join('\n')}

| the VM is | ${ways.join(' | ')} |
| --- |${' --- |'.repeat(ways.length)}
${rows.join('\n')}

\`yes\`: it arrived as it was: counter, disk records, snapshots, firmware variables and TPM state were compared. \`fails\`: QEMU ended it, and the VM ran
on where it was. \`not resumed\`: both halves are kept. A code names the reason for which Ferry refuses the move before anything happens.

**Virtio queues, from trixie to testing.** The fix of CVE-2026-50626 in stable QEMUs (seen in 10.0.13) makes every virtio queue 1024 entries long, with
whatever machine type. QEMU 11.1 refuses a queue that is longer than it was asked for: "VQ 0 vring.num 1024 exceeds allocated max 256". So a guest
that 10.0.13 booted does not get to 11.1. A guest that bookworm or testing booted passes through trixie and on, until it reboots there. No host says who
booted a guest: the plan says "Not known", Ferry prefers other targets, and a guest that QEMU refuses stays where it is, with this reason. Shut it
down and move it cold; a move by way of bookworm keeps the long queues. The memory of a saved VM, whose refusal would show at its next start only, is not sent
(\`saved-memory-unsure\`): start it and move it while it runs. A snapshot with memory that 10.0.13 took is not reverted to by 11.1 either.

**TPM state, from testing to the older ones.** swtpm and libtpms 0.10 make the state of a new TPM with the profile "default-v1" (the definition says so from
libvirt 10.10 on). Those of bookworm and trixie do not read it: "load of migration failed: Input/output error". State that they made themselves may go
to testing and come back. No host says which swtpm it has: to an older libvirt the plan says "Not known", and state in a file is not
sent (\`tpm-state-unsure\`). For a TPM that all of them read, define the VM on testing with \`<profile source='null'/>\` in the TPM's \`<backend>\`
before its first start; that went to trixie and back.

**Broken post-copy into trixie.** libvirtd 11.2 and 11.3 crash whenever a broken post-copy is resumed into them. Ferry's own policy does not go to post-copy
towards such a host. With \`--postcopy\` it does; should the connection break, both halves are kept and Ferry waits for another libvirt there.

**Machine types.** A VM keeps the machine type that it was defined with, such as \`pc-q35-7.2\`. Newer QEMUs know those of older ones, not the other
way round: a VM that was defined with plain \`q35\` on a newer host does not go to an older one, running, shut off or by rescue. Define VMs for a mixed
fleet with the machine type of its oldest host.

**Daemons.** Debian packages the monolithic libvirtd only, in all of these releases. Where modular daemons run, Ferry uses the socket of virtqemud;
it was tried under that name, with libvirtd behind it.
`;
}

const words: Readonly<Record<string, string>> = { moves: 'yes', fails: 'fails', kept: 'not resumed' };
const told = (seen: string | undefined): string => (seen === undefined ? 'not tried' : (words[seen] ?? `\`${seen}\``));
