/**
 * The ports of the engine: what it needs from the world, declared where it is used. Drivers live in packages/adapters.
 * No driver decides anything; every method that can wait takes an AbortSignal.
 */
import type { TimeMs } from '@ferry/core';

export * from './definitions.ts';
export * from './guest.ts';
export * from './hooks.ts';
export * from './host.ts';
export * from './instances.ts';
export * from './power.ts';
export * from './resources.ts';
export * from './state.ts';
export * from './transfer.ts';
export * from './volumes.ts';

/** Time and randomness come in here, so that a virtual clock can drive the engine. */
export interface Clock {
  /**
   * Never steps: between two calls as much has passed as their difference says, whatever is done to the machine's
   * clock.
   */
  now(): TimeMs;
  /**
   * Takes `now` from the machine's clock; with the anchor of an earlier process `now` goes on from that one's instead,
   * if the machine has not been started since. Nothing that counts on `now` may be under way.
   */
  anchor(last?: TimeAnchor): TimeAnchor;
  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Aborts with a `TimeoutError` after `ms`; keeps no process alive. */
  timeout(ms: number): AbortSignal;
  /** `length` random characters of [0-9a-z]. */
  randomText(length: number): string;
  randomUuid(): string;
}

/** Where `Clock.now` stands against the time since the machine was started. */
export interface TimeAnchor {
  /** Another one after each start of the machine. */
  readonly boot: string;
  readonly offsetMs: number;
}

/** Where the engine's log lines go. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
