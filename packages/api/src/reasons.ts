/** Core's table of reasons for those who import only the API, as errors.ts has that of errors. */
export { reasonTable } from '@ferry/core/reasons';
