/** The driver of the InventoryPort: what the machine behind a host is. */
import { FerryError, type FreePages, type HostFacts, type MediatedDevices } from '@ferry/core';
import type { InventoryPort } from '@ferry/engine';
import { LibvirtError, VIR_CONNECT_LIST_NODE_DEVICES, type HostSession } from '@ferry/libvirt';
import { hostModelOf } from './cpu.ts';
import { inTurn } from './in-turn.ts';
import { cardAddressOf, factsOf, firmwareOf, linkSpeedOf, machineUuidOf, mediatedOf } from './translate.ts';

export const inventoryOf = (session: HostSession): InventoryPort => ({
  async facts(signal) {
    const [hostname, capabilities, libvirt, qemu, node, freeMemoryBytes, cards, firmware] = await Promise.all([
      session.hostname({ signal }),
      session.capabilities({ signal }),
      session.libvirtVersion({ signal }),
      qemuVersion(session, signal),
      session.nodeInfo({ signal }),
      session.freeMemoryBytes({ signal }),
      networkCards(session, signal),
      firmwareVersion(session, signal),
    ]);
    return {
      ...factsOf(hostname, capabilities, { libvirt, qemu }, node),
      freeMemoryBytes,
      ...cards,
      ...(firmware === undefined ? {} : { firmware }),
    };
  },
  async machineUuid(signal) {
    const [hostname, capabilities] = await Promise.all([
      session.hostname({ signal }),
      session.capabilities({ signal }),
    ]);
    return machineUuidOf(hostname, capabilities);
  },
  freeMemory: (signal) => session.freeMemoryBytes({ signal }),
  async hostModel(of, signal) {
    const cpu = hostModelOf(await session.domainCapabilities(of, { signal }));
    if (cpu === undefined) throw new FerryError('host-refused', 'Its QEMU offers no CPU like that of the host.');
    return cpu;
  },
  baselineCpu: (cpus, of, signal) => session.baselineHypervisorCpu(cpus, of, { signal }),
  freePages: (sizesKiB, signal) => freePages(session, sizesKiB, signal),
  mediated: (signal) => mediatedDevices(session, signal),
});

/** libvirt reads it from QEMU itself: while that is missing or replaced, the host has none, and answers all the same. */
async function qemuVersion(session: HostSession, signal: AbortSignal): Promise<string | undefined> {
  try {
    return await session.hypervisorVersion({ signal });
  } catch (error) {
    if (error instanceof LibvirtError) return undefined;
    throw error;
  }
}

/** The speed of the fastest card that is up, and which cards there are. */
async function networkCards(session: HostSession, signal: AbortSignal): Promise<Pick<HostFacts, 'linkMbit' | 'cards'>> {
  try {
    const names = await session.nodeDevices(VIR_CONNECT_LIST_NODE_DEVICES.CAP_NET, { signal });
    const xmls = await inTurn(names, (name) => session.nodeDeviceXml(name, { signal }));
    const speeds = xmls.flatMap((xml) => linkSpeedOf(xml) ?? []);
    const cards = xmls.flatMap((xml) => cardAddressOf(xml) ?? []).toSorted();
    return {
      ...(speeds.length === 0 ? {} : { linkMbit: Math.max(...speeds) }),
      ...(cards.length === 0 ? {} : { cards }),
    };
  } catch (error) {
    // not every daemon knows the devices of its host, and a card may go while we look
    if (error instanceof LibvirtError) return {};
    throw error;
  }
}

async function firmwareVersion(session: HostSession, signal: AbortSignal): Promise<string | undefined> {
  try {
    return firmwareOf(await session.sysinfo({ signal }));
  } catch (error) {
    // a machine without SMBIOS, or a host without the program that reads it
    if (error instanceof LibvirtError) return undefined;
    throw error;
  }
}

async function freePages(
  session: HostSession,
  sizesKiB: readonly number[],
  signal: AbortSignal,
): Promise<readonly FreePages[]> {
  const found = await inTurn([...sizesKiB], async (sizeKiB) => {
    try {
      const counts = await session.freePages(sizeKiB, { signal });
      return counts.map((count, node) => ({ node, sizeKiB, count: Number(count) }));
    } catch (error) {
      // the host has no pages of this size
      if (error instanceof LibvirtError) return [];
      throw error;
    }
  });
  return found.flat();
}

async function mediatedDevices(session: HostSession, signal: AbortSignal): Promise<MediatedDevices> {
  const { CAP_MDEV, CAP_MDEV_TYPES } = VIR_CONNECT_LIST_NODE_DEVICES;
  try {
    const names = await session.nodeDevices(CAP_MDEV | CAP_MDEV_TYPES, { signal });
    const found = (await inTurn(names, (name) => session.nodeDeviceXml(name, { signal }))).map(mediatedOf);
    const free = new Map<string, number>();
    for (const [type, count] of found.flatMap(({ types }) => types)) free.set(type, (free.get(type) ?? 0) + count);
    return { there: new Map(found.flatMap(({ mdev }) => (mdev === undefined ? [] : [mdev]))), free };
  } catch (error) {
    // not every daemon knows the devices of its host
    if (error instanceof LibvirtError) return { there: new Map(), free: new Map() };
    throw error;
  }
}
