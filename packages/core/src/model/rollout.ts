/**
 * A rollout: hosts are emptied one after the other, worked on, verified, and get their VMs back. Types and nothing else;
 * what changes one is in rollout/step.ts. Its drains and restores are batches of their own.
 */
import type { HookTarget } from './hook.ts';
import type { HostRef } from './host.ts';
import type { BatchId, RolloutId, TimeMs } from './ids.ts';

/**
 * `asking`: a hook says whether its turn is needed. `working`: it is empty, and a hook or an operator works on it.
 * `returning`: it is waited for until it is healthy. `returned`: it is in service again, and its VMs come back once all
 * hosts are done. `skipped`: the hook said that nothing is needed. `held`: the rollout ended before its turn.
 */
export const rolloutHostStates = [
  'waiting',
  'asking',
  'draining',
  'working',
  'returning',
  'returned',
  'restoring',
  'done',
  'skipped',
  'held',
] as const;
export type RolloutHostState = (typeof rolloutHostStates)[number];

export interface RolloutHost {
  readonly host: HostRef;
  readonly state: RolloutHostState;
  readonly since: TimeMs;
  readonly drain?: BatchId;
  readonly restore?: BatchId;
  /** The hook that works on it was called. It is never called twice. */
  readonly called?: true;
  /** Its connection was lost since it was empty. */
  readonly left?: true;
  /** The rollout cordoned it, so that no VM goes to a host that is still to be upgraded. */
  readonly cordoned?: true;
  /** Why it is in this state, in a sentence. */
  readonly note?: string;
}

/** `stopped`: a host did not come through; nothing begins until an operator continues or cancels it. */
export const rolloutPhases = ['running', 'stopped', 'cancelling', 'done', 'cancelled'] as const;
export type RolloutPhase = (typeof rolloutPhases)[number];

/** What is to be done to each host. */
export interface RolloutPlan {
  /** Absent: an operator, who says so with `continue`. */
  readonly work?: HookTarget;
  /** Only hosts of which this hook agrees. */
  readonly onlyIf?: HookTarget;
  /** It has to lose its connection before it can have come back. */
  readonly reboots?: true;
  /** Versions that it has to have then. */
  readonly libvirtVersion?: string;
  readonly qemuVersion?: string;
  /** For the host to be healthy again. */
  readonly returnMs: number;
  /** VMs go from hosts that are still to be upgraded to the others only, and come back once all are done. */
  readonly upgrade?: true;
  /** Also the last host of a cluster that takes VMs. */
  readonly force?: true;
}

export interface Rollout {
  readonly id: RolloutId;
  /** As in `rollout-kvm1+4-9c485`. */
  readonly name: string;
  readonly actor: string;
  readonly client: string;
  readonly plan: RolloutPlan;
  readonly hosts: readonly RolloutHost[];
  readonly startedAt: TimeMs;
  readonly endedAt?: TimeMs;
  readonly phase: RolloutPhase;
  /** What an operator should know or do now, in a sentence. */
  readonly attention?: string;
}
