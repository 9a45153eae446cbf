// The domain events this package listens to: how each is registered, read from the wire, and shown to callers.
// Pure. All of them together are chosen so that no change of a domain's state, devices or metadata goes unnoticed.
import { VIR_DOMAIN_EVENT_ID } from './constants.ts';
import type { Codec } from './xdr.ts';
import type { XdrReader } from './xdr-bytes.ts';
import { i32, struct, u64 } from './xdr.ts';
import type { DomainRef, TypedParams } from './wire-types.ts';
import { domain, optionalStr, str, toSafeNumber, toTypedParams, wireParams } from './wire-types.ts';

export type DomainEvent =
  /** `event` is one of VIR_DOMAIN_EVENT, `detail` of the VIR_DOMAIN_EVENT_... group of that event. */
  | { readonly type: 'lifecycle'; readonly domain: DomainRef; readonly event: number; readonly detail: number }
  | { readonly type: 'reboot'; readonly domain: DomainRef }
  | {
      readonly type: 'io-error';
      readonly domain: DomainRef;
      readonly sourcePath: string;
      readonly device: string;
      readonly action: number;
      readonly reason: string;
    }
  | {
      readonly type: 'disk-change';
      readonly domain: DomainRef;
      readonly oldSourcePath: string | undefined;
      readonly newSourcePath: string | undefined;
      readonly device: string;
      readonly reason: number;
    }
  | { readonly type: 'tray-change'; readonly domain: DomainRef; readonly device: string; readonly reason: number }
  | { readonly type: 'balloon-change'; readonly domain: DomainRef; readonly memoryBytes: number }
  | { readonly type: 'device-added'; readonly domain: DomainRef; readonly device: string }
  | { readonly type: 'device-removed'; readonly domain: DomainRef; readonly device: string }
  | { readonly type: 'device-removal-failed'; readonly domain: DomainRef; readonly device: string }
  /** `target` is the disk's name in the guest, as in vda. */
  | {
      readonly type: 'block-job';
      readonly domain: DomainRef;
      readonly target: string;
      readonly job: number;
      readonly status: number;
    }
  | { readonly type: 'tunable'; readonly domain: DomainRef; readonly params: TypedParams }
  | { readonly type: 'agent-lifecycle'; readonly domain: DomainRef; readonly state: number; readonly reason: number }
  | { readonly type: 'migration-iteration'; readonly domain: DomainRef; readonly iteration: number }
  /** For a migration, libvirt sends it on success only. */
  | { readonly type: 'job-completed'; readonly domain: DomainRef; readonly params: TypedParams }
  | {
      readonly type: 'metadata-change';
      readonly domain: DomainRef;
      readonly metadataType: number;
      readonly namespaceUri: string | undefined;
    }
  | {
      readonly type: 'memory-device-size-change';
      readonly domain: DomainRef;
      readonly device: string;
      readonly memoryBytes: number;
    };

/** Marks the place where events were dropped because nobody read them in time: take a new snapshot. */
export interface EventGap {
  readonly type: 'gap';
  readonly dropped: number;
}

/** One kind of event: its registration number, the procedure number of its messages, and how to read one. */
export interface EventKind {
  readonly eventId: number;
  readonly procedure: number;
  readonly read: (reader: XdrReader) => DomainEvent;
}

type Members<F> = { readonly [K in keyof F]: F[K] extends Codec<infer T> ? T : never };
type Head = { readonly callbackId: number; readonly domain: DomainRef };

function kind<F extends { readonly [K in keyof F]: Codec<F[K] extends Codec<infer T> ? T : never> }>(
  eventId: number,
  procedure: number,
  members: F,
  show: (domain: DomainRef, values: Members<F>) => DomainEvent,
): EventKind {
  const head: Codec<Head> = struct({ callbackId: i32, domain });
  const rest: Codec<Members<F>> = struct(members) as Codec<Members<F>>;
  return {
    eventId,
    procedure,
    read: (reader) => {
      const { domain: ref } = head.read(reader);
      return show(ref, rest.read(reader));
    },
  };
}

const ID = VIR_DOMAIN_EVENT_ID;
const deviceOnly = { device: str };

export const eventKinds: readonly EventKind[] = [
  kind(ID.LIFECYCLE, 318, { event: i32, detail: i32 }, (ref, { event, detail }) => ({
    type: 'lifecycle',
    domain: ref,
    event,
    detail,
  })),
  kind(ID.REBOOT, 319, {}, (ref) => ({ type: 'reboot', domain: ref })),
  kind(ID.IO_ERROR_REASON, 324, { sourcePath: str, device: str, action: i32, reason: str }, (ref, values) => ({
    type: 'io-error',
    domain: ref,
    ...values,
  })),
  kind(
    ID.DISK_CHANGE,
    327,
    { oldSourcePath: optionalStr, newSourcePath: optionalStr, device: str, reason: i32 },
    (ref, values) => ({ type: 'disk-change', domain: ref, ...values }),
  ),
  kind(ID.TRAY_CHANGE, 328, { device: str, reason: i32 }, (ref, values) => ({
    type: 'tray-change',
    domain: ref,
    ...values,
  })),
  kind(ID.BALLOON_CHANGE, 331, { actualKiB: u64 }, (ref, { actualKiB }) => ({
    type: 'balloon-change',
    domain: ref,
    memoryBytes: toSafeNumber(actualKiB * 1024n, 'the balloon size'),
  })),
  kind(ID.DEVICE_REMOVED, 333, deviceOnly, (ref, { device }) => ({ type: 'device-removed', domain: ref, device })),
  kind(ID.BLOCK_JOB_2, 339, { target: str, job: i32, status: i32 }, (ref, values) => ({
    type: 'block-job',
    domain: ref,
    ...values,
  })),
  kind(ID.TUNABLE, 346, { params: wireParams(2048) }, (ref, { params }) => ({
    type: 'tunable',
    domain: ref,
    params: toTypedParams(params),
  })),
  kind(ID.AGENT_LIFECYCLE, 348, { state: i32, reason: i32 }, (ref, values) => ({
    type: 'agent-lifecycle',
    domain: ref,
    ...values,
  })),
  kind(ID.DEVICE_ADDED, 354, deviceOnly, (ref, { device }) => ({ type: 'device-added', domain: ref, device })),
  kind(ID.MIGRATION_ITERATION, 359, { iteration: i32 }, (ref, { iteration }) => ({
    type: 'migration-iteration',
    domain: ref,
    iteration,
  })),
  kind(ID.JOB_COMPLETED, 363, { params: wireParams(64) }, (ref, { params }) => ({
    type: 'job-completed',
    domain: ref,
    params: toTypedParams(params),
  })),
  kind(ID.DEVICE_REMOVAL_FAILED, 367, deviceOnly, (ref, { device }) => ({
    type: 'device-removal-failed',
    domain: ref,
    device,
  })),
  kind(ID.METADATA_CHANGE, 379, { metadataType: i32, namespaceUri: optionalStr }, (ref, values) => ({
    type: 'metadata-change',
    domain: ref,
    ...values,
  })),
  kind(ID.MEMORY_DEVICE_SIZE_CHANGE, 438, { device: str, sizeKiB: u64 }, (ref, { device, sizeKiB }) => ({
    type: 'memory-device-size-change',
    domain: ref,
    device,
    memoryBytes: toSafeNumber(sizeKiB * 1024n, 'the memory size'),
  })),
];
