// What breaks on a host while it works, on purpose: some of its traffic, its libvirtd, the QEMU of one guest. Cables
// and power are in host.ts. Traffic is dropped, not refused, in the host's own network namespace, so that both ends see
// silence; processes are known by the PID files that libvirt itself writes.

import { execCommand } from './host.ts';
import type { LabRef } from './lab.ts';
import { requireHost, requireLab, subnetOf } from './lab.ts';
import { run } from './child.ts';

/**
 * `control-plane`: all between the machine that the lab runs on and the host. `daemons`: libvirt's own connections with
 * the other hosts. `data`: memory and disks of migrations, in both directions, on libvirt's default ports.
 */
export type Traffic = 'control-plane' | 'daemons' | 'data';

const DATA_PORTS = '49152-49215';
const DAEMON_PORT = 16_509;

const sh = (lab: LabRef, host: string, command: string, signal?: AbortSignal): Promise<string> =>
  run(execCommand(lab, host, ['bash', '-ec', command]), { signal });

/**
 * Drops this traffic of the host from now on, also that of connections that are open. Several kinds may be cut at
 * once.
 */
export async function cutTraffic(lab: LabRef, host: string, traffic: Traffic, signal?: AbortSignal): Promise<void> {
  const { gateway } = subnetOf(requireLab(lab).document.subnetNumber);
  requireHost(lab, host);
  const matches = {
    'control-plane': { input: [`ip saddr ${gateway}`], output: [`ip daddr ${gateway}`] },
    daemons: ends(`ip saddr != ${gateway} tcp`, `ip daddr != ${gateway} tcp`, DAEMON_PORT),
    data: ends('tcp', 'tcp', DATA_PORTS),
  }[traffic];
  const chain = (hook: 'input' | 'output'): string =>
    `chain ${hook} { type filter hook ${hook} priority 0; ${matches[hook].map((match) => `${match} drop;`).join(' ')} }`;
  await sh(
    lab,
    host,
    `nft -f - <<'RULES'\ntable ip cut-${traffic} {\n${chain('input')}\n${chain('output')}\n}\nRULES`,
    signal,
  );
}

const ends = (input: string, output: string, ports: number | string) => ({
  input: [`${input} dport ${ports}`, `${input} sport ${ports}`],
  output: [`${output} dport ${ports}`, `${output} sport ${ports}`],
});

/** Lets it through again; fails when it was not cut. */
export async function mendTraffic(lab: LabRef, host: string, traffic: Traffic, signal?: AbortSignal): Promise<void> {
  await sh(lab, host, `nft delete table ip cut-${traffic}`, signal);
}

/**
 * Holds migrations that libvirt drives at their switchover: the source's last call (program 0x20008086, procedure 306
 * Finish, type CALL) does not get into this host. The guest is then paused on its source, with all of its memory on
 * this host, until `releaseFinish`.
 */
export async function holdFinish(lab: LabRef, host: string, signal?: AbortSignal): Promise<void> {
  const call = '@th,288,32 0x20008086 @th,352,32 306 @th,384,32 0';
  await sh(
    lab,
    host,
    `nft -f - <<'RULES'\ntable ip hold-finish {\nchain input { type filter hook input priority 0; tcp ` +
      `dport ${DAEMON_PORT} ${call} counter drop; }\n}\nRULES`,
    signal,
  );
}

/** How many packets `holdFinish` has dropped on the host. */
export async function heldFinishes(lab: LabRef, host: string, signal?: AbortSignal): Promise<number> {
  return Number(/counter packets (\d+)/.exec(await sh(lab, host, 'nft list table ip hold-finish', signal))?.[1] ?? 0);
}

export async function releaseFinish(lab: LabRef, host: string, signal?: AbortSignal): Promise<void> {
  await sh(lab, host, 'nft delete table ip hold-finish', signal);
}

/**
 * The host's libvirtd does not hear any more that somebody closes a connection; those that somebody else's kernel
 * breaks off, neither.
 */
export async function holdClosing(lab: LabRef, host: string, signal?: AbortSignal): Promise<void> {
  await sh(
    lab,
    host,
    `nft -f - <<'RULES'\ntable ip hold-closing {\nchain input { type filter hook input priority 0; tcp ` +
      `dport ${DAEMON_PORT} tcp flags & (fin | rst) != 0 counter drop; }\n}\nRULES`,
    signal,
  );
}

export async function releaseClosing(lab: LabRef, host: string, signal?: AbortSignal): Promise<void> {
  await sh(lab, host, 'nft delete table ip hold-closing', signal);
}

/**
 * Sends a signal to the host's libvirtd: KILL as a crash, TERM as an orderly end (both wait for it, a minute at most),
 * STOP and CONT as a hang. Its guests are not touched.
 */
export async function signalDaemon(
  lab: LabRef,
  host: string,
  name: 'KILL' | 'TERM' | 'STOP' | 'CONT',
  signal?: AbortSignal,
): Promise<void> {
  const gone = name === 'KILL' || name === 'TERM' ? '; while [ -e /proc/$pid ]; do sleep 0.05; done' : '';
  await sh(lab, host, `pid=$(cat /run/libvirtd.pid); kill -${name} $pid${gone}`, signal);
}

/** Restarts the host's libvirtd cleanly, so that it reads its files again. */
export async function restartDaemon(lab: LabRef, host: string, signal?: AbortSignal): Promise<void> {
  await signalDaemon(lab, host, 'TERM', signal);
  await startDaemon(lab, host, signal);
}

/** Starts the host's libvirtd, which has ended, and waits until it answers; a minute at most. */
export async function startDaemon(lab: LabRef, host: string, signal?: AbortSignal): Promise<void> {
  await sh(
    lab,
    host,
    'libvirtd -d -l; until virsh -q -c qemu:///system uri >/dev/null 2>&1; do sleep 0.05; done',
    signal,
  );
}

/**
 * The host's libvirtd drops a silent peer after 5 s instead of 30 s: hosts that it sends guests to, and its clients.
 * This restarts it, so guests must not migrate meanwhile.
 */
export async function shortenPatience(lab: LabRef, host: string, signal?: AbortSignal): Promise<void> {
  await sh(
    lab,
    host,
    "for file in qemu libvirtd; do printf 'keepalive_interval = 1\\nkeepalive_count = 4\\n' >>/etc/libvirt/$file.conf; done",
    signal,
  );
  await restartDaemon(lab, host, signal);
}

/** Takes that back: 30 s, as libvirt comes. */
export async function usualPatience(lab: LabRef, host: string, signal?: AbortSignal): Promise<void> {
  await sh(lab, host, "sed -i '/^keepalive_/d' /etc/libvirt/qemu.conf /etc/libvirt/libvirtd.conf", signal);
  await restartDaemon(lab, host, signal);
}

/** Ends the guest's QEMU on the host as a crash would. */
export async function killGuest(lab: LabRef, host: string, vm: string, signal?: AbortSignal): Promise<void> {
  await sh(lab, host, `kill -KILL $(cat /run/libvirt/qemu/${vm}.pid)`, signal);
}
