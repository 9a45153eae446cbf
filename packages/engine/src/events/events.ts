/**
 * What the engine tells of: the events of a fleet, each with its number where it is kept. Types and nothing else; numbers
 * and readers are event-hub.ts's.
 */
import type { HostView, Migration, TimeMs, Vm } from '@ferry/core';

export type EngineEvent =
  | { readonly type: 'migration'; readonly migration: Migration }
  | { readonly type: 'host'; readonly host: HostView; readonly vms: number }
  | { readonly type: 'host-removed'; readonly host: string }
  /** Events that an earlier version kept have no labels. */
  | { readonly type: 'vm'; readonly vm: Vm; readonly labels?: readonly string[] }
  | { readonly type: 'vm-removed'; readonly uuid: string; readonly name: string }
  /** Something that a person has to put right now. */
  | { readonly type: 'alarm'; readonly code: 'vm-two-copies'; readonly vm: string; readonly message: string }
  | { readonly type: 'reset' };

/** `seq` is absent for events that are not kept (progress between two phases, reset). */
export interface NumberedEvent {
  readonly seq?: number;
  readonly at: TimeMs;
  readonly event: EngineEvent;
}
