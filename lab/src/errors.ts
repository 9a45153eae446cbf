// The one error class of the lab: a sentence for the person at the terminal, and an exit code. It has no subclasses,
// because no caller needs to tell kinds apart.

export class LabError extends Error {
  /** 1: the lab could not do it. 2: it was asked in a wrong way. */
  readonly exitCode: 1 | 2;

  constructor(message: string, options: { readonly exitCode?: 1 | 2; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LabError';
    this.exitCode = options.exitCode ?? 1;
  }
}

export function usageError(message: string): LabError {
  return new LabError(message, { exitCode: 2 });
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
