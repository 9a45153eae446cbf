// The structures that libvirt's procedures share: handles, typed parameters, the error. Limits are libvirt's.
// Pure. `TypedParams` is the plain shape callers see; `WireParam` is what travels.
import type { LibvirtErrorFields } from './errors.ts';
import { InvalidArgumentError, ProtocolError } from './errors.ts';
import type { Codec } from './xdr.ts';
import { array, i32, optional, string, struct, uuid } from './xdr.ts';

export const MAX_STRING_BYTES = 4_194_304;
export const MAX_DOMAINS = 16_384;
export const MAX_COOKIE_BYTES = 4_194_304;

/** What libvirt calls a domain handle. The server finds the domain by its UUID; `id` is -1 while it is not running. */
export interface DomainRef {
  readonly name: string;
  readonly uuid: string;
  readonly id: number;
}

export const str = string(MAX_STRING_BYTES);
export const optionalStr = optional(str);
export const domain: Codec<DomainRef> = struct({ name: str, uuid, id: i32 });
const objectWithUuid = struct({ name: str, uuid });

/** A storage pool; the server finds it by its UUID. */
export interface PoolRef {
  readonly name: string;
  readonly uuid: string;
}
/** A storage volume; the server finds it by pool and name. `key` is its path, for pools of files. */
export interface VolumeRef {
  readonly pool: string;
  readonly name: string;
  readonly key: string;
}
/** A network of libvirt's own; the server finds it by its UUID. */
export interface NetworkRef {
  readonly name: string;
  readonly uuid: string;
}
export interface NetworkFilterRef {
  readonly name: string;
  readonly uuid: string;
}
/** `usageType` is VIR_SECRET_USAGE_TYPE: 0 none, 1 volume, 2 ceph, 3 iscsi, 4 tls, 5 vtpm. */
export interface SecretRef {
  readonly uuid: string;
  readonly usageType: number;
  readonly usageId: string;
}
/** A snapshot or a checkpoint of a domain. */
export interface SnapshotRef {
  readonly name: string;
  readonly dom: DomainRef;
}

export const pool: Codec<PoolRef> = objectWithUuid;
export const volume: Codec<VolumeRef> = struct({ pool: str, name: str, key: str });
export const virtualNetwork: Codec<NetworkRef> = objectWithUuid;
export const networkFilter: Codec<NetworkFilterRef> = objectWithUuid;
export const secret: Codec<SecretRef> = struct({ uuid, usageType: i32, usageId: str });
export const snapshot: Codec<SnapshotRef> = struct({ name: str, dom: domain });

export type WireParam = { readonly field: string } & (
  | { readonly kind: 'int' | 'uint' | 'double'; readonly value: number }
  | { readonly kind: 'llong' | 'ullong'; readonly value: bigint }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'string'; readonly value: string }
);

const ParamType = { INT: 1, UINT: 2, LLONG: 3, ULLONG: 4, DOUBLE: 5, BOOLEAN: 6, STRING: 7 } as const;

export const wireParam: Codec<WireParam> = {
  read: (r) => {
    const field = r.string(MAX_STRING_BYTES);
    const type = r.i32();
    switch (type) {
      case ParamType.INT:
        return { field, kind: 'int', value: r.i32() };
      case ParamType.UINT:
        return { field, kind: 'uint', value: r.u32() };
      case ParamType.LLONG:
        return { field, kind: 'llong', value: r.i64() };
      case ParamType.ULLONG:
        return { field, kind: 'ullong', value: r.u64() };
      case ParamType.DOUBLE:
        return { field, kind: 'double', value: r.f64() };
      case ParamType.BOOLEAN:
        return { field, kind: 'boolean', value: r.i32() !== 0 };
      case ParamType.STRING:
        return { field, kind: 'string', value: r.string(MAX_STRING_BYTES) };
      default:
        throw new ProtocolError(`the parameter "${field.slice(0, 80)}" has the unknown type ${type}`);
    }
  },
  write: (w, param) => {
    w.string(param.field, MAX_STRING_BYTES);
    switch (param.kind) {
      case 'int':
        w.i32(ParamType.INT);
        return w.i32(param.value);
      case 'uint':
        w.i32(ParamType.UINT);
        return w.u32(param.value);
      case 'llong':
        w.i32(ParamType.LLONG);
        return w.i64(param.value);
      case 'ullong':
        w.i32(ParamType.ULLONG);
        return w.u64(param.value);
      case 'double':
        w.i32(ParamType.DOUBLE);
        return w.f64(param.value);
      case 'boolean':
        w.i32(ParamType.BOOLEAN);
        return w.i32(param.value ? 1 : 0);
      case 'string':
        w.i32(ParamType.STRING);
        return w.string(param.value, MAX_STRING_BYTES);
    }
  },
};

export const wireParams = (limit: number): Codec<readonly WireParam[]> => array(wireParam, limit);

/** Of all records of one answer together: it bounds what reading them may cost. */
const MAX_STATS_PARAMS = 262_144;
const statsRecordList = array(struct({ dom: domain, params: wireParams(MAX_STATS_PARAMS) }), MAX_DOMAINS);

/** Statistics of domains. */
export const statsRecords: typeof statsRecordList = {
  read: (r) => {
    let left = MAX_STATS_PARAMS;
    return Array.from({ length: r.count(MAX_DOMAINS) }, () => {
      const dom = domain.read(r);
      const params = wireParams(left).read(r);
      left -= params.length;
      return { dom, params };
    });
  },
  write: statsRecordList.write,
};

/**
 * Typed parameters by name. A 64-bit value is a number where that is exact, a bigint beyond.
 * Of a name that comes more than once the first counts, as with libvirt's own getters.
 */
export type TypedParams = ReadonlyMap<string, number | bigint | string | boolean>;

export function toTypedParams(list: readonly WireParam[]): TypedParams {
  const params = new Map<string, number | bigint | string | boolean>();
  for (const { field, value } of list) {
    if (!params.has(field)) params.set(field, typeof value === 'bigint' ? narrow(value) : value);
  }
  return params;
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** A 64-bit quantity as a number; one that a number cannot hold exactly is an error, not a rounding. */
export function toSafeNumber(value: bigint, what: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new ProtocolError(`${what} is ${value}, more than can be true`);
  return number;
}

/** A number for a 64-bit place on the wire. */
export function toWireU64(value: number, what: string): bigint {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new InvalidArgumentError(`${what} must be a whole number from 0 on, not ${value}`);
  return BigInt(value);
}

const errorOnWire = struct({
  code: i32,
  domain: i32,
  message: optionalStr,
  level: i32,
  dom: optional(domain),
  str1: optionalStr,
  str2: optionalStr,
  str3: optionalStr,
  int1: i32,
  int2: i32,
  net: optional(objectWithUuid),
});

/** Sentences, kept and shown: more than this is no sentence. */
const MAX_ERROR_TEXT = 2_000;
const shortened = <T extends string | undefined>(text: T): T | string =>
  text !== undefined && text.length > MAX_ERROR_TEXT ? `${text.slice(0, MAX_ERROR_TEXT)}…` : text;

/** The domain and network members are unused by libvirt and not kept; very long texts are cut. */
export const errorPayload: Codec<LibvirtErrorFields> = {
  read: (r) => {
    const { code, domain: errorDomain, message, level, str1, str2, str3, int1, int2 } = errorOnWire.read(r);
    return {
      code,
      domain: errorDomain,
      message: shortened(message ?? `libvirt error ${code} without a text`),
      level,
      str1: shortened(str1),
      str2: shortened(str2),
      str3: shortened(str3),
      int1,
      int2,
    };
  },
  write: (w, value) => errorOnWire.write(w, { ...value, dom: undefined, net: undefined }),
};
