// The lab as a library: what `script/lab` does, for tests, demos and benchmarks. Everything here needs root.
// `labRef(name)` names a lab; every other function takes it. Nothing is kept in memory between calls, so several
// processes may use one lab.

export { runAttached, run, tryRun } from './child.ts';
export type { RunOptions, RunResult } from './child.ts';
export { credentialsOf, issueCertificate, makeAuthority } from './credentials.ts';
export type { CertificateWish, Credentials } from './credentials.ts';
export { vmCheck } from './disk-check.ts';
export type { DiskVerdict } from './disk-record.ts';
export { LabError, messageOf } from './errors.ts';
export {
  cutTraffic,
  heldFinishes,
  holdClosing,
  holdFinish,
  killGuest,
  mendTraffic,
  releaseClosing,
  releaseFinish,
  restartDaemon,
  shortenPatience,
  signalDaemon,
  startDaemon,
  usualPatience,
} from './faults.ts';
export type { Traffic } from './faults.ts';
export { changeLink, changeRate, execCommand, powerOff, powerOn, virsh } from './host.ts';
export { allLabs, labRef } from './lab.ts';
export type { Accelerator, DiskKind, LabRef } from './lab.ts';
export { labDown, labStatus, labUp } from './lifecycle.ts';
export type { HostStatus, LabStatus, UpOptions } from './lifecycle.ts';
export { machineRelease, RELEASES } from './release.ts';
export type { Release } from './release.ts';
export { SECTOR_BEATS_PER_SECOND, SECTOR_BYTES } from './boot-sector.ts';
export { readSector } from './sector-log.ts';
export type { SectorReport } from './sector-log.ts';
export { readTicks } from './serial-log.ts';
export type { TickReport } from './serial-log.ts';
export { whenStopped } from './stopping.ts';
export type { Stopping } from './stopping.ts';
export { temporaryLab } from './temporary-lab.ts';
export type { TemporaryLab } from './temporary-lab.ts';
export { vmCreate, vmDelete, vmList, vmLog, vmLogFile } from './vm.ts';
export type { VmCreateOptions, VmInfo, VmStatus } from './vm.ts';
export { waitFor } from './wait.ts';
export type { WaitOptions } from './wait.ts';
