// The lab's network: one interface on the machine, a switch (a bridge in the keeper's network namespace), one cable per
// host. Nothing of it forwards to the outside world, and the machine's own bridges, firewall and routes are not
// touched: the only trace on the machine is the interface that makes the lab's subnet reachable. Its name is the claim
// to the subnet, since the kernel gives a name once.

import { labHash, subnetOf } from './lab.ts';
import type { HostDocument, LabRef } from './lab.ts';
import { run, tryRun } from './child.ts';
import { LabError } from './errors.ts';
import type { ProcessIdentity } from './processes.ts';
import { waitFor } from './wait.ts';

type Interface = {
  readonly ifname: string;
  readonly address?: string;
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number; readonly family?: string }[];
};
type Route = { readonly dst: string };

/**
 * 02:fe and four bytes of the lab's hash: identifies the lab's own interface, even if a crash came before it was
 * recorded.
 */
function uplinkMac(lab: LabRef): string {
  return ['02', 'fe', ...[...labHash(lab).subarray(0, 4)].map(hex)].join(':');
}

export function hostMac(lab: LabRef, index: number): string {
  return ['02', 'f1', ...[...labHash(lab).subarray(0, 3), index].map(hex)].join(':');
}

/** The prefix that QEMU and libvirt use for guests, two bytes of the lab, one of its address. */
export function guestMac(lab: LabRef, octet: number): string {
  return ['52', '54', '00', ...[...labHash(lab).subarray(0, 2), octet].map(hex)].join(':');
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

/** In the keeper's network namespace, where the switch is. */
export function inSwitch(keeper: ProcessIdentity, command: readonly [string, ...string[]]): [string, ...string[]] {
  return ['nsenter', '-t', String(keeper.pid), '-n', '--', ...command];
}

/** All subnets 10.213.N.0/24 that no address and no route of this machine touches, beginning at the lab's favourite. */
async function freeSubnets(lab: LabRef, signal?: AbortSignal): Promise<readonly number[]> {
  const interfaces = JSON.parse(await run(['ip', '-j', 'address', 'show'], { signal })) as readonly Interface[];
  const routes = JSON.parse(
    await run(['ip', '-j', '-4', 'route', 'show', 'table', 'all'], { signal }),
  ) as readonly Route[];
  const used = [
    ...interfaces
      .flatMap((each) => each.addr_info ?? [])
      .flatMap((each) =>
        each.family === 'inet' && each.local !== undefined ? [`${each.local}/${each.prefixlen ?? 32}`] : [],
      ),
    ...routes.map((each) => each.dst).filter((destination) => /^[\d./]+$/.test(destination)),
  ];
  const first = (labHash(lab)[5] ?? 0) % 254;
  const candidates = Array.from({ length: 254 }, (_, i) => 1 + ((first + i) % 254));
  return candidates.filter((candidate) => !used.some((each) => overlaps(each, subnetOf(candidate).cidr)));
}

export function overlaps(left: string, right: string): boolean {
  const [a, b] = [parseCidr(left), parseCidr(right)];
  const bits = Math.min(a.prefix, b.prefix);
  return bits > 0 && Math.floor(a.address / 2 ** (32 - bits)) === Math.floor(b.address / 2 ** (32 - bits));
}

function parseCidr(text: string): { readonly address: number; readonly prefix: number } {
  const [address = '', prefix = '32'] = text.split('/');
  const octets = address.split('.').map(Number);
  return { address: [0, 1, 2, 3].reduce((sum, i) => sum * 256 + (octets[i] ?? 0), 0), prefix: Number(prefix) };
}

/** Claims a free subnet by creating its interface, with the other end on the switch. Returns the subnet's number. */
export async function connectSwitch(lab: LabRef, keeper: ProcessIdentity, signal?: AbortSignal): Promise<number> {
  for (const candidate of await freeSubnets(lab, signal)) {
    const { interfaceName, gateway, gateway6, storage } = subnetOf(candidate);
    const claim = await tryRun(
      [
        'ip',
        'link',
        'add',
        interfaceName,
        'address',
        uplinkMac(lab),
        'type',
        'veth',
        'peer',
        'name',
        'uplink',
        'netns',
        String(keeper.pid),
      ],
      { signal },
    );
    if (claim.code !== 0) {
      // another lab was faster; anything else would fail for every candidate
      if (/exists/.test(claim.stderr)) continue;
      throw new LabError(`The lab's network interface could not be created: ${claim.stderr.trim()}`);
    }
    await run(inSwitch(keeper, ['ip', '-batch', '-']), {
      input: `link set uplink master switch0 up\naddress add ${storage}/24 dev switch0\n`,
      signal,
    });
    await run(['ip', 'address', 'add', `${gateway}/24`, 'dev', interfaceName], { signal });
    await run(['ip', 'address', 'add', `${gateway6}/64`, 'dev', interfaceName, 'nodad'], { signal });
    await run(['ip', 'link', 'set', interfaceName, 'up'], { signal });
    return candidate;
  }
  throw new LabError(
    'All subnets of 10.213.0.0/16 are in use on this machine; end another lab with "script/lab down --lab NAME".',
  );
}

/** Removes the lab's interface from the machine and waits until it is gone (the kernel may already be at it). */
export async function removeUplinks(lab: LabRef, signal?: AbortSignal): Promise<void> {
  const mac = uplinkMac(lab);
  await waitFor(
    `The removal of the network interface of the lab "${lab.name}"`,
    async () => {
      const links = JSON.parse(
        await run(['ip', '-j', 'link', 'show', 'type', 'veth'], { signal }),
      ) as readonly Interface[];
      const own = links.filter((each) => each.address === mac);
      for (const each of own) await tryRun(['ip', 'link', 'delete', each.ifname], { signal });
      return own.length === 0 ? true : undefined;
    },
    { timeoutMs: 15_000, signal },
  );
}

function cableName(host: HostDocument): string {
  return `to-${host.index}`;
}

/**
 * Plugs a host in: a veth pair from the switch to the host's eth0, with the state and the rate that the host's link
 * has.
 */
export async function plugIn(
  lab: LabRef,
  keeper: ProcessIdentity,
  host: HostDocument,
  init: ProcessIdentity,
  signal?: AbortSignal,
): Promise<void> {
  await run(
    inSwitch(keeper, [
      'ip',
      'link',
      'add',
      cableName(host),
      'master',
      'switch0',
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'address',
      hostMac(lab, host.index),
      'netns',
      String(init.pid),
    ]),
    { signal },
  );
  await setRate(keeper, host, init, signal);
  if (host.linkUp) await setLink(keeper, host, true, signal);
}

export async function setLink(
  keeper: ProcessIdentity,
  host: HostDocument,
  up: boolean,
  signal?: AbortSignal,
): Promise<void> {
  await run(inSwitch(keeper, ['ip', 'link', 'set', cableName(host), up ? 'up' : 'down']), { signal });
  // else the machine still holds the host for unreachable for about a second
  if (up) await tryRun(['ip', 'neighbour', 'flush', 'to', host.address], { signal });
}

/** Unplugs the cable. It may be gone already, with the host's network namespace. */
export async function unplug(keeper: ProcessIdentity, host: HostDocument, signal?: AbortSignal): Promise<void> {
  await waitFor(
    `The removal of the cable of ${host.name}`,
    async () =>
      (await tryRun(inSwitch(keeper, ['ip', 'link', 'delete', cableName(host)]), { signal })).code === 0
        ? undefined
        : true,
    { timeoutMs: 10_000, signal },
  );
}

/** Applies the rate of `host` in both directions: what the switch sends to it and what it sends. */
export async function setRate(
  keeper: ProcessIdentity,
  host: HostDocument,
  init: ProcessIdentity,
  signal?: AbortSignal,
): Promise<void> {
  const ends = [
    { namespace: keeper, device: cableName(host) },
    { namespace: init, device: 'eth0' },
  ];
  for (const { namespace, device } of ends) {
    if (host.rateMbit === undefined) {
      // fails when there is no limit to take away
      await tryRun(inSwitch(namespace, ['tc', 'qdisc', 'delete', 'dev', device, 'root']), { signal });
      continue;
    }
    // a bucket of 2 ms, but never smaller than one segment as the cards of the hosts hand them over
    const burstBytes = Math.max(128 * 1024, Math.round((host.rateMbit * 1_000_000) / 8 / 500));
    await run(
      inSwitch(namespace, [
        'tc',
        'qdisc',
        'replace',
        'dev',
        device,
        'root',
        'tbf',
        'rate',
        `${host.rateMbit}mbit`,
        'burst',
        String(burstBytes),
        'latency',
        '50ms',
      ]),
      { signal },
    );
  }
}
