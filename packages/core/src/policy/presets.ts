/**
 * Policies that come with Ferry: its own, and those that reproduce what other systems do, so that an operator can go on
 * with what is known, and so that they can be compared. Figures are those of the named versions and documents.
 */
import type { Policy, PolicyContent, PolicyStep } from '../model/policy.ts';

const gib = (seconds: number): number => seconds * 1_000;
const rest = { singleCopy: 'guard', twoCopies: 'alarm', unknownSharing: 'refuse' } as const;

/** They filter hosts by CPU. */
const cpuFits = { 'target-cpu-lacks': 'refuse', 'target-cpu-differs': 'refuse' } as const;

/** oVirt's schedules count passes: the item is due when more than `count` passes are over. */
const ladder = (...items: readonly (readonly [count: number, toMs: number])[]): readonly PolicyStep[] =>
  items.map(([count, toMs]) => ({ when: 'passes', count, do: 'raise-downtime', toMs }));

/**
 * Nova counts at least two GiB. It raises in equal parts, one each `delay` seconds per GiB, from limit/steps to the
 * limit.
 */
function novaRamp(limitMs: number, steps: number, delaySeconds: number): readonly PolicyStep[] {
  const base = limitMs / steps;
  return Array.from({ length: steps }, (_, index): PolicyStep => ({
    when: 'elapsed',
    ms: 2 * gib(delaySeconds * (index + 1)),
    msPerGib: gib(delaySeconds * (index + 1)),
    do: 'raise-downtime',
    toMs: Math.round(base + ((limitMs - base) / steps) * (index + 1)),
  }));
}

const contents: Readonly<Record<string, PolicyContent>> = {
  // Ferry's own. The budget begins low, since an uncapped small guest was measured to pause 278-589 ms under QEMU's
  // 300 ms (docs/policies.md).
  default: {
    description:
      'Raises the pause up to 500 ms where that is enough, then switches to post-copy where both hosts could ' +
      'resume it; never pauses, throttles or powers off.',
    downtime: { initialMs: 100, limitMs: 500 },
    steps: [
      { when: 'forecast', do: 'fit-downtime' },
      { when: 'forecast', do: 'post-copy' },
      { when: 'deadline', do: 'abort' },
      { when: 'no-progress', ms: 300_000, do: 'abort' },
    ],
    patience: 0.75,
    postCopy: 'if-recoverable',
    linkShare: 0.9,
    ...rest,
  },
  // Harvester's "Migration Timeouts": 800 s per GiB, 150 s without progress; nothing else is on by default.
  harvester: {
    description:
      'Like Harvester: aborts after 800 s per GiB, or 150 s without progress; only to hosts whose CPU fits the guest.',
    // "host-model" only to the same model; a volume with one replica does not migrate
    checks: { ...cpuFits, 'target-cpu-next-start': 'refuse', 'vm-one-replica': 'refuse' },
    downtime: { initialMs: 300, limitMs: 300 },
    steps: [
      { when: 'elapsed', msPerGib: gib(800), do: 'abort' },
      { when: 'no-progress', ms: 150_000, do: 'abort' },
    ],
    postCopy: 'never',
    ...rest,
  },
  // KubeVirt's cluster defaults (completionTimeoutPerGiB 150, progressTimeout 150, allowAutoConverge and
  // allowPostCopy false).
  kubevirt: {
    description: 'Like KubeVirt: aborts after 150 s per GiB, or 150 s without progress.',
    downtime: { initialMs: 300, limitMs: 300 },
    steps: [
      { when: 'no-progress', ms: 150_000, do: 'abort' },
      { when: 'elapsed', msPerGib: gib(150), do: 'abort' },
    ],
    postCopy: 'never',
    ...rest,
  },
  // Nova's [libvirt] live_migration_downtime 500, _steps 10, _delay 75 s per GiB, _completion_timeout 800 s per GiB,
  // _timeout_action abort.
  nova: {
    description:
      'Like Nova: raises the pause in ten steps to 500 ms, one each 75 s per GiB, and aborts after 800 s per GiB.',
    downtime: { initialMs: 50, limitMs: 500 },
    steps: [...novaRamp(500, 10, 75), { when: 'elapsed', ms: 2 * gib(800), msPerGib: gib(800), do: 'abort' }],
    postCopy: 'never',
    ...rest,
  },
  // Private Cloud Director runs Nova; its hosts of one cluster have one release (22.04 and 24.04 are never mixed) and
  // one CPU model.
  pcd: {
    description:
      'Like Private Cloud Director: as Nova, and not to another operating system, to older versions of libvirt or QEMU, ' +
      'nor where the CPU does not fit.',
    downtime: { initialMs: 50, limitMs: 500 },
    steps: [...novaRamp(500, 10, 75), { when: 'elapsed', ms: 2 * gib(800), msPerGib: gib(800), do: 'abort' }],
    postCopy: 'never',
    checks: {
      ...cpuFits,
      'target-os-differs': 'refuse',
      'target-older-libvirt': 'refuse',
      'target-older-qemu': 'refuse',
    },
    ...rest,
  },
  // oVirt's policies: packaging/dbscripts/upgrade/pre_upgrade/0000_config.sql (MigrationPolicies). QEMU's own
  // throttle figures, 20 and 10 percent.
  'ovirt-minimal-downtime': {
    description:
      'Like oVirt\'s "Minimal downtime": throttles, raises the pause from 100 to 500 ms pass by pass, then aborts.',
    downtime: { initialMs: 100, limitMs: 500 },
    steps: [...ladder([1, 150], [2, 200], [3, 300], [4, 400], [6, 500]), { when: 'passes', count: 7, do: 'abort' }],
    throttle: { initialPercent: 20, incrementPercent: 10 },
    postCopy: 'never',
    ...rest,
  },
  'ovirt-post-copy': {
    description: 'Like oVirt\'s "Post-copy": throttles, raises the pause to 200 ms, then switches to post-copy.',
    downtime: { initialMs: 100, limitMs: 200 },
    steps: [
      ...ladder([1, 150], [2, 200]),
      { when: 'passes', count: 3, do: 'post-copy' },
      { when: 'passes', count: 4, do: 'abort' },
    ],
    throttle: { initialPercent: 20, incrementPercent: 10 },
    postCopy: 'allowed',
    ...rest,
  },
  'ovirt-suspend': {
    description:
      'Like oVirt\'s "Suspend workload if needed": throttles, compresses, raises the pause to 500 ms, then to 5 s, then aborts.',
    downtime: { initialMs: 100, limitMs: 5_000 },
    steps: [
      ...ladder([1, 150], [2, 200], [3, 300], [4, 400], [6, 500], [7, 5_000]),
      { when: 'passes', count: 8, do: 'abort' },
    ],
    throttle: { initialPercent: 20, incrementPercent: 10 },
    compression: 'xbzrle',
    postCopy: 'never',
    ...rest,
  },
  // Its zero copy needs what few hosts allow (locked memory); ask for that with --zero-copy.
  'ovirt-very-large': {
    description:
      'Like oVirt\'s "Very large VMs": throttles, raises the pause from 300 ms to 1.5 s, then to 5 s, then aborts.',
    downtime: { initialMs: 300, limitMs: 5_000 },
    steps: [
      ...ladder([1, 400], [2, 500], [3, 700], [4, 1_000], [6, 1_500], [7, 5_000]),
      { when: 'passes', count: 8, do: 'abort' },
    ],
    throttle: { initialPercent: 20, incrementPercent: 10 },
    postCopy: 'never',
    ...rest,
  },
  // Cloudpods' host agent: auto-converge from 60 by 20 percent, downtime 300 ms; "quickly finish" takes what is needed
  // once throttling is at its end for two passes; after memory / (32 MB/s), at least 30 s, the guest is paused.
  cloudpods: {
    description:
      'Like Cloudpods with quick convergence: throttles hard, then accepts the pause that is needed; pauses the guest ' +
      'after 32 s per GiB; only to hosts with the same CPU, microcode and kernel.',
    // what --skip-cpu-check and --skip-kernel-check lift
    checks: {
      ...cpuFits,
      'target-cpu-model': 'refuse',
      'target-microcode': 'refuse',
      'target-kernel-differs': 'refuse',
    },
    downtime: { initialMs: 300, limitMs: 2_000_000 },
    steps: [
      { when: 'throttled', percent: 99, passes: 2, do: 'fit-downtime' },
      { when: 'elapsed', ms: 30_000, msPerGib: gib(32), do: 'pause' },
    ],
    throttle: { initialPercent: 60, incrementPercent: 20 },
    postCopy: 'never',
    ...rest,
  },
  // Proxmox VE's QemuMigrate: auto-converge and xbzrle on; the pause doubles after five rounds in which the rest
  // grew, without end.
  proxmox: {
    description:
      'Like Proxmox VE: throttles and compresses, doubles the pause after five passes without gain, as often as it takes.',
    downtime: { initialMs: 100, limitMs: 2_000_000 },
    steps: [{ when: 'stalled', passes: 5, do: 'double-downtime' }],
    throttle: { initialPercent: 20, incrementPercent: 10 },
    compression: 'xbzrle',
    postCopy: 'never',
    ...rest,
  },
  // VMmanager's documentation: a live migration of a busy VM may take long; its advice is to stop the VM and migrate it
  // then.
  vmmanager: {
    description:
      'Like VMmanager: a guest that does not converge is shut down, moved cold and started again; only to hosts with the ' +
      'same libvirt and QEMU.',
    checks: {
      'target-older-libvirt': 'refuse',
      'target-older-qemu': 'refuse',
      'target-newer-libvirt': 'refuse',
      'target-newer-qemu': 'refuse',
    },
    downtime: { initialMs: 300, limitMs: 300 },
    steps: [
      { when: 'stalled', passes: 5, do: 'power-off' },
      { when: 'no-progress', ms: 300_000, do: 'power-off' },
    ],
    postCopy: 'never',
    ...rest,
  },
  // RHEL's "virsh migrate --live" and its chapter on limitations: the CPU has to fit, and with NUMA pinning the nodes.
  rhel: {
    description:
      "Like RHEL's book: live, with no measure of its own; only where the CPU fits, and NUMA nodes that the VM is bound to.",
    checks: { ...cpuFits, 'target-pinning': 'refuse', 'target-numa': 'refuse' },
    downtime: { initialMs: 300, limitMs: 300 },
    steps: [{ when: 'deadline', do: 'abort' }],
    postCopy: 'never',
    ...rest,
  },
  // RHEL's "virsh migrate --postcopy --timeout SECONDS --timeout-postcopy"; the book leaves the seconds to the reader.
  'rhel-postcopy': {
    description: "Like RHEL's advice: live, and post-copy when that has not ended after 60 s; only where the CPU fits.",
    checks: cpuFits,
    downtime: { initialMs: 300, limitMs: 300 },
    steps: [{ when: 'elapsed', ms: 60_000, do: 'post-copy' }],
    postCopy: 'allowed',
    ...rest,
  },
};

export const defaultPolicyName = 'default';
export const presets: ReadonlyMap<string, Policy> = new Map(
  Object.entries(contents).map(([name, content]) => [name, { ...content, name, version: 0 }]),
);
