/**
 * The driver of the Hypervisor port on the libvirt client: one session per host. It translates and calls; it decides
 * nothing.
 */
import type { VmUuid } from '@ferry/core';
import type { FilePort, GuestPort, HostLink, Hypervisor } from '@ferry/engine';
import {
  openHostSession,
  parseUri,
  placeOf,
  type AccessSettings,
  type DomainRef,
  type HostSession,
} from '@ferry/libvirt';
import { connectFailure, hostFailure, translated } from './failure.ts';
import { definitionsOf, describeDefinition } from './definitions.ts';
import { measureDirtyRate, residentBytes } from './dirty-rate.ts';
import { filesOf } from './files.ts';
import { announceGuest, logOf, setGuestClock } from './guest.ts';
import { instancesOf } from './instances.ts';
import { inventoryOf } from './inventory.ts';
import { pathsOf } from './paths.ts';
import { poolLender } from './pool-lending.ts';
import { powerOf } from './power.ts';
import { resourcesOf } from './resources.ts';
import { identityOfDefinition, rewriteDefinition } from './rewrite.ts';
import { savedMemoryOf } from './saved-memory.ts';
import { snapshotsOf } from './snapshots.ts';
import { transferOf } from './transfer.ts';
import { volumesOf } from './volumes.ts';

export function libvirtHypervisor(access: AccessSettings = {}): Hypervisor {
  return {
    describeDefinition,
    identityOfDefinition,
    rewriteDefinition,
    async connect(uri, signal) {
      try {
        return linkOf(await openHostSession(uri, { signal, access }));
      } catch (error) {
        throw connectFailure(uri, error);
      }
    },
  };
}

function linkOf(session: HostSession): HostLink {
  const pools = poolLender(session);
  const place = placeOf(parseUri(session.uri));
  const files = filesOf(session, pools);
  const savedMemory = savedMemoryOf(session, files);
  const { transfer, steering } = transferOf(session);
  return {
    inventory: translated(place, inventoryOf(session)),
    instances: translated(place, instancesOf(session)),
    power: translated(place, powerOf(session, savedMemory)),
    transfer: translated(place, transfer),
    steering: translated(place, steering),
    guest: translated(place, guestOf(session, files)),
    definitions: translated(place, definitionsOf(session, pools, files, savedMemory)),
    savedMemory: translated(place, savedMemory),
    snapshots: translated(place, snapshotsOf(session)),
    volumes: translated(place, volumesOf(session, pools)),
    paths: translated(place, pathsOf(session, pools)),
    files: translated(place, files),
    resources: translated(place, resourcesOf(session)),
    takesAnother: async (signal) =>
      session.takesAnother({ signal }).catch((error: unknown) => {
        throw hostFailure(place, error);
      }),
    certificateUntil: session.certificateUntil,
    closed: session.closed,
    close: () => session.close(),
  };
}

function guestOf(session: HostSession, files: Pick<FilePort, 'read'>): GuestPort {
  const must = (uuid: VmUuid, signal: AbortSignal): Promise<DomainRef> => session.domainByUuid(uuid, { signal });
  return {
    async setTime(uuid, signal) {
      return setGuestClock(session, await must(uuid, signal), signal);
    },
    log: (vm, lengthBytes, signal) => logOf(files, vm, lengthBytes, signal),
    async announce(uuid, signal) {
      await announceGuest(session, await must(uuid, signal), signal);
    },
    async dirtyRate(uuid, seconds, signal) {
      return measureDirtyRate(session, await must(uuid, signal), seconds, signal);
    },
    async residentBytes(uuid, signal) {
      return residentBytes(session, await must(uuid, signal), signal);
    },
  };
}
