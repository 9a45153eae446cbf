/**
 * The driver of the DefinitionDriver port: what a VM consists of, its definition, and the helper domain that carries
 * the disks of one that is shut off. It describes and does as told.
 */
import type { DiskFacts, NextStart, VmFacts, VmUuid } from '@ferry/core';
import type { DefinitionDriver, HelperDomain, MigrationMarker } from '@ferry/engine';
import {
  escapeXml,
  LibvirtError,
  parseXml,
  VIR_DOMAIN_SNAPSHOT_LIST,
  VIR_DOMAIN_START,
  VIR_DOMAIN_XML,
  VIR_ERR,
  xmlChild,
  type DomainRef,
  type HostSession,
  type XmlElement,
} from '@ferry/libvirt';
import { namedChain } from './chains.ts';
import { diskReader, encryptionElement, identityOf } from './disk-facts.ts';
import { unlessUnsupported } from './failure.ts';
import { filesOf } from './files.ts';
import { inTurn } from './in-turn.ts';
import { markerElement } from './marker.ts';
import type { PoolLender } from './pool-lending.ts';
import { guestStateOf } from './guest-state.ts';
import { needsOf } from './rewrite.ts';
import { snapshotsOn } from './snapshots.ts';
import { hasTpm, nvramOf, savePath, statePlacesOf, tpmPaths } from './state-places.ts';
import { disksOf } from './translate.ts';
import { filesInUse } from './uses.ts';

export function definitionsOf(session: HostSession, pools: PoolLender): DefinitionDriver {
  const must = (uuid: VmUuid, signal: AbortSignal): Promise<DomainRef> => session.domainByUuid(uuid, { signal });

  const describeDisk = diskReader(session, pools);

  /** A second definition beside one whose disks are known: a disk that both have is as it is known already. */
  const describeOther = async (xml: string, known: readonly DiskFacts[], signal: AbortSignal): Promise<NextStart> => {
    const root = parseXml(xml);
    // libvirt tells sizes of what the first has only
    const disks = disksOf(root).map(
      async (disk) =>
        known.find(({ target, source }) => source !== undefined && target === disk.target && source === disk.source) ??
        describeDisk(undefined, disk, undefined, signal),
    );
    return { disks: await Promise.all(disks), needs: needsOf(root) };
  };

  const readSaved = (name: string, signal: AbortSignal): Promise<string> =>
    session.savedImageXml(savePath(name), VIR_DOMAIN_XML.SECURE, { signal });
  /** What the guest in a file of saved memory has; a text where libvirt cannot read it. */
  const describeSaved = async (
    name: string,
    known: readonly DiskFacts[],
    signal: AbortSignal,
  ): Promise<{ readonly guest: NextStart; readonly nvram: readonly string[] } | string> => {
    try {
      const xml = await readSaved(name, signal);
      return { guest: await describeOther(xml, known, signal), nvram: nvramOf(parseXml(xml)) };
    } catch (error) {
      if (error instanceof LibvirtError) return error.message;
      throw error;
    }
  };

  /** How many snapshots there are, and which disks hold one inside their own image. */
  const snapshotsOf = async (
    domain: DomainRef,
    signal: AbortSignal,
  ): Promise<{ readonly count: number; readonly external: boolean; readonly disks: ReadonlySet<string> }> => {
    const snapshots =
      (await unlessUnsupported(() =>
        session.domainSnapshots(domain, VIR_DOMAIN_SNAPSHOT_LIST.TOPOLOGICAL, { signal }),
      )) ?? [];
    const disks = new Set<string>();
    let external = false;
    for (const xml of await inTurn(snapshots, (snapshot) => session.snapshotXml(snapshot, 0, { signal }))) {
      const root = parseXml(xml);
      for (const disk of xmlChild(root, 'disks')?.children ?? []) {
        if (disk.attributes.get('snapshot') === 'internal') disks.add(disk.attributes.get('name') ?? '');
        external ||= disk.attributes.get('snapshot') === 'external';
      }
    }
    return { count: snapshots.length, external, disks };
  };

  const files = filesOf(session, pools);
  /** Those that are there. */
  const present = async (paths: readonly string[], signal: AbortSignal): Promise<readonly string[]> => {
    const found = await inTurn(paths, async (path) =>
      (await files.look(path, signal)) === undefined ? undefined : path,
    );
    return found.filter((path) => path !== undefined);
  };

  return {
    async describe(uuid, signal): Promise<VmFacts> {
      const domain = await must(uuid, signal);
      const runs = domain.id >= 0;
      const [xml, persistent, snapshots, checkpoints, saved, autostart, nextXml] = await Promise.all([
        session.domainXml(domain, 0, { signal }),
        session.domainIsPersistent(domain, { signal }),
        snapshotsOf(domain, signal),
        unlessUnsupported(() => session.domainCheckpoints(domain, 0, { signal })),
        runs ? false : session.domainHasManagedSave(domain, { signal }),
        session.domainAutostart(domain, { signal }),
        runs ? session.domainXml(domain, VIR_DOMAIN_XML.INACTIVE, { signal }) : undefined,
      ]);
      const root = parseXml(xml);
      const devices = xmlChild(root, 'devices')?.children ?? [];
      const tpm = hasTpm(devices);
      const describing = Promise.all(
        disksOf(root).map((disk) =>
          describeDisk(
            domain,
            disk,
            snapshots.disks.has(disk.target)
              ? 'snapshots'
              : (checkpoints?.length ?? 0) > 0 && disk.format === 'qcow2'
                ? 'checkpoints'
                : undefined,
            signal,
          ),
        ),
      );
      // libvirt does not see a file of saved memory that was put there, but starts from it
      const [disks, memory] = await Promise.all([describing, present(runs ? [] : [savePath(domain.name)], signal)]);
      const inFile = memory.length > 0 ? await describeSaved(domain.name, disks, signal) : undefined;
      const nvram = [...new Set([...nvramOf(root), ...(typeof inFile === 'object' ? inFile.nvram : [])])];
      const others = await present(runs ? [] : [...nvram, ...(tpm ? tpmPaths(domain.uuid) : [])], signal);
      const defined = { disks, needs: needsOf(root) };
      return {
        saved: (persistent && saved) || inFile !== undefined,
        ...(typeof inFile === 'string' ? { savedUnread: inFile } : {}),
        autostart: persistent && autostart,
        persistent,
        stateFiles: [...memory, ...others],
        statePlaces: statePlacesOf({ name: domain.name, uuid: domain.uuid, nvram, tpm, persistent }),
        nvram: nvram.length > 0,
        hostDevices: devices.filter(isHostDevice).length,
        snapshots: snapshots.count,
        externalSnapshots: snapshots.external,
        checkpoints: checkpoints?.length ?? 0,
        ...(typeof inFile === 'object' ? { ...inFile.guest, nextStart: defined } : defined),
        ...guestStateOf(root),
        ...(persistent && nextXml !== undefined ? { nextStart: await describeOther(nextXml, disks, signal) } : {}),
      };
    },
    async read(uuid, signal) {
      // without what libvirt adds by itself: an older one may not know the name of it (the watchdog of q35, named
      // from 9.1 on)
      return session.domainXml(
        await must(uuid, signal),
        VIR_DOMAIN_XML.INACTIVE | VIR_DOMAIN_XML.MIGRATABLE | VIR_DOMAIN_XML.SECURE,
        { signal },
      );
    },
    async readMigratable(uuid, signal) {
      return session.domainXml(await must(uuid, signal), VIR_DOMAIN_XML.MIGRATABLE | VIR_DOMAIN_XML.SECURE, { signal });
    },
    readSaved,
    async writeSaved(vm, xml, signal) {
      await session.savedImageDefine(savePath(vm), xml, 0, { signal });
    },
    async write(xml, signal) {
      await session.domainDefine(xml, 0, { signal });
    },
    async dropSaved(uuid, signal) {
      const domain = await must(uuid, signal);
      if (await session.domainHasManagedSave(domain, { signal }))
        await session.domainManagedSaveRemove(domain, { signal });
      await files.remove(savePath(domain.name), signal);
    },
    async setAutostart(uuid, autostart, signal) {
      await session.domainSetAutostart(await must(uuid, signal), autostart, { signal });
    },
    async start(uuid, signal) {
      await session.domainCreate(await must(uuid, signal), 0, { signal });
    },
    filesInUse: (signal) => filesInUse(session, pools, signal),
    ...snapshotsOn(session),
    async startHelper(helper, marker, signal) {
      try {
        await must(helper.uuid, signal);
      } catch (error) {
        if (!(error instanceof LibvirtError) || error.code !== VIR_ERR.NO_DOMAIN) throw error;
        const vm = await must(helper.vm, signal);
        const own = [
          ...(helper.saved === true ? [await readSaved(vm.name, signal)] : []),
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
  };
}

/** PCI and mediated devices, and network cards that are one. USB ones too: libvirt refuses all of them. */
const isHostDevice = ({ name, attributes }: XmlElement): boolean =>
  name === 'hostdev' || (name === 'interface' && attributes.get('type') === 'hostdev');

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

/** A definition by itself: what only its host could tell is left out. */
export function describeDefinition(xml: string): VmFacts {
  const root = parseXml(xml);
  const devices = xmlChild(root, 'devices')?.children ?? [];
  return {
    saved: false,
    autostart: false,
    persistent: true,
    disks: disksOf(root).map(({ element, ...disk }) => {
      const identity = identityOf(element, disk.type, disk.source);
      const chain = disk.format === 'raw' ? { images: [], ended: true } : namedChain(element);
      const backing = chain?.images ?? [];
      const told = disk.source === undefined || chain?.ended === true || backing.at(-1)?.format === 'raw';
      return {
        ...disk,
        backing,
        ...(told ? {} : { chainUnknown: true as const }),
        ...(identity === undefined ? {} : { identity }),
      };
    }),
    stateFiles: [],
    statePlaces: statePlacesOf({
      name: xmlChild(root, 'name')?.text ?? '',
      uuid: xmlChild(root, 'uuid')?.text ?? '',
      nvram: nvramOf(root),
      tpm: hasTpm(devices),
      persistent: true,
    }),
    nvram: nvramOf(root).length > 0,
    hostDevices: devices.filter(isHostDevice).length,
    snapshots: 0,
    externalSnapshots: false,
    checkpoints: 0,
    needs: needsOf(root),
    ...guestStateOf(root),
  };
}
