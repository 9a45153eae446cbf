/**
 * Core's error table (codes, exit codes, remedies) for those who import only the API. It adds nothing and loads no schema
 * library.
 */
export { errorTable, exitCodes } from '@ferry/core/errors';
export type { ErrorCode, ExitCode } from '@ferry/core/errors';
