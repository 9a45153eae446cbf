/**
 * How a move is carried out: what travels and how, what changes in the definition, what happens to each disk. Decided
 * at the checks, stored before anything is done, shown to people.
 */
import type { HostRef } from './host.ts';
import type { HostId, VmUuid } from './ids.ts';
import type { Finding, Reason } from './reasons.ts';
import type { MigrationKind } from './request.ts';
import type { StatePlace, BackingImage, SharingProof, ImageLayout, DiskFacts } from './storage.ts';
import type { TransferMode, Compression } from './transfer.ts';

/** How the bytes travel. */
export interface TransferPlan {
  readonly mode: TransferMode;
  /** Why this mode, for people. */
  readonly modeReason: string;
  readonly tls?: true;
  readonly tunnelled?: true;
  /** tcp://ADDRESS[:PORT]; absent: where the target says. */
  readonly migrateUri?: string;
  /** Name in the target's certificate for migration data, where the URI has another one. */
  readonly tlsName?: string;
  readonly listenAddress?: string;
  readonly disksPort?: number;
  readonly parallelConnections?: number;
  readonly compression?: Compression;
  readonly zeroCopy?: true;
  readonly postCopy?: true;
  /** From the policy: a limit of its own, or, where nothing but memory travels, its share of the link. */
  readonly bandwidthMiBPerSecond?: number;
  /**
   * The policy's share of the link where disks are copied too: for the memory alone, see `withMemoryLimit` in
   * steer.ts.
   */
  readonly memoryBandwidthMiBPerSecond?: number;
  /** QEMU may slow the guest down. */
  readonly throttle?: { readonly initialPercent: number; readonly incrementPercent: number };
  /** The target arrives paused and is released once the source is gone. */
  readonly handover?: true;
}

/** Something on a host that a definition names. A secret's name is `uuid:UUID` or `TYPE:USAGE`. */
export interface ResourceRef {
  readonly kind: 'network' | 'filter' | 'secret';
  readonly name: string;
}

/**
 * What is changed in the definition for the target, and what is made there first: in that of the running guest, or in
 * that inside its saved memory.
 */
export interface DefinitionPlan {
  readonly networks?: Readonly<Record<string, string>>;
  readonly pools?: Readonly<Record<string, string>>;
  /** Pools by target device, of disks that name one. */
  readonly volumePools?: Readonly<Record<string, string>>;
  /** New sources by target device; null ejects. */
  readonly disks?: Readonly<Record<string, string | null>>;
  /**
   * The images below a disk by target device, nearest first; with none the definition says that there are none, if it
   * names any.
   */
  readonly chains?: Readonly<Record<string, readonly BackingImage[]>>;
  /** Both in the definition for the next start, where they are not the same. */
  readonly nextStart?: Pick<DefinitionPlan, 'disks' | 'chains' | 'volumePools'>;
  readonly graphicsListen?: string;
  /** The operator gave the whole definition. */
  readonly ownXml?: true;
  readonly creates?: readonly ResourceRef[];
}

/** What is changed in the definition for the next start. */
export function forNextStart(plan: DefinitionPlan): DefinitionPlan {
  const { nextStart, disks: _disks, chains: _chains, volumePools: _pools, ...rest } = plan;
  return nextStart === undefined ? plan : { ...rest, ...nextStart };
}

/** Part of the guest's state that the target may refuse; it cannot be checked before the move. */
export interface StateRisk {
  readonly of: 'memory' | 'tpm';
  /** "whether ..." */
  readonly whether: string;
  readonly why: string;
  readonly remedy: string;
}

/** How a move is carried out, decided at the checks and stored before anything is done. */
export interface MigrationPlan {
  /**
   * `guest`: libvirt moves the guest itself. `helper`: a paused domain that holds only the disks moves in its place.
   * `definition`: nothing but the definition travels. `stored-definition`: not even that, it comes from Ferry's own
   * store.
   */
  readonly how: 'guest' | 'helper' | 'definition' | 'stored-definition';
  /** The guest runs while its memory is copied. */
  readonly live: boolean;
  readonly persistence: 'permanent' | 'temporary' | 'keep-source' | 'transient';
  readonly disks: readonly DiskPlan[];
  /** What cannot be checked, and would fail only when the target receives the guest. */
  readonly stateRisks?: readonly StateRisk[];
  /** Absent: the definition arrives as it is. */
  readonly definition?: DefinitionPlan;
  /** Absent where nothing but a definition travels. */
  readonly transfer?: TransferPlan;
  /** Domain that moves in the VM's place. */
  readonly helper?: { readonly uuid: VmUuid; readonly name: string; readonly machine?: string };
  readonly autostart: boolean;
  /** Paths of UEFI variables, TPM state and saved memory that are copied with the disks. */
  readonly stateFiles?: readonly string[];
  /** The guest's memory is among them, with a definition of its own inside. */
  readonly savedMemory?: true;
  /** Paths that libvirt writes on the target when it moves the guest: UEFI variables, TPM state. */
  readonly guestFiles?: readonly string[];
  /** Those of both, and of saved memory, where a stale copy of the VM's own is on the target: it goes first. */
  readonly replaces?: readonly StatePlace[];
  readonly nvram?: true;
  /** The target has a definition of the VM already: it is not the move's to remove. */
  readonly definedThere?: true;
  /** Metadata of snapshots and checkpoints is taken off before the move and put back after it. */
  readonly carriesSnapshots?: true;
}

/** What a migration would take on a host. */
export interface RoomNeeded {
  readonly host: HostId;
  readonly ports: number;
  readonly memoryBytes: number;
  /** By the migration network. */
  readonly travels: boolean;
}

/** Disks go over to the target's own storage. */
export const hasCopies = (plan: MigrationPlan | undefined): boolean =>
  plan?.disks.some(({ how }) => how === 'copy') === true;

export interface DiskPlan {
  readonly target: string;
  /** Only one of the VM's two definitions has it: the running guest's, or that for the next start. */
  readonly when?: 'now' | 'next-start';
  readonly path?: string;
  /** On the target, when it is another one there. */
  readonly targetPath?: string;
  readonly format?: string;
  /**
   * `none`: nothing travels (an empty drive). `shared`: both hosts have it. `copy`: it is copied into a volume of the
   * target. `file`: an image that nobody writes goes over as a file. `eject`: the drive arrives empty.
   */
  readonly how: 'none' | 'shared' | 'copy' | 'file' | 'eject';
  readonly proof?: SharingProof;
  readonly capacityBytes?: number;
  readonly allocationBytes?: number;
  /** The most that it takes on the target. */
  readonly neededBytes?: number;
  /** The pool by which the definition on the target names it, when that is another one there. */
  readonly namedPool?: string;
  /** What the copy does not keep, for people. */
  readonly losses?: readonly string[];
  /** The file travels byte for byte, with all that is inside it, instead of the blocks that the guest sees. */
  readonly asFile?: true;
  /**
   * The images below it that the definition on the target has to name, nearest first; none when the copy joins the
   * chain into one image. Absent: what the definition says holds there too.
   */
  readonly chain?: readonly BackingImage[];
  /** Of a `file`: a stale copy on the target goes first. */
  readonly replaces?: true;
  /** The volume on the target; `existing` was prepared by the operator, `replaces` is a stale copy that goes first. */
  readonly volume?: {
    readonly pool: string;
    readonly name: string;
    readonly existing: boolean;
    readonly replaces: boolean;
    readonly backing?: { readonly path: string; readonly format: string };
    readonly layout?: ImageLayout;
    readonly encryption?: DiskFacts['encryption'];
  };
}

export interface Choice {
  readonly to: HostRef;
  readonly move: MigrationKind;
  readonly plan: MigrationPlan;
}

/** What a choice among hosts that fit goes by, most important first. */
export interface HostWeights {
  /** For the guest's state, and what else may make the target refuse it. */
  readonly risks: number;
  /** Soft rules unmet: a VM or a host of a rule each. */
  readonly softRules: number;
  /** Disks to copy; and what they hold, if that is known. */
  readonly copies: number;
  readonly copyBytes?: number;
  /** Migrations that leave the host or come to it. */
  readonly load: number;
  /** Memory that nobody has or was promised, if it is known. */
  readonly spareBytes?: number;
}

/** What the checks say of one host in question. */
export interface HostAnswer {
  readonly host: HostRef;
  /** `refused`: at least one finding refuses. */
  readonly verdict: 'fits' | 'waits' | 'refused';
  readonly findings: readonly Finding[];
  /** Names of the checks that had nothing to say. */
  readonly passed: readonly string[];
  /** Names of the checks whose facts were not fetched, since the VM or the host was refused before. */
  readonly notAsked: readonly string[];
  /** Absent of a rescue. */
  readonly weighs?: HostWeights;
}

export type CheckResult =
  | ({ readonly kind: 'chosen'; readonly answers?: readonly HostAnswer[] } & Choice)
  /**
   * Nothing speaks against a host but what other migrations have there now. The choice is what it would be without
   * them.
   */
  | ({
      readonly kind: 'waits';
      readonly reasons: readonly Reason[];
      readonly on: readonly RoomNeeded[];
      readonly answers?: readonly HostAnswer[];
    } & Choice)
  | { readonly kind: 'refused'; readonly reasons: readonly Reason[]; readonly answers?: readonly HostAnswer[] };
