/**
 * Defects of libvirt that matter to moves, by version, with where they are described (libvirt's NEWS.rst unless another
 * source is named). Distributions repair some of them under the same number: so each is said, and refuses nothing. Pure.
 */
import type { HostView } from '../model/host.ts';
import type { MigrationPlan } from '../model/plan.ts';
import type { Vm } from '../model/vm.ts';
import type { VmFacts } from './check-input.ts';
import { versionOf } from './transfer.ts';

/** From `since` on, and no more in `fixed`. */
interface Range {
  readonly since: number;
  readonly fixed: number;
}

interface Move {
  readonly vm: Pick<Vm, 'name' | 'memoryBytes'>;
  readonly facts: VmFacts;
  readonly source: HostView;
  readonly target: HostView;
  readonly plan: MigrationPlan;
}

export interface KnownDefect {
  readonly id: string;
  /** Of the libvirt that has it. */
  readonly libvirt: Range;
  /** Of the move, the host that has it. */
  readonly on: 'source' | 'target';
  /** What else of the host it takes; absent: nothing. */
  readonly with?: (host: HostView) => boolean;
  /** What happens, in one sentence without its end. */
  readonly what: string;
  readonly remedy: string;
  readonly source: string;
  /** Whether this move meets it; absent: it is of the host alone, and only "ferry host doctor" says it. */
  readonly meets?: (move: Move) => boolean;
}

const [early, never] = [0, Number.MAX_SAFE_INTEGER];
const news = (version: string): string => `libvirt NEWS, v${version}`;
const qemuOf = ({ facts }: HostView): number => versionOf(facts?.qemuVersion);
/** No version is named by which the size is too much. */
const longTlsBytes = 64 * 1_073_741_824;

export const knownDefects: readonly KnownDefect[] = [
  {
    id: 'post-copy-resume',
    libvirt: { since: 11_002_000, fixed: 11_004_000 },
    on: 'target',
    what: 'its daemon crashes when an interrupted post-copy is resumed',
    remedy: 'Upgrade libvirt to 11.4 there, or omit --postcopy.',
    source: news('11.4.0'),
    meets: ({ plan }) => plan.transfer?.postCopy === true,
  },
  {
    id: 'internal-revert',
    libvirt: { since: 11_002_000, fixed: 11_004_000 },
    on: 'target',
    what: 'it does not revert to a snapshot inside an image',
    remedy: 'Upgrade libvirt to 11.4 there before you revert.',
    source: news('11.4.0'),
    meets: ({ plan, facts }) =>
      plan.carriesSnapshots === true && facts.disks.some(({ internal }) => internal === 'snapshots'),
  },
  {
    id: 'ht-feature',
    libvirt: { since: early, fixed: 11_010_000 },
    on: 'target',
    with: (host) => qemuOf(host) >= 10_000_000,
    what: 'with QEMU 10.0 and later it may refuse a guest with several threads for each core ("extra features: ht")',
    remedy: 'Upgrade libvirt to 11.10 there, or choose another host.',
    source: news('11.10.0'),
    meets: ({ facts, source }) => facts.hardware.threadsPerCore !== undefined && qemuOf(source) < 10_000_000,
  },
  {
    id: 'amd-arch-capabilities',
    libvirt: { since: early, fixed: 12_005_000 },
    on: 'target',
    with: (host) => host.facts?.cpu.vendor === 'AMD' && qemuOf(host) >= 10_001_000,
    what: 'with QEMU 10.1 and later it hides features of AMD CPUs (arch-capabilities) that guests of older ones have',
    remedy: 'Upgrade libvirt to 12.5 there, or choose another host.',
    source: news('12.5.0'),
    meets: ({ facts, source }) => facts.cpu !== undefined && qemuOf(source) < 10_001_000,
  },
  {
    id: 'virtio-video-model',
    libvirt: { since: early, fixed: 12_005_000 },
    on: 'source',
    what: 'it does not record which virtio video device a guest has, so that another QEMU may choose another',
    remedy: 'Compare the QEMU packages of both hosts: both need the same virtio video modules.',
    source: news('12.5.0'),
    meets: ({ facts, source, target }) =>
      facts.hardware.virtioVideo === true && source.facts?.qemuVersion !== target.facts?.qemuVersion,
  },
  {
    id: 'long-tls',
    libvirt: { since: early, fixed: never },
    on: 'source',
    what: 'a defect of GnuTLS can end its QEMU in a long encrypted migration',
    remedy: 'Omit --enable-tls for guests as large as this, or set the TLS priority of QEMU (libvirt 11.6 and later).',
    source: news('11.6.0'),
    meets: ({ plan, vm }) => plan.transfer?.tls === true && vm.memoryBytes >= longTlsBytes,
  },
  {
    id: 'incoming-xml',
    libvirt: { since: 11_000_000, fixed: 11_005_000 },
    on: 'target',
    what: 'it may not answer a question for the definition of a guest that is just coming in',
    remedy: 'Upgrade libvirt to 11.5 there.',
    source: news('11.5.0'),
  },
  {
    id: 'hostdev-attach',
    libvirt: { since: 12_001_000, fixed: 12_002_000 },
    on: 'target',
    what: 'its daemon can crash when a network card of the host is attached to a guest',
    remedy: 'Upgrade libvirt to 12.2 there.',
    source: news('12.2.0'),
  },
];

/** Of an upgrade that ends it, the doctor can speak. */
export const isMendable = ({ libvirt: { fixed } }: KnownDefect): boolean => fixed !== never;

export const hasDefect = ({ libvirt: { since, fixed }, with: has }: KnownDefect, host: HostView): boolean => {
  const version = versionOf(host.facts?.libvirtVersion);
  return version > 0 && version >= since && version < fixed && has?.(host) !== false;
};
