/** Port: what definitions name of a host beside storage. */
import type { HostResources, ResourceRef } from '@ferry/core';

/** A resource as it can be made on another host. */
export interface ResourceCopy {
  readonly xml: string;
  /** Of a secret. */
  readonly value?: Uint8Array;
}

/** Networks, filters and secrets of a host. */
export interface ResourcePort {
  /** Of these secrets it is asked, too, whether they have a value; of these networks and bridges, their MTU. */
  look(secrets: readonly string[], links: readonly string[], signal: AbortSignal): Promise<HostResources>;
  read(ref: ResourceRef, signal: AbortSignal): Promise<ResourceCopy>;
  /** A network is started, too. */
  create(ref: ResourceRef, copy: ResourceCopy, signal: AbortSignal): Promise<void>;
  /** What is not there is fine. */
  remove(ref: ResourceRef, signal: AbortSignal): Promise<void>;
}
