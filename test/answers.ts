/** What the CLI answers with `-o json`, as far as the tests look. */

interface IntervalJson {
  readonly low: number;
  readonly expected: number;
  readonly high?: number;
}

/** A migration as `-o json` shows it, as far as the tests look. */
export interface MigrationJson {
  readonly id: string;
  readonly name?: string;
  readonly kind: string;
  readonly how?: string;
  readonly transfer?: {
    readonly mode: string;
    readonly modeReason: string;
    readonly tls?: boolean;
    readonly tunnelled?: boolean;
    readonly migrateUri?: string;
    readonly disksPort?: number;
    readonly parallelConnections?: number;
    readonly compression?: string;
  };
  readonly maxBandwidthMiBPerSecond?: number;
  readonly maxDowntimeMs?: number;
  readonly phase: string;
  readonly phases: readonly { readonly phase: string; readonly at: string }[];
  readonly outcome?: string;
  readonly from: string;
  readonly to?: string;
  readonly progress?: { readonly percent: number; readonly throttlePercent?: number; readonly part?: string };
  readonly policy?: { readonly name: string; readonly from: string };
  readonly prediction?: {
    readonly kind: string;
    readonly text: string;
    readonly dirtyBytesPerSecond?: number;
    readonly measuredAt?: string;
    readonly endsByItself?: boolean;
    readonly totalMs?: IntervalJson;
    readonly downtimeMs?: IntervalJson;
    readonly pauseMs?: number;
    readonly remedies: readonly { readonly do: string }[];
    readonly measured?: {
      readonly totalMs: number;
      readonly downtimeMs?: number;
      readonly totalIsWithin?: boolean;
      readonly downtimeIsWithin?: boolean;
    };
  };
  readonly decisions?: readonly { readonly do: string; readonly text: string }[];
  readonly hooks?: readonly { readonly stage: string; readonly result: string }[];
  readonly deadlineAt?: string;
  readonly attention?: string;
  readonly totalMs?: number;
  readonly downtimeMs?: number;
  readonly transferredBytes?: number;
  readonly vmIsNow?: { readonly host: string; readonly state: string };
  readonly adopted?: boolean;
  readonly disks?: readonly { readonly target: string; readonly how: string }[];
  readonly error?: {
    readonly code: string;
    readonly message: string;
    readonly reasons?: readonly { readonly code: string; readonly host?: string; readonly message: string }[];
  };
  readonly attempts?: readonly { readonly to?: string; readonly message: string }[];
  readonly proofOfDeath?: {
    readonly host: string;
    readonly statement: string;
    readonly actor: string;
    readonly at: string;
  };
}

export interface VmJson {
  readonly uuid: string;
  readonly name: string;
  readonly host: string;
  readonly state: string;
  readonly memoryBytes: number;
  readonly currentMigration?: string;
  readonly instances: readonly { readonly host: string; readonly role: string; readonly persistent?: boolean }[];
}

/** A drain or a restore, as far as the tests look. */
export interface DrainJson {
  readonly id: string;
  readonly phase: string;
  readonly pace?: readonly { readonly host: string; readonly atOnce: number; readonly why: string }[];
  readonly expected?: { readonly text: string };
  readonly members: readonly {
    readonly vm: { readonly name: string };
    readonly from: string;
    readonly to?: string;
    readonly expected?: { readonly endsAt?: string; readonly unknown?: string };
  }[];
}
