/**
 * The error table as the surface sees it: codes, exit codes, remedies. A door to core's table for those who import the
 * API only; it adds nothing and loads no schema library.
 */
export { errorTable, exitCodes } from '@ferry/core/errors';
export type { ErrorCode, ExitCode } from '@ferry/core/errors';
