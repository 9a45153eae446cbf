/**
 * Recorded fleets for tests and benchmarks, each made of a seed: hosts of two generations, some without service, VMs of
 * many sizes, labels and rules.
 */
import type { HostView } from '../../model/host.ts';
import { hostId, vmUuid, type VmUuid } from '../../model/ids.ts';
import type { Rule } from '../../model/rule.ts';
import type { Vm } from '../../model/vm.ts';
import { seeded } from '../group/example-groups.ts';
import type { Fleet } from './fleet.ts';

const gib = 1_073_741_824;

export interface FleetSize {
  readonly hosts: number;
  readonly vms: number;
  readonly seed: number;
  /** Of the memory of hosts; the rest is free. */
  readonly used?: number;
}

export function exampleFleet({ hosts: hostCount, vms: vmCount, seed, used = 0.6 }: FleetSize): Fleet {
  const random = seeded(seed);
  const sizes = [1, 1, 2, 2, 4, 4, 8, 16];
  const memoryOf = Array.from({ length: vmCount }, () => (sizes[random(sizes.length)] ?? 1) * gib);
  const onHost = memoryOf.map(() => random(hostCount));
  const taken = Array.from({ length: hostCount }, () => 0);
  for (const [vm, at] of onHost.entries()) taken[at] = (taken[at] ?? 0) + (memoryOf[vm] ?? 0);
  const mean = memoryOf.reduce((sum, bytes) => sum + bytes, 0) / hostCount;
  const hosts = Array.from({ length: hostCount }, (_, at): HostView => {
    const isNew = random(3) > 0;
    const memoryBytes = Math.max(taken[at] ?? 0, Math.ceil(mean / used / gib) * gib) + 2 * gib;
    const name = `host${at}`;
    const state = random(50) === 0 ? 'unreachable' : 'connected';
    return {
      host: {
        id: hostId(`id-${name}`),
        name,
        uri: `qemu+tcp://${name}/system`,
        cluster: hostCount >= 1_000 && at % 4 === 3 ? 'second' : 'default',
        machineUuid: `machine-${name}`,
        addedAt: 0,
        labels: [`zone=${'abc'.charAt(random(3))}`],
        ...(random(50) === 0 ? { service: { state: 'cordoned', since: 0 } } : {}),
      },
      state,
      facts: {
        hostname: name,
        machineUuid: `machine-${name}`,
        libvirtVersion: isNew ? '10.0.0' : '9.0.0',
        qemuVersion: isNew ? '8.2.0' : '7.2.0',
        cpu: { arch: 'x86_64', model: 'EPYC', vendor: 'AMD', threads: 64 },
        memoryBytes,
      },
      freeMemoryBytes: memoryBytes - (taken[at] ?? 0),
    };
  });
  const labels = new Map<VmUuid, readonly string[]>();
  const vms = memoryOf.map((memoryBytes, at): Vm => {
    const uuid = vmUuid(`${String(at).padStart(8, '0')}-0000-4000-8000-000000000000`);
    const name = `vm${at}`;
    const id = hosts[onHost[at] ?? 0]?.host.id ?? hostId('');
    if (at % 40 < 4) labels.set(uuid, [`app=a${Math.floor(at / 40) % 500}`]);
    const instance = {
      uuid,
      name,
      state: 'running' as const,
      reason: 'booted' as const,
      persistent: true,
      memoryBytes,
      vcpus: 2,
      disks: [],
    };
    return {
      uuid,
      name,
      hostId: id,
      state: 'running',
      memoryBytes,
      vcpus: 2,
      disks: [],
      instances: [{ hostId: id, role: 'authoritative', instance }],
    };
  });
  const apps = Math.min(500, Math.ceil(vmCount / 40));
  const rules = Array.from({ length: apps }, (_, app): Rule => {
    const kinds = ['apart', 'apart', 'together', 'on-hosts'] as const;
    const kind = kinds[app % kinds.length] ?? 'apart';
    return {
      name: `rule-${app}`,
      kind,
      strength: kind === 'together' || app % 3 === 0 ? 'soft' : 'hard',
      vmSelector: `app=a${app}`,
      ...(kind === 'on-hosts' ? { hostSelector: 'zone in (a,b)' } : {}),
    };
  });
  return {
    takenAt: 1_000_000,
    hosts,
    vms,
    labels,
    parkedOn: new Map(),
    arrivedPaused: new Set(),
    rules,
    clusters: [],
    policies: [],
    bindings: [],
    settings: {},
    migrations: [],
    reservations: {},
  };
}
