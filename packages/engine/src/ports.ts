/**
 * The ports of the engine: what it needs from the world, declared where it is used. Drivers live in packages/adapters.
 * No driver decides anything; every method that can wait takes an AbortSignal.
 */
import type { TimeMs } from '@ferry/core';

export * from './ports-host.ts';
export * from './ports-migration.ts';
export * from './ports-state.ts';

/** Time and randomness come in here, so that a virtual clock can drive the engine. */
export interface Clock {
  now(): TimeMs;
  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** `length` random characters of [0-9a-z]. */
  randomText(length: number): string;
  randomUuid(): string;
}

/** Where the engine's log lines go. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
