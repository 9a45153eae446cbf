/**
 * The driver of the SnapshotPort, metadata of snapshots and checkpoints: read, taken off, put back. libvirt refuses to
 * migrate a domain that has any; the images are never touched here. All are read before the first goes, since children
 * lose their parent with its metadata.
 */
import type { VmUuid } from '@ferry/core';
import type { SnapshotMetadata, SnapshotPort } from '@ferry/engine';
import {
  LibvirtError,
  VIR_DOMAIN_CHECKPOINT_CREATE,
  VIR_DOMAIN_CHECKPOINT_DELETE,
  VIR_DOMAIN_CHECKPOINT_LIST,
  VIR_DOMAIN_SNAPSHOT_CREATE,
  VIR_DOMAIN_SNAPSHOT_DELETE,
  VIR_DOMAIN_SNAPSHOT_LIST,
  VIR_DOMAIN_SNAPSHOT_XML,
  VIR_ERR,
  type DomainRef,
  type HostSession,
  type SnapshotRef,
} from '@ferry/libvirt';

export function snapshotsOf(session: HostSession): SnapshotPort {
  const listSnapshots = (domain: DomainRef, signal: AbortSignal) =>
    session.domainSnapshots(domain, VIR_DOMAIN_SNAPSHOT_LIST.TOPOLOGICAL, { signal });
  /** A driver without checkpoints has none. */
  const listCheckpoints = async (domain: DomainRef, signal: AbortSignal): Promise<readonly SnapshotRef[]> => {
    try {
      return await session.domainCheckpoints(domain, VIR_DOMAIN_CHECKPOINT_LIST.TOPOLOGICAL, { signal });
    } catch (error) {
      if (error instanceof LibvirtError && error.code === VIR_ERR.NO_SUPPORT) return [];
      throw error;
    }
  };
  const present = async (uuid: VmUuid, signal: AbortSignal) => {
    const domain = await session.domainByUuid(uuid, { signal });
    const [snapshots, checkpoints] = await Promise.all([
      listSnapshots(domain, signal),
      listCheckpoints(domain, signal),
    ]);
    return { domain, snapshots, checkpoints };
  };
  return {
    async read(uuid, signal) {
      const { snapshots, checkpoints } = await present(uuid, signal);
      const found: SnapshotMetadata[] = [];
      for (const ref of snapshots) {
        const [xml, current] = await Promise.all([
          session.snapshotXml(ref, VIR_DOMAIN_SNAPSHOT_XML.SECURE, { signal }),
          session.snapshotIsCurrent(ref, { signal }),
        ]);
        found.push({ kind: 'snapshot', name: ref.name, xml, current });
      }
      for (const ref of checkpoints)
        found.push({
          kind: 'checkpoint',
          name: ref.name,
          xml: await session.checkpointXml(ref, VIR_DOMAIN_SNAPSHOT_XML.SECURE, { signal }),
          current: false,
        });
      return found;
    },
    async strip(uuid, stored, signal) {
      const { snapshots, checkpoints } = await present(uuid, signal);
      const names = (kind: SnapshotMetadata['kind']) =>
        new Set(stored.filter((each) => each.kind === kind).map(({ name }) => name));
      // one that was taken after the others were read is nobody's to lose: the move fails on it, and says so
      for (const ref of checkpoints.toReversed())
        if (names('checkpoint').has(ref.name))
          await session.checkpointDelete(ref, VIR_DOMAIN_CHECKPOINT_DELETE.METADATA_ONLY, { signal });
      for (const ref of snapshots.toReversed())
        if (names('snapshot').has(ref.name))
          await session.snapshotDelete(ref, VIR_DOMAIN_SNAPSHOT_DELETE.METADATA_ONLY, { signal });
    },
    async restore(uuid, stored, signal) {
      const { domain, snapshots, checkpoints } = await present(uuid, signal);
      const there = {
        snapshot: new Set(snapshots.map(({ name }) => name)),
        checkpoint: new Set(checkpoints.map(({ name }) => name)),
      };
      for (const { kind, name, xml, current } of stored) {
        if (there[kind].has(name)) continue;
        const create = (metadata: string): Promise<unknown> =>
          kind === 'snapshot'
            ? session.domainSnapshotCreate(
                domain,
                metadata,
                VIR_DOMAIN_SNAPSHOT_CREATE.REDEFINE | (current ? VIR_DOMAIN_SNAPSHOT_CREATE.CURRENT : 0),
                { signal },
              )
            : session.domainCheckpointCreate(domain, metadata, VIR_DOMAIN_CHECKPOINT_CREATE.REDEFINE, { signal });
        try {
          await create(xml);
        } catch (refusal) {
          if (!(refusal instanceof LibvirtError) || !/watchdog model 'itco'/.test(refusal.message)) throw refusal;
          await create(withoutNamedWatchdog(xml));
        }
      }
    },
  };
}

/**
 * The definitions inside the metadata of a snapshot, as libvirt before 9.1 reads them: the watchdog that every q35 has
 * was given a name then. libvirt leaves it out of definitions for other hosts, and knows no such form of a snapshot.
 */
export const withoutNamedWatchdog = (metadata: string): string =>
  metadata.replaceAll(/\s*<watchdog model='itco' action='reset'\/>/g, '');
