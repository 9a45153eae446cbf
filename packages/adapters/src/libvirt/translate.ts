/**
 * libvirt's numbers and XML as core's words. Pure: no call is made here.
 */
import {
  vmUuid,
  type CompletedJob,
  type Disk,
  type DomainState,
  cpuSetText,
  type GuestSupport,
  type HostCpu,
  type HostFacts,
  type Instance,
  type JobSample,
  type NumaNode,
  type StateReason,
} from '@ferry/core';
import {
  parseXml,
  VIR_DOMAIN_JOB,
  VIR_DOMAIN_PAUSED_REASON,
  VIR_DOMAIN_RUNNING_REASON,
  VIR_DOMAIN_SHUTOFF_REASON,
  VIR_DOMAIN_STATE,
  xmlAt,
  xmlChild,
  type DomainRef,
  type TypedParams,
  type XmlElement,
} from '@ferry/libvirt';

const states: Readonly<Record<number, DomainState>> = {
  [VIR_DOMAIN_STATE.NOSTATE]: 'no-state',
  [VIR_DOMAIN_STATE.RUNNING]: 'running',
  [VIR_DOMAIN_STATE.BLOCKED]: 'blocked',
  [VIR_DOMAIN_STATE.PAUSED]: 'paused',
  [VIR_DOMAIN_STATE.SHUTDOWN]: 'shutting-down',
  [VIR_DOMAIN_STATE.SHUTOFF]: 'shut-off',
  [VIR_DOMAIN_STATE.CRASHED]: 'crashed',
  [VIR_DOMAIN_STATE.PMSUSPENDED]: 'pm-suspended',
};

const reasons: Readonly<Record<number, Readonly<Record<number, StateReason>>>> = {
  [VIR_DOMAIN_STATE.RUNNING]: {
    [VIR_DOMAIN_RUNNING_REASON.BOOTED]: 'booted',
    [VIR_DOMAIN_RUNNING_REASON.MIGRATED]: 'migrated',
    [VIR_DOMAIN_RUNNING_REASON.MIGRATION_CANCELED]: 'migration-canceled',
    [VIR_DOMAIN_RUNNING_REASON.POSTCOPY]: 'post-copy',
    [VIR_DOMAIN_RUNNING_REASON.POSTCOPY_FAILED]: 'post-copy-failed',
  },
  [VIR_DOMAIN_STATE.PAUSED]: {
    [VIR_DOMAIN_PAUSED_REASON.USER]: 'user',
    [VIR_DOMAIN_PAUSED_REASON.MIGRATION]: 'migration',
    [VIR_DOMAIN_PAUSED_REASON.POSTCOPY]: 'post-copy',
    [VIR_DOMAIN_PAUSED_REASON.POSTCOPY_FAILED]: 'post-copy-failed',
    [VIR_DOMAIN_PAUSED_REASON.STARTING_UP]: 'starting',
  },
  [VIR_DOMAIN_STATE.SHUTOFF]: {
    [VIR_DOMAIN_SHUTOFF_REASON.MIGRATED]: 'migrated',
    [VIR_DOMAIN_SHUTOFF_REASON.SAVED]: 'saved',
  },
};

export const stateOf = (
  state: number,
  reason: number,
): { readonly state: DomainState; readonly reason: StateReason } => ({
  state: states[state] ?? 'no-state',
  reason: reasons[state]?.[reason] ?? 'other',
});

const devices: Readonly<Record<string, Disk['device']>> = {
  disk: 'disk',
  cdrom: 'cdrom',
  floppy: 'floppy',
  lun: 'lun',
};

function diskOf(element: XmlElement): Disk {
  const type = element.attributes.get('type') ?? 'file';
  const source = xmlChild(element, 'source');
  const attribute = (name: string) => source?.attributes.get(name);
  const network =
    attribute('protocol') === undefined ? undefined : `${attribute('protocol')}:${attribute('name') ?? ''}`;
  const volume = attribute('pool') === undefined ? undefined : `${attribute('pool')}/${attribute('volume') ?? ''}`;
  const from = attribute('file') ?? attribute('dev') ?? volume ?? network ?? attribute('dir') ?? attribute('path');
  const format = xmlChild(element, 'driver')?.attributes.get('type');
  return {
    target: xmlChild(element, 'target')?.attributes.get('dev') ?? '',
    device: devices[element.attributes.get('device') ?? 'disk'] ?? 'disk',
    type,
    ...(from === undefined ? {} : { source: from }),
    ...(format === undefined ? {} : { format }),
    readOnly: xmlChild(element, 'readonly') !== undefined,
  };
}

/** Every disk of a definition, with the element it was read from. */
export const disksOf = (domain: XmlElement): readonly (Disk & { readonly element: XmlElement })[] =>
  (xmlChild(domain, 'devices')?.children ?? [])
    .filter(({ name }) => name === 'disk')
    .map((element) => ({ ...diskOf(element), element }));

/** libvirt lets a shut-off VM have up to 2^63 bytes, and a number holds 2^53: more than any host has. */
function countOf(text: string | undefined, unit = 1): number {
  const count = Number(text ?? 0) * unit;
  return Number.isFinite(count) && count > 0 ? Math.min(Math.round(count), Number.MAX_SAFE_INTEGER) : 0;
}

/** Memory and disks of a definition. libvirt writes `<memory unit='KiB'>`. */
export function definitionOf(xml: string): Pick<Instance, 'memoryBytes' | 'disks' | 'vcpus'> {
  const root = parseXml(xml);
  return {
    memoryBytes: countOf(xmlChild(root, 'memory')?.text, 1024),
    vcpus: countOf(xmlChild(root, 'vcpu')?.attributes.get('current') ?? xmlChild(root, 'vcpu')?.text),
    disks: (xmlChild(root, 'devices')?.children ?? []).filter(({ name }) => name === 'disk').map(diskOf),
  };
}

export function instanceOf(
  domain: DomainRef,
  at: { readonly state: number; readonly reason: number },
  persistent: boolean,
  saved: boolean,
  xml: string,
): Instance {
  return {
    uuid: vmUuid(domain.uuid),
    name: domain.name,
    ...stateOf(at.state, at.reason),
    persistent,
    ...(saved ? { saved } : {}),
    ...definitionOf(xml),
  };
}

/** Of the host's capabilities; a daemon that gives none is known by its host's name. */
export const machineUuidOf = (hostname: string, capabilities: string): string =>
  xmlChild(xmlChild(parseXml(capabilities), 'host'), 'uuid')?.text ?? hostname;

/** What the host runs by full virtualisation. */
const guestsOf = (capabilities: XmlElement): readonly GuestSupport[] =>
  capabilities.children
    .filter((guest) => guest.name === 'guest' && xmlChild(guest, 'os_type')?.text === 'hvm')
    .flatMap((guest): readonly GuestSupport[] => {
      const arch = xmlChild(guest, 'arch');
      if (arch === undefined) return [];
      const named = arch.children.filter(({ name }) => name === 'machine');
      return [
        {
          arch: arch.attributes.get('name') ?? '',
          emulator: xmlChild(arch, 'emulator')?.text ?? '',
          machines: named.filter(({ attributes }) => !attributes.has('canonical')).map(({ text }) => text),
          aliases: named.filter(({ attributes }) => attributes.has('canonical')).map(({ text }) => text),
          domainTypes: arch.children
            .filter(({ name }) => name === 'domain')
            .map(({ attributes }) => attributes.get('type') ?? ''),
        },
      ];
    });

export function factsOf(
  hostname: string,
  capabilities: string,
  versions: { readonly libvirt: string; readonly qemu: string | undefined },
  node: { readonly cpus: number; readonly memoryBytes: number },
): HostFacts {
  const root = parseXml(capabilities);
  const host = xmlChild(root, 'host');
  const cpu = xmlChild(host, 'cpu');
  return {
    hostname,
    machineUuid: machineUuidOf(hostname, capabilities),
    libvirtVersion: versions.libvirt,
    ...(versions.qemu === undefined ? {} : { qemuVersion: versions.qemu }),
    cpu: {
      arch: xmlAt(cpu, 'arch')?.text ?? '',
      model: xmlAt(cpu, 'model')?.text ?? '',
      vendor: xmlAt(cpu, 'vendor')?.text ?? '',
      threads: node.cpus,
      ...cpuDetailsOf(cpu),
    },
    memoryBytes: node.memoryBytes,
    guests: guestsOf(root),
    ...nodesOf(host),
  };
}

/** What tells two CPUs of one model apart. */
function cpuDetailsOf(cpu: XmlElement | undefined): Pick<HostCpu, 'signature' | 'microcode' | 'tsc'> {
  const signature = xmlChild(cpu, 'signature')?.attributes;
  const microcode = xmlChild(cpu, 'microcode')?.attributes.get('version');
  const counter = (cpu?.children ?? []).find(
    ({ name, attributes }) => name === 'counter' && attributes.get('name') === 'tsc',
  )?.attributes;
  const hz = Number(counter?.get('frequency'));
  return {
    ...(signature === undefined
      ? {}
      : { signature: ['family', 'model', 'stepping'].map((name) => signature.get(name) ?? '?').join('/') }),
    ...(microcode === undefined ? {} : { microcode }),
    ...(hz > 0 ? { tsc: { hz, scaling: counter?.get('scaling') === 'yes' } } : {}),
  };
}

function nodesOf(host: XmlElement | undefined): Pick<HostFacts, 'nodes'> {
  const nodes = (xmlAt(host, 'topology', 'cells')?.children ?? []).flatMap((cell): readonly NumaNode[] => {
    const id = Number(cell.attributes.get('id'));
    const cpus = (xmlChild(cell, 'cpus')?.children ?? []).map(({ attributes }) => Number(attributes.get('id')));
    return Number.isSafeInteger(id) ? [{ id, cpus: cpuSetText(cpus.filter(Number.isSafeInteger)) }] : [];
  });
  return nodes.length === 0 ? {} : { nodes };
}

/** Of `<sysinfo>`: vendor, version and date. */
export function firmwareOf(sysinfo: string): string | undefined {
  const entries = xmlChild(parseXml(sysinfo), 'bios')?.children ?? [];
  const said = ['vendor', 'version', 'date'].flatMap(
    (name) => entries.find(({ attributes }) => attributes.get('name') === name)?.text.trim() ?? [],
  );
  return said.length === 0 ? undefined : said.join(' ');
}

/** `mdev`: an mdev, with its UUID and type. `types`: what more the device could give. */
export function mediatedOf(xml: string): {
  readonly mdev?: readonly [uuid: string, type: string];
  readonly types: readonly (readonly [type: string, free: number])[];
} {
  const capabilities = parseXml(xml).children.filter(({ name }) => name === 'capability');
  const of = (type: string): XmlElement | undefined =>
    [...capabilities, ...capabilities.flatMap(({ children }) => children)].find(
      ({ name, attributes }) => name === 'capability' && attributes.get('type') === type,
    );
  const mdev = of('mdev');
  const uuid = xmlChild(mdev, 'uuid')?.text.toLowerCase() ?? '';
  const types = (of('mdev_types')?.children ?? []).filter(({ name }) => name === 'type');
  return {
    ...(mdev === undefined || uuid === '' ? {} : { mdev: [uuid, xmlChild(mdev, 'type')?.attributes.get('id') ?? ''] }),
    types: types.map((type) => [type.attributes.get('id') ?? '', countOf(xmlChild(type, 'availableInstances')?.text)]),
  };
}

const figure = (params: TypedParams, name: string): number => Number(params.get(name) ?? 0);

/** A running migration job's figures; undefined for no job or one of another kind. */
export function sampleOf({
  type,
  params,
}: {
  readonly type: number;
  readonly params: TypedParams;
}): JobSample | undefined {
  if (type !== VIR_DOMAIN_JOB.BOUNDED && type !== VIR_DOMAIN_JOB.UNBOUNDED) return undefined;
  return {
    processedBytes: figure(params, 'data_processed'),
    remainingBytes: figure(params, 'data_remaining'),
    totalBytes: figure(params, 'data_total'),
    dirtyBytesPerSecond: figure(params, 'memory_dirty_rate') * (figure(params, 'memory_page_size') || 4096),
    throughputBytesPerSecond: figure(params, 'memory_bps') + figure(params, 'disk_bps'),
    iteration: figure(params, 'memory_iteration'),
    elapsedMs: figure(params, 'time_elapsed'),
    ...(params.has('memory_total')
      ? {
          memory: {
            totalBytes: figure(params, 'memory_total'),
            remainingBytes: figure(params, 'memory_remaining'),
            sentBytes: figure(params, 'memory_processed'),
          },
        }
      : {}),
    ...(figure(params, 'disk_total') > 0
      ? { disk: { totalBytes: figure(params, 'disk_total'), remainingBytes: figure(params, 'disk_remaining') } }
      : {}),
    throttlePercent: figure(params, 'auto_converge_throttle'),
    postCopyFaults: figure(params, 'memory_postcopy_requests'),
  };
}

/**
 * What was sent for the memory; of disks libvirt counts the places it passed, empty ones too, so they are left out
 * here.
 */
export function completedOf({
  type,
  params,
}: {
  readonly type: number;
  readonly params: TypedParams;
}): CompletedJob | undefined {
  if (type !== VIR_DOMAIN_JOB.COMPLETED) return undefined;
  return { downtimeMs: figure(params, 'downtime'), transferredBytes: figure(params, 'memory_processed') };
}

/** Mbit/s of a network card as its node device describes it; undefined when it is not up or does not tell. */
export function linkSpeedOf(xml: string): number | undefined {
  const card = xmlChild(parseXml(xml), 'capability');
  const link = card === undefined ? undefined : xmlChild(card, 'link')?.attributes;
  const speed = Number(link?.get('speed'));
  return link?.get('state') === 'up' && Number.isFinite(speed) && speed > 0 ? speed : undefined;
}

/** Hardware address of a network card as its node device describes it; undefined for a virtual one. */
export function cardAddressOf(xml: string): string | undefined {
  const device = parseXml(xml);
  const address = xmlAt(device, 'capability', 'address')?.text ?? '';
  return address === '' || xmlChild(device, 'parent')?.text === 'computer' ? undefined : address.toLowerCase();
}
