/**
 * The fixture for tests of the libvirt driver on real hosts: a lab of two hosts, each with a link of the driver,
 * without a control plane. It is removed after the file's tests.
 */
import { after, before } from 'node:test';
import { libvirtHypervisor } from '@ferry/adapters';
import { vmUuid } from '@ferry/core';
import type { HostLink, PerformRequest } from '@ferry/engine';
import {
  readTicks,
  shortenPatience,
  temporaryLab,
  vmCreate,
  vmLog,
  waitFor,
  type LabRef,
  type TemporaryLab,
  type VmCreateOptions,
} from '@ferry/lab';
import { onHostOf } from './fleet.ts';

export interface DrivenHosts {
  readonly lab: LabRef;
  readonly address: (host: string) => string;
  readonly driver: (host: string) => HostLink;
  readonly create: (options: VmCreateOptions) => Promise<Guest>;
  /** A shell line on a host. */
  readonly sh: (host: string, command: string) => Promise<string>;
  /** Daemons give a silent peer up after 5 s instead of 30 s. Before the links are used. */
  readonly loseHopeSoon: () => Promise<void>;
}

export interface Guest {
  readonly uuid: ReturnType<typeof vmUuid>;
  /** As in `paused/post-copy-failed`, or `absent`. */
  readonly at: (host: string) => Promise<string>;
  readonly until: (host: string, ...states: readonly string[]) => Promise<string>;
  readonly countsOn: () => Promise<void>;
  readonly boots: () => number;
  /** To this host: live, persistent, post-copy allowed. */
  readonly request: (to: string, more?: Partial<PerformRequest>) => PerformRequest;
}

/** Calls of these tests that have no end of their own. */
export const soon = (): AbortSignal => AbortSignal.timeout(120_000);

export function withDrivenHosts(use: (hosts: DrivenHosts) => unknown): void {
  let temporary: TemporaryLab | undefined;
  const links = new Map<string, HostLink>();
  before(async () => {
    const made = await temporaryLab({ hosts: 2 });
    temporary = made;
    const open = async (): Promise<void> => {
      for (const { name, uri } of made.status.hosts) links.set(name, await libvirtHypervisor().connect(uri, soon()));
    };
    await open();
    await use(hostsOf(made, links, open));
  });
  after(async () => {
    for (const link of links.values()) await link.close();
    await temporary?.[Symbol.asyncDispose]();
  });
}

function hostsOf(
  { lab, status }: TemporaryLab,
  links: ReadonlyMap<string, HostLink>,
  open: () => Promise<void>,
): DrivenHosts {
  const hostOf = (host: string) => status.hosts.find(({ name }) => name === host) ?? unknown(host);
  const driver = (host: string): HostLink => links.get(host) ?? unknown(host);
  const sh = (host: string, command: string): Promise<string> => onHostOf(lab, host, command);
  return {
    lab,
    driver,
    sh,
    address: (host) => hostOf(host).address,
    async create(options) {
      const uuid = vmUuid((await vmCreate(lab, options)).uuid);
      const ticks = () => readTicks(vmLog(lab, options.name));
      const at = async (host: string): Promise<string> => {
        const seen = await driver(host).instances.observe(uuid, soon());
        return seen.kind === 'present' ? `${seen.state}/${seen.reason}` : seen.kind;
      };
      return {
        uuid,
        at,
        until: (host, ...states) =>
          waitFor(
            `${options.name} to be ${states.join(' or ')} on ${host}`,
            async () => {
              const state = await at(host);
              return states.includes(state) ? state : undefined;
            },
            { timeoutMs: 60_000 },
          ),
        async countsOn() {
          const before = ticks().last;
          await waitFor(`${options.name} to count on`, () => (ticks().last > before + 1 ? true : undefined), {
            timeoutMs: 30_000,
          });
        },
        boots: () => ticks().boots.length,
        request: (to, more) => ({
          uuid,
          destinationUri: hostOf(to).uri,
          live: true,
          persist: true,
          undefineSource: true,
          copyDisks: [],
          topOnly: false,
          transfer: { mode: 'peer-to-peer', modeReason: 'the test', postCopy: true },
          ...more,
        }),
      };
    },
    async loseHopeSoon() {
      for (const link of links.values()) await link.close();
      for (const { name } of status.hosts) await shortenPatience(lab, name);
      await open();
    },
  };
}

function unknown(host: string): never {
  throw new Error(`the lab has no host ${host}`);
}
