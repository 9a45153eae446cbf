// The part of a HostSession that speaks of snapshots and checkpoints. It adds nothing to libvirt's calls.
import type { CallOptions } from './connection.ts';
import type { Procedure } from './procedure.ts';
import { snapshotProcedures as p } from './snapshot-procedures.ts';
import type { DomainRef, SnapshotRef } from './wire-types.ts';

export interface SnapshotCalls {
  /** `flags` are bits of VIR_DOMAIN_SNAPSHOT_LIST; TOPOLOGICAL gives parents before their children. */
  domainSnapshots(dom: DomainRef, flags?: number, options?: CallOptions): Promise<readonly SnapshotRef[]>;
  /** `flags` are VIR_DOMAIN_SNAPSHOT_XML. */
  snapshotXml(snapshot: SnapshotRef, flags?: number, options?: CallOptions): Promise<string>;
  snapshotIsCurrent(snapshot: SnapshotRef, options?: CallOptions): Promise<boolean>;
  /** `flags` are VIR_DOMAIN_SNAPSHOT_CREATE; REDEFINE puts metadata back without taking a snapshot. */
  domainSnapshotCreate(dom: DomainRef, xml: string, flags?: number, options?: CallOptions): Promise<SnapshotRef>;
  /** `flags` are VIR_DOMAIN_SNAPSHOT_DELETE; METADATA_ONLY leaves the images alone. */
  snapshotDelete(snapshot: SnapshotRef, flags?: number, options?: CallOptions): Promise<void>;
  domainCheckpoints(dom: DomainRef, flags?: number, options?: CallOptions): Promise<readonly SnapshotRef[]>;
  checkpointXml(checkpoint: SnapshotRef, flags?: number, options?: CallOptions): Promise<string>;
  domainCheckpointCreate(dom: DomainRef, xml: string, flags?: number, options?: CallOptions): Promise<SnapshotRef>;
  checkpointDelete(checkpoint: SnapshotRef, flags?: number, options?: CallOptions): Promise<void>;
}

export function snapshotCalls(
  call: <A, R>(procedure: Procedure<A, R>, args: A, options: CallOptions | undefined) => Promise<R>,
): SnapshotCalls {
  return {
    domainSnapshots: async (dom, flags, options) =>
      (await call(p.domainListAllSnapshots, { dom, needResults: 1, flags: flags ?? 0 }, options)).snapshots,
    snapshotXml: async (snapshot, flags, options) =>
      (await call(p.domainSnapshotGetXmlDesc, { snapshot, flags: flags ?? 0 }, options)).xml,
    snapshotIsCurrent: async (snapshot, options) =>
      (await call(p.domainSnapshotIsCurrent, { snapshot, flags: 0 }, options)).current,
    domainSnapshotCreate: async (dom, xml, flags, options) =>
      (await call(p.domainSnapshotCreateXml, { dom, xml, flags: flags ?? 0 }, options)).snapshot,
    snapshotDelete: (snapshot, flags, options) =>
      call(p.domainSnapshotDelete, { snapshot, flags: flags ?? 0 }, options),
    domainCheckpoints: async (dom, flags, options) =>
      (await call(p.domainListAllCheckpoints, { dom, needResults: 1, flags: flags ?? 0 }, options)).snapshots,
    checkpointXml: async (snapshot, flags, options) =>
      (await call(p.domainCheckpointGetXmlDesc, { snapshot, flags: flags ?? 0 }, options)).xml,
    domainCheckpointCreate: async (dom, xml, flags, options) =>
      (await call(p.domainCheckpointCreateXml, { dom, xml, flags: flags ?? 0 }, options)).snapshot,
    checkpointDelete: (snapshot, flags, options) =>
      call(p.domainCheckpointDelete, { snapshot, flags: flags ?? 0 }, options),
  };
}
