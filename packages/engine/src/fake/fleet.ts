/**
 * For tests of the engine: a fleet of hosts that behave as libvirt does as far as the engine can tell, and a clock of
 * virtual time. It proves nothing about real hosts.
 */
import { FerryError, noNeeds } from '@ferry/core';
import type { Clock, Hypervisor, Log } from '../ports/ports.ts';
import { virtualTime } from '../time/virtual-time.ts';
import { tell, type FakeDomain, type FakeHost, type FakeSurroundings, type NextMove } from './host.ts';
import { factsOf, fakeLink } from './link.ts';

export interface FakeFleet {
  readonly hypervisor: Hypervisor;
  readonly hosts: ReadonlyMap<string, FakeHost>;
  readonly next: NextMove;
  /** Every call that changes something, in order: `host call`. */
  readonly calls: string[];
  add(name: string): FakeHost;
  /** The address leads to this host until it is disposed. */
  alias(uri: string, host: string): Disposable;
  run(host: string, domain: Partial<FakeDomain> & { readonly uuid: string; readonly name: string }): void;
}

export const uriOf = (name: string): string => `qemu+tcp://${name}/system`;
const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/'));

export function fakeFleet(clock: Clock): FakeFleet {
  const hosts = new Map<string, FakeHost>();
  const calls: string[] = [];
  const next: NextMove = { durationMs: 1_000, moves: true };
  const aliases = new Map<string, string>();
  const byUri = (uri: string): FakeHost => {
    const host = hosts.get(aliases.get(uri) ?? '') ?? [...hosts.values()].find((each) => each.uri === uri);
    if (host?.reachable !== true) throw new FerryError('host-unreachable', `${uri} does not answer.`);
    return host;
  };
  const nameOf = (host: FakeHost): string => [...hosts].find(([, each]) => each === host)?.[0] ?? '?';
  const surroundings: FakeSurroundings = {
    clock,
    next,
    byUri,
    nameOf,
    note: (host, call) => void calls.push(`${nameOf(host)} ${call}`),
  };

  return {
    hosts,
    next,
    calls,
    hypervisor: {
      async connect(uri) {
        return fakeLink(byUri(uri), surroundings);
      },
      identityOfDefinition: (json) => {
        const { uuid, name, disk } = JSON.parse(json) as FakeDomain;
        return { uuid, name, disks: disk === undefined ? {} : { vda: disk }, needs: noNeeds };
      },
      rewriteDefinition: (xml) => xml,
      describeDefinition: (json) => factsOf(JSON.parse(json) as FakeDomain),
    },
    add(name) {
      const host: FakeHost = {
        uri: uriOf(name),
        machineUuid: `machine-${name}`,
        domains: new Map(),
        volumes: new Map(),
        ownFiles: new Map(),
        watchers: new Set(),
        migrating: new Set(),
        incoming: new Set(),
        reachable: true,
        slowMs: 0,
        freeMemoryBytes: 4e9,
        hangs: false,
        full: false,
        sticky: false,
        older: false,
        san: 'one',
        drop: () => {},
      };
      hosts.set(name, host);
      return host;
    },
    alias(uri, host) {
      aliases.set(uri, host);
      return {
        [Symbol.dispose]: () => {
          aliases.delete(uri);
          hosts.get(host)?.drop();
        },
      };
    },
    run(name, domain) {
      const host = hosts.get(name);
      if (host === undefined) throw new Error(`no host ${name}`);
      const whole: FakeDomain = { state: 'running', reason: 'booted', persistent: true, autostart: false, ...domain };
      host.domains.set(whole.uuid, whole);
      if (whole.disk !== undefined && folderOf(whole.disk) === '/pool')
        host.volumes.set(whole.disk, {
          pool: 'default',
          name: whole.disk.slice('/pool/'.length),
          path: whole.disk,
          format: 'raw',
          capacityBytes: 1_000,
          allocationBytes: 500,
          modified: 'old',
        });
      tell(host, whole.uuid);
    },
  };
}

export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} };

/** Virtual time; texts and ids are counted. */
export function countingClock(): Clock & Disposable {
  let serial = 0;
  return {
    ...virtualTime(),
    anchor: () => ({ boot: 'virtual', offsetMs: 0 }),
    randomText: (length) => String((serial += 1)).padStart(length, '0'),
    randomUuid: () => `00000000-0000-4000-8000-${String((serial += 1)).padStart(12, '0')}`,
  };
}
