/** The driver of the InventoryPort: what the machine behind a host is. */
import type { HostFacts } from '@ferry/core';
import type { InventoryPort } from '@ferry/engine';
import { LibvirtError, VIR_CONNECT_LIST_NODE_DEVICES, type HostSession } from '@ferry/libvirt';
import { inTurn } from './in-turn.ts';
import { cardAddressOf, factsOf, linkSpeedOf, machineUuidOf } from './translate.ts';

export const inventoryOf = (session: HostSession): InventoryPort => ({
  async facts(signal) {
    const [hostname, capabilities, libvirt, qemu, node, freeMemoryBytes, cards] = await Promise.all([
      session.hostname({ signal }),
      session.capabilities({ signal }),
      session.libvirtVersion({ signal }),
      qemuVersion(session, signal),
      session.nodeInfo({ signal }),
      session.freeMemoryBytes({ signal }),
      networkCards(session, signal),
    ]);
    return {
      ...factsOf(hostname, capabilities, { libvirt, qemu }, node),
      freeMemoryBytes,
      ...cards,
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
