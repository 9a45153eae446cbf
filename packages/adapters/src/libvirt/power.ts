/**
 * The driver of the PowerPort: whether a guest runs, and the helper domain that carries the disks of one that is shut
 * off.
 */
import type { VmUuid } from '@ferry/core';
import type { HelperDomain, MigrationMarker, PowerPort, SavedMemoryPort } from '@ferry/engine';
import {
  escapeXml,
  LibvirtError,
  parseXml,
  VIR_DOMAIN_START,
  VIR_DOMAIN_XML,
  VIR_ERR,
  xmlChild,
  type DomainRef,
  type HostSession,
  type XmlElement,
} from '@ferry/libvirt';
import { encryptionElement } from './disk-facts.ts';
import { markerElement } from './marker.ts';
import { disksOf } from './translate.ts';

export function powerOf(session: HostSession, savedMemory: Pick<SavedMemoryPort, 'read'>): PowerPort {
  const must = (uuid: VmUuid, signal: AbortSignal): Promise<DomainRef> => session.domainByUuid(uuid, { signal });
  return {
    async start(uuid, signal) {
      await session.domainCreate(await must(uuid, signal), 0, { signal });
    },
    async startHelper(helper, marker, signal) {
      try {
        await must(helper.uuid, signal);
      } catch (error) {
        if (!(error instanceof LibvirtError) || error.code !== VIR_ERR.NO_DOMAIN) throw error;
        const vm = await must(helper.vm, signal);
        const own = [
          ...(helper.saved === true ? [await savedMemory.read(vm.name, signal)] : []),
          await session.domainXml(vm, VIR_DOMAIN_XML.INACTIVE, { signal }),
        ];
        const start = (cache: 'none' | 'writeback') =>
          session.domainCreateXml(helperXml(helper, marker, cache, own), VIR_DOMAIN_START.PAUSED, { signal });
        try {
          await start('none');
        } catch (refusal) {
          // not every file system does direct I/O, nor every QEMU Linux' own asynchronous one
          if (!(refusal instanceof LibvirtError) || !/O_DIRECT|cache\.direct|aio/i.test(refusal.message)) throw refusal;
          await start('writeback');
        }
      }
    },
    async suspend(uuid, signal) {
      await session.domainSuspend(await must(uuid, signal), { signal });
    },
    async resume(uuid, signal) {
      await session.domainResume(await must(uuid, signal), { signal });
    },
    async shutdown(uuid, signal) {
      await session.domainShutdown(await must(uuid, signal), 0, { signal });
    },
    async end(uuid, signal) {
      await session.domainDestroy(await must(uuid, signal), 0, { signal });
    },
  };
}

/**
 * A raw file of a length that is no multiple of this cannot be written with direct I/O: QEMU takes it for read-only.
 */
const directIoBytes = 4096;

/**
 * The smallest domain that libvirt moves with disks: emulated, so that no CPU of another vendor matters, one MiB of
 * memory, no network card. It is never resumed. It has no virtio device: QEMU 10.0.13 and 11.1 do not agree on the size
 * of its queues. Without the page cache in between, a copy of scattered extents takes half the time; without QEMU's
 * threads for each piece of it, a raw one three quarters of that. `own`: the VM's definitions, which know the images
 * below each disk, and how it is encrypted.
 */
export function helperXml(
  { uuid, name, disks, machine = 'pc' }: HelperDomain,
  marker: MigrationMarker,
  cache: 'none' | 'writeback',
  own: readonly string[],
): string {
  const known = own.flatMap((xml) => {
    const textOf = (element: XmlElement | undefined): string =>
      element === undefined ? '' : xml.slice(element.span.start, element.span.end);
    return disksOf(parseXml(xml)).map(({ target, source, element }) => ({
      target,
      source,
      text: `${textOf(xmlChild(element, 'backingStore'))}${textOf(encryptionElement(element))}`,
    }));
  });
  /** Of this file; where it is written in another way, or named by its pool, of the device. */
  const more = (of: string, path: string): string => {
    const ofDevice = known.filter(({ target }) => target === of);
    return (ofDevice.find(({ source }) => source === path) ?? ofDevice[0])?.text ?? '';
  };
  const access = (format: string, sizeBytes: number): string =>
    cache === 'writeback' || (format === 'raw' && sizeBytes % directIoBytes !== 0)
      ? "cache='writeback'"
      : "cache='none' io='native'";
  const disk = ({ target, of = '', path, format, sizeBytes }: HelperDomain['disks'][number]): string =>
    `<disk type='file' device='disk'><driver name='qemu' type='${escapeXml(format)}' ` +
    `${access(format, sizeBytes)} discard='unmap'/><source ` +
    `file='${escapeXml(path)}'/>${more(of, path)}<target dev='${escapeXml(target)}' bus='sata'/></disk>`;
  return [
    `<domain type='qemu'><name>${escapeXml(name)}</name><uuid>${uuid}</uuid>`,
    `<metadata>${markerElement(marker)}</metadata>`,
    `<memory unit='MiB'>1</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='${escapeXml(machine)}'>hvm</type></os>`,
    "<devices><controller type='usb' model='none'/><memballoon model='none'/>",
    ...disks.map(disk),
    '</devices></domain>',
  ].join('');
}
