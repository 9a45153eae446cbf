/** Figures in sentences: no unit that a reader has to convert. */

export const mib = (bytes: number): string => String(Math.round(bytes / 1_048_576));
export const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;
/** Of a guest. */
export const pause = (ms: number): string => (ms < 10_000 ? `${Math.round(ms)} ms` : seconds(ms));
/** Of something that people wait for. */
export const lasting = (ms: number): string =>
  ms < 180_000 ? seconds(ms) : ms < 10_800_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
