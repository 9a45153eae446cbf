/** What a fake host has, and what its drivers need of the fleet around it. */
import {
  FerryError,
  vmUuid,
  type CallFailure,
  type DomainState,
  type SeenFile,
  type StateReason,
  type VolumeFacts,
} from '@ferry/core';
import type { Clock, HostChange } from '../ports/ports.ts';
import type { Queue } from '../events/bounded-queue.ts';

export interface FakeDomain {
  readonly uuid: string;
  readonly name: string;
  state: DomainState;
  reason: StateReason;
  persistent: boolean;
  autostart: boolean;
  /** Path of its one disk. */
  readonly disk?: string;
}

export interface FakeHost {
  readonly uri: string;
  machineUuid: string;
  readonly domains: Map<string, FakeDomain>;
  /** By path. */
  readonly volumes: Map<string, VolumeFacts>;
  /** In a folder that all share: what this host sees in place of what the others do. */
  readonly ownFiles: Map<string, SeenFile | 'none'>;
  readonly watchers: Set<Queue<HostChange>>;
  readonly migrating: Set<string>;
  /** Of these it has the incoming half. */
  readonly incoming: Set<string>;
  reachable: boolean;
  /** What is seen of a domain is answered after this time. */
  slowMs: number;
  freeMemoryBytes: number;
  /** Its daemon takes what is sent and says nothing. */
  hangs: boolean;
  /** Why its QEMU starts nothing. */
  broken?: string;
  /** Its daemon lets further clients wait. */
  full: boolean;
  /** Hosts of one SAN see the same devices. */
  san: string;
  /** Knows definitions of newer hosts only as they are given to other hosts. */
  older: boolean;
  /** Deleting a volume fails. */
  sticky: boolean;
  drop: () => void;
}

/** What the next migration does: how long it takes, whether the call fails, whether the guest moves nevertheless. */
export interface NextMove {
  durationMs: number;
  failure?: CallFailure;
  moves: boolean;
  /** What is measured of any guest; absent: the hosts cannot. */
  dirtyBytesPerSecond?: number | Error;
}

/** The fleet as the drivers of one host see it. */
export interface FakeSurroundings {
  readonly clock: Clock;
  readonly next: NextMove;
  /** Throws FerryError `host-unreachable`. */
  readonly byUri: (uri: string) => FakeHost;
  readonly nameOf: (host: FakeHost) => string;
  /** Keeps a call that changes something. */
  readonly note: (host: FakeHost, call: string) => void;
}

export const tell = (host: FakeHost, uuid: string, type: 'domain' | 'migration-suspended' = 'domain'): void => {
  for (const watcher of host.watchers) watcher.push({ type, uuid: vmUuid(uuid) });
};

/** Throws FerryError `host-unreachable`. */
export const mustAnswer = (host: FakeHost): void => {
  if (!host.reachable) throw new FerryError('host-unreachable', `${host.uri} does not answer.`);
};

/** Waits for good where the daemon hangs, until the signal aborts. */
export const mustSpeak = async (host: FakeHost, clock: Clock, signal: AbortSignal): Promise<void> => {
  mustAnswer(host);
  while (host.hangs) await clock.sleep(100, signal);
};

export const domainOn = (host: FakeHost, uuid: string): FakeDomain => {
  mustAnswer(host);
  const domain = host.domains.get(uuid);
  if (domain === undefined) throw new Error(`no domain ${uuid}`);
  return domain;
};
