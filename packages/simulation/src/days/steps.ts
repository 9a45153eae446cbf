/** What is done on a simulated day, and what goes wrong: a list in the order of time. Pure data. */
import type { MaintenanceWay, MigrationPhase } from '@ferry/core';
import type { GuestSpec, HostSpec } from '../fleet.ts';
import type { Fate } from './life.ts';

export type Deed =
  | {
      readonly do: 'migrate';
      readonly vm: string;
      readonly to?: string;
      readonly options: Readonly<Record<string, unknown>>;
    }
  | { readonly do: 'abort' | 'post-copy' | 'pause' | 'tune' | 'cleanup'; readonly vm: string }
  /** By somebody who knows nothing of Ferry. `guest-made`: one of those that come later. */
  | { readonly do: 'guest-off' | 'guest-on' | 'guest-made' | 'guest-deleted'; readonly vm: string }
  | { readonly do: 'moved-by-hand'; readonly vm: string; readonly to: string }
  | { readonly do: 'drain'; readonly hosts: readonly string[]; readonly deadlineMs?: number }
  /** Of the drain or restore of this host that runs, or that ended last. */
  | { readonly do: 'cancel-drain'; readonly host: string; readonly abort: boolean }
  | { readonly do: 'retry-drain' | 'restore' | 'cordon' | 'uncordon'; readonly host: string }
  | { readonly do: 'remove-host'; readonly host: string; readonly forMs: number }
  | {
      readonly do: 'power-cut' | 'daemon-dies' | 'cut-off' | 'disk-full';
      readonly host: string;
      readonly forMs: number;
    }
  | {
      readonly do: 'link-cut';
      readonly from: string;
      readonly to: string;
      readonly bothWays: boolean;
      readonly forMs: number;
    }
  /** `calls`: those that change something, any, or the one of this name. */
  | { readonly do: 'call-meets'; readonly host: string; readonly fate: Fate; readonly calls: string }
  /** The target's word that the guest runs does not reach the source of the next switchover (of this VM). */
  | { readonly do: 'word-lost'; readonly vm?: string }
  | { readonly do: 'store-refuses'; readonly forMs: number }
  | { readonly do: 'store-loses'; readonly fate: 'lost-before' | 'lost-after' }
  | { readonly do: 'kill'; readonly calls: number; readonly after: boolean; readonly forMs: number };

/** `when`: after `atMs`, once a migration (of this VM) comes to this phase; not at all where none does soon. */
export type Step = Deed & {
  readonly atMs: number;
  readonly when?: { readonly phase: MigrationPhase; readonly vm?: string; readonly afterMs?: number };
};

export interface DayPlan {
  readonly hosts: readonly HostSpec[];
  readonly guests: readonly GuestSpec[];
  /** Those that come into being on the day. */
  readonly later?: readonly GuestSpec[];
  /** How VMs leave a host that is drained, by name. */
  readonly ways?: Readonly<Record<string, MaintenanceWay>>;
  /** Migrations at once, from a host and to a host. */
  readonly limits?: { readonly outgoing: number; readonly incoming: number };
  readonly mibPerSecond: number;
  readonly steps: readonly Step[];
}

export const dayMs = 6 * 60_000;

/** A step as one line. */
export function lineOf({ atMs, ...deed }: Step): string {
  const { do: what, ...rest } = deed;
  const words = Object.entries(rest).map(([name, value]) =>
    typeof value === 'object' ? JSON.stringify(value) : `${name}=${String(value)}`,
  );
  return [`${(atMs / 1_000).toFixed(1)} s`, what, ...words].join(' ');
}
