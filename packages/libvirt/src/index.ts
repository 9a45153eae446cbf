// The libvirt RPC client: what other packages may use. Everything else in this package is its own business.
export * from './constants.ts';
export type { CallOptions } from './connection.ts';
export {
  ConnectError,
  ConnectionLostError,
  InvalidArgumentError,
  LibvirtError,
  LibvirtUriError,
  ProtocolError,
} from './errors.ts';
export type { ConnectErrorKind, LibvirtErrorFields, LossReason } from './errors.ts';
export type { DomainEvent, EventGap } from './events.ts';
export type { GuestCalls, GuestTime } from './guest-calls.ts';
export type {
  BlockInfo,
  DomainInfo,
  DomainState,
  DomainStatsOptions,
  DomainStatsRecord,
  GetMetadata,
  HostSession,
  MigratePeerToPeer,
  NodeInfo,
  OpenHostOptions,
  SetMetadata,
  SubscribeOptions,
} from './host-session.ts';
export type { KeepaliveOptions } from './keepalive.ts';
export type { MigrateParams } from './migrate.ts';
export type { MigrationSide, MigrationStep } from './migration-side.ts';
export type { Emulated, NodeCalls } from './node-calls.ts';
export { openHostSession } from './session.ts';
export type { ResourceCalls } from './resource-calls.ts';
export type { SnapshotCalls } from './snapshot-calls.ts';
export type { PoolInfo, StorageCalls, VolumeInfo } from './storage-calls.ts';
export type { StreamPiece } from './stream.ts';
export { parseUri, placeOf } from './uri.ts';
export type { LibvirtUri, SshUri, TcpUri, TlsUri, UnixUri } from './uri.ts';
export type { SshSettings } from './ssh.ts';
export type { AccessSettings } from './transport.ts';
export type {
  DomainRef,
  NetworkFilterRef,
  NetworkRef,
  PoolRef,
  SecretRef,
  SnapshotRef,
  TypedParams,
  VolumeRef,
} from './wire-types.ts';
export type { VolumeStreams } from './volume-streams.ts';
export {
  editXml,
  escapeXml,
  parseXml,
  withAttribute,
  withoutAttribute,
  withoutElement,
  withText,
  xmlAt,
  xmlChild,
  XmlError,
} from './xml.ts';
export type { XmlEdit, XmlElement } from './xml.ts';
