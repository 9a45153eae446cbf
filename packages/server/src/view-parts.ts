/** Small conversions that all views share. */
import type { TimeMs } from '@ferry/core';

export const time = (at: TimeMs): string => new Date(at).toISOString();

/** The fields of `object` that are there. */
export const present = <T extends object>(
  object: T,
): { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
} => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never;
