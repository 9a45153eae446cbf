// The rows of procedures.ts that speak of a domain's snapshots and checkpoints, whose metadata a migration has to
// carry.
import { row, slow } from './procedure.ts';
import { domain, MAX_DOMAINS, snapshot, str } from './wire-types.ts';
import { array, flag, i32, nothing, struct, u32 } from './xdr.ts';

const MAX_SNAPSHOTS = MAX_DOMAINS;
const createArgs = struct({ dom: domain, xml: str, flags: u32 });
const listArgs = struct({ dom: domain, needResults: i32, flags: u32 });
const oneWithFlags = struct({ snapshot, flags: u32 });
const one = struct({ snapshot });
const many = struct({ snapshots: array(snapshot, MAX_SNAPSHOTS), count: i32 });

export const snapshotProcedures = {
  domainSnapshotCreateXml: slow(row(185, 'DOMAIN_SNAPSHOT_CREATE_XML', createArgs, one)),
  domainSnapshotGetXmlDesc: row(186, 'DOMAIN_SNAPSHOT_GET_XML_DESC', oneWithFlags, struct({ xml: str })),
  domainSnapshotDelete: slow(row(193, 'DOMAIN_SNAPSHOT_DELETE', oneWithFlags, nothing)),
  domainSnapshotIsCurrent: row(271, 'DOMAIN_SNAPSHOT_IS_CURRENT', oneWithFlags, struct({ current: flag })),
  domainListAllSnapshots: row(274, 'DOMAIN_LIST_ALL_SNAPSHOTS', listArgs, many),
  domainCheckpointCreateXml: row(411, 'DOMAIN_CHECKPOINT_CREATE_XML', createArgs, one),
  domainCheckpointGetXmlDesc: row(412, 'DOMAIN_CHECKPOINT_GET_XML_DESC', oneWithFlags, struct({ xml: str })),
  domainListAllCheckpoints: row(413, 'DOMAIN_LIST_ALL_CHECKPOINTS', listArgs, many),
  domainCheckpointDelete: row(417, 'DOMAIN_CHECKPOINT_DELETE', oneWithFlags, nothing),
} as const;
