/** Core's tables of reasons, and of what the examination of hosts finds, for those who import only the API. */
export { doctorTable } from '@ferry/core/doctor';
export { reasonTable } from '@ferry/core/reasons';
