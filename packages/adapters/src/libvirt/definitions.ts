/**
 * The driver of the DefinitionPort: what a VM consists of, and its definition. It reads and changes, and makes no
 * decisions.
 */
import type { DiskFacts, NextStart, VmFacts, VmUuid } from '@ferry/core';
import type { DefinitionPort, FilePort, SavedMemoryPort } from '@ferry/engine';
import {
  LibvirtError,
  parseXml,
  VIR_DOMAIN_SNAPSHOT_LIST,
  VIR_DOMAIN_UNDEFINE,
  VIR_DOMAIN_XML,
  xmlChild,
  type DomainRef,
  type HostSession,
} from '@ferry/libvirt';
import { compareCpu, guestCpuOf } from './cpu.ts';
import { namedChain } from './chains.ts';
import { diskReader, identityOf } from './disk-facts.ts';
import { unlessUnsupported } from './failure.ts';
import { inTurn } from './in-turn.ts';
import type { PoolLender } from './pool-lending.ts';
import { guestStateOf } from './guest-state.ts';
import { hardwareOf } from './hardware.ts';
import { needsOf } from './rewrite.ts';
import { hasTpm, nvramOf, savePath, statePlacesOf } from './state-places.ts';
import { disksOf } from './translate.ts';
import { filesInUse } from './uses.ts';

export function definitionsOf(
  session: HostSession,
  pools: PoolLender,
  files: FilePort,
  savedMemory: SavedMemoryPort,
): DefinitionPort {
  const must = (uuid: VmUuid, signal: AbortSignal): Promise<DomainRef> => session.domainByUuid(uuid, { signal });

  const describeDisk = diskReader(session, pools);

  /** A second definition beside one whose disks are known: a disk that both have is as it is known already. */
  const describeOther = async (xml: string, known: readonly DiskFacts[], signal: AbortSignal): Promise<NextStart> => {
    const root = parseXml(xml);
    // libvirt reports sizes only for the running definition
    const disks = disksOf(root).map(
      async (disk) =>
        known.find(({ target, source }) => source !== undefined && target === disk.target && source === disk.source) ??
        describeDisk(undefined, disk, undefined, signal),
    );
    return { disks: await Promise.all(disks), needs: needsOf(root) };
  };

  /** What the guest in a file of saved memory has; a text where libvirt cannot read it. */
  const describeSaved = async (
    name: string,
    known: readonly DiskFacts[],
    signal: AbortSignal,
  ): Promise<{ readonly guest: NextStart; readonly nvram: readonly string[] } | string> => {
    try {
      const xml = await savedMemory.read(name, signal);
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
      const next = nextXml === undefined ? undefined : parseXml(nextXml);
      const later = {
        nvram: next === undefined || !persistent ? [] : nvramOf(next),
        tpm: next !== undefined && persistent && hasTpm(xmlChild(next, 'devices')?.children ?? []),
      };
      const statePlaces = statePlacesOf({ name: domain.name, uuid: domain.uuid, nvram, tpm, persistent, later });
      // what a running guest has travels with it
      const asFiles = statePlaces.filter(({ what, when }) => what !== 'memory' && runs === (when === 'next-start'));
      const others = await present(
        asFiles.map(({ path }) => path),
        signal,
      );
      const defined = { disks, needs: needsOf(root) };
      const cpu = runs ? guestCpuOf(xml, root, next) : undefined;
      return {
        saved: (persistent && saved) || inFile !== undefined,
        ...(typeof inFile === 'string' ? { savedUnread: inFile } : {}),
        autostart: persistent && autostart,
        persistent,
        stateFiles: [...memory, ...others],
        statePlaces,
        nvram: nvram.length > 0,
        hardware: hardwareOf(root),
        snapshots: snapshots.count,
        externalSnapshots: snapshots.external,
        checkpoints: checkpoints?.length ?? 0,
        ...(typeof inFile === 'object' ? { ...inFile.guest, nextStart: defined } : defined),
        ...guestStateOf(root),
        ...(cpu === undefined ? {} : { cpu }),
        ...(persistent && nextXml !== undefined ? { nextStart: await describeOther(nextXml, disks, signal) } : {}),
      };
    },
    async cpuOf(uuid, signal) {
      const domain = await must(uuid, signal);
      if (domain.id < 0) return undefined;
      const [xml, next] = await Promise.all([
        session.domainXml(domain, 0, { signal }),
        session.domainXml(domain, VIR_DOMAIN_XML.INACTIVE, { signal }),
      ]);
      return guestCpuOf(xml, parseXml(xml), parseXml(next));
    },
    compareCpu: (cpu, signal) => compareCpu(session, cpu, signal),
    filesInUse: (signal) => filesInUse(session, pools, signal),
    async read(uuid, signal) {
      // without devices that libvirt adds itself: an older version may not know their names (the watchdog of q35, named
      // since 9.1)
      return session.domainXml(
        await must(uuid, signal),
        VIR_DOMAIN_XML.INACTIVE | VIR_DOMAIN_XML.MIGRATABLE | VIR_DOMAIN_XML.SECURE,
        { signal },
      );
    },
    async readMigratable(uuid, signal) {
      return session.domainXml(await must(uuid, signal), VIR_DOMAIN_XML.MIGRATABLE | VIR_DOMAIN_XML.SECURE, { signal });
    },
    async write(xml, signal) {
      await session.domainDefine(xml, 0, { signal });
    },
    async undefine(uuid, signal) {
      const domain = await must(uuid, signal);
      await session.domainUndefine(
        domain,
        VIR_DOMAIN_UNDEFINE.MANAGED_SAVE | VIR_DOMAIN_UNDEFINE.KEEP_NVRAM | VIR_DOMAIN_UNDEFINE.KEEP_TPM,
        { signal },
      );
      // a file of saved memory that libvirt did not know of would come back with the next VM of this name
      await files.remove(savePath(domain.name), signal);
    },
    async setAutostart(uuid, autostart, signal) {
      await session.domainSetAutostart(await must(uuid, signal), autostart, { signal });
    },
  };
}

/** A definition alone, without what only its host knows. */
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
    hardware: hardwareOf(root),
    snapshots: 0,
    externalSnapshots: false,
    checkpoints: 0,
    needs: needsOf(root),
    ...guestStateOf(root),
  };
}
