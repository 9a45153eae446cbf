/**
 * The one table of reasons: every code that a check answers with, what it is about, what it means, and what it does. The sentence
 * and the remedy name the thing and are made where the reason arises. docs/reasons.md shows the table.
 */

/** What has to change, or to be asked for otherwise. */
export type ReasonSubject = 'vm' | 'request' | 'target' | 'storage' | 'definition' | 'transfer';

/**
 * What it does to the move: it is refused, it waits for other migrations, or it goes on, and what is lost or not known is
 * said. A policy may refuse what is said (policy/strictness.ts); it never allows what is refused.
 */
export type CheckVerdict = 'refuse' | 'wait' | 'warn' | 'unknown';

interface ReasonRow {
  readonly about: ReasonSubject;
  readonly meaning: string;
  readonly verdict: CheckVerdict;
}

const row = (about: ReasonSubject, meaning: string, verdict: CheckVerdict = 'refuse'): ReasonRow => ({
  about,
  meaning,
  verdict,
});

export const reasonTable = {
  'source-unreachable': row('vm', "The VM's host does not answer."),
  'host-other-machine': row('vm', 'Another machine answers at the address of the host.'),
  'facts-missing': row('vm', 'The hosts did not say what the plan needs to know.'),
  'source-slots': row('vm', 'The limit of migrations that leave the host is reached.'),
  'vm-gone': row('vm', 'No host has the VM now.'),
  'vm-moved': row('vm', 'The VM is on another host than when the move was requested.'),
  'vm-state': row('vm', 'The VM is in a state in which it cannot be moved.'),
  'kind-unfit': row('vm', 'The kind of move does not fit the state of the VM.'),
  'vm-arrived-paused': row('vm', 'The VM arrived paused and was not resumed since.'),
  'vm-parked': row(
    'vm',
    'Only a definition that was kept on purpose is known of the VM, and a host does not answer or was removed.',
  ),
  'vm-two-copies': row('vm', 'More than one copy of the VM is active, or was when its host last answered.'),
  'vm-two-definitions': row('vm', 'Two hosts have a definition of the VM, and neither is known to be parked.'),
  'rule-pinned': row('vm', 'A rule pins the VM to its host.'),
  'vm-host-devices': row('vm', 'A running guest uses devices of its host.'),
  'vm-launch-security': row('vm', "A running guest's memory is encrypted against its host."),
  'vm-invtsc': row('vm', 'A running guest has an invariant time stamp counter without a frequency.'),
  'source-refuses': row('vm', 'libvirt or QEMU on the source does not let the running guest go.'),
  'source-refuses-unknown': row(
    'vm',
    'Ferry cannot tell whether libvirt on the source lets the running guest go.',
    'unknown',
  ),
  'vm-teaming': row('vm', 'The guest loses a card of its host while it moves, and another one stands in.', 'warn'),
  'vm-nested': row('vm', 'The guest may run guests of its own.', 'warn'),
  'vm-one-replica': row('vm', 'A label says that the storage of the VM has one replica.', 'warn'),
  'vm-shared-folder': row('vm', 'A running guest shares a folder with its host.'),
  'vm-shared-memory': row('vm', 'A running guest shares memory with other guests of its host.'),
  'saved-memory-unread': row('vm', 'The definition in the saved memory of the VM cannot be read.'),
  'auto-start-unfit': row('request', 'The VM runs, so that it cannot be started after the move.'),
  'keep-source-transient': row('request', 'A transient VM has no definition to keep on the source.'),
  'temporary-unfit': row('request', 'Only a VM that runs can be on another host temporarily.'),
  'temporary-transient': row('request', 'A transient VM has no definition to come back to.'),
  'temporary-needs-shared': row('request', 'A temporary move cannot copy disks.'),
  'xml-malformed': row('request', 'The given definition cannot be read.'),
  'xml-identity': row('request', 'The given definition is of another VM.'),
  'xml-disks': row('request', 'The given definition lacks disks that the VM has.'),
  'saved-memory-xml': row(
    'request',
    'The VM is saved, and its memory has a definition that the given one cannot replace.',
  ),
  'rescue-unfit': row('request', 'The request does not fit the rescue of a VM whose host is down.'),
  'rescue-saved-memory': row('request', 'The memory of the VM is saved on the host that is said to be down.'),
  'rescue-source-answers': row('request', 'The host that is said to be down answers.'),
  'rescue-source-unclear': row('request', 'Whether the host that is said to be down answers is not known yet.'),
  'no-other-host': row('target', 'No other host is in question.'),
  'target-unknown': row('target', 'There is no host of that name.'),
  'target-removed': row('target', 'The host was removed since the move was requested.'),
  'target-unreachable': row('target', 'The host does not answer.'),
  'target-silent': row('target', 'The host did not answer a question in time.'),
  'target-full': row('target', 'The host accepts no further connection.'),
  'target-is-source': row('target', 'The VM is on that host already.'),
  'target-cordoned': row('target', 'The host takes no VMs: it is cordoned, being drained, or in maintenance.'),
  'target-slots': row('target', 'The limit of migrations that come to the host is reached.'),
  'target-tried': row('target', 'An earlier attempt to move to that host failed.'),
  'target-other-cluster': row('target', 'The host belongs to another cluster.'),
  'target-arch': row('target', 'The host has another processor architecture.'),
  'target-no-kvm': row('target', 'The host has no KVM for guests like the VM.'),
  'target-no-qemu': row('target', 'libvirt finds no QEMU on the host.'),
  'target-machine-unknown': row('target', "The host's QEMU does not have the machine type of the VM."),
  'target-older-libvirt': row('target', 'The host has an older libvirt than the source of a running guest.', 'warn'),
  'target-older-qemu': row('target', 'The host has an older QEMU than the source of a running guest.', 'warn'),
  'target-newer-libvirt': row('target', 'The host has a newer libvirt than the source of a running guest.', 'warn'),
  'target-newer-qemu': row('target', 'The host has a newer QEMU than the source of a running guest.', 'warn'),
  'target-os-differs': row('target', 'The host has another operating system, as their labels say.', 'warn'),
  'target-os-unknown': row('target', 'Nobody said which operating system a host has.', 'unknown'),
  'target-kernel-differs': row('target', 'The host has another kernel, as their labels say.', 'warn'),
  'target-kernel-unknown': row('target', 'Nobody said which kernel a host has.', 'unknown'),
  'known-defect': row('target', 'A version of libvirt has a known defect that this move meets.', 'warn'),
  'target-cpu-lacks': row('target', 'libvirt says that the host cannot provide the CPU of the guest.', 'warn'),
  'target-cpu-differs': row('target', 'The guest has the CPU of its host as it is, and the host has another.', 'warn'),
  'target-cpu-unknown': row('target', 'Ferry cannot tell whether the host has the CPU of the guest.', 'unknown'),
  'target-cpu-model': row('target', 'The host has another CPU than the source.', 'warn'),
  'target-microcode': row('target', 'The CPU of the host has another microcode than that of the source.', 'warn'),
  'target-firmware': row('target', 'The host has another firmware than the source.', 'warn'),
  'target-cpu-next-start': row(
    'target',
    'The guest takes the CPU model of its host, and gets another one at its next start there.',
    'warn',
  ),
  'target-tsc': row(
    'target',
    'The time stamp counter of the host has another frequency than the guest was promised.',
    'warn',
  ),
  'target-hyperv': row(
    'target',
    'The guest has the Hyper-V features of its host, and the target may have others.',
    'warn',
  ),
  'target-huge-pages': row('target', 'The host has too few free huge pages.'),
  'target-huge-pages-unknown': row(
    'target',
    'Ferry cannot tell whether the host has enough free huge pages.',
    'unknown',
  ),
  'target-pinning': row('target', 'The guest is bound to CPUs or NUMA nodes that the host does not have.', 'warn'),
  'target-numa': row('target', 'The guest is bound to CPUs or NUMA nodes, and those of the host are others.', 'warn'),
  'target-mediated': row('target', 'The host does not have a mediated device (vGPU) of the VM.'),
  'launch-security-unknown': row(
    'target',
    'Ferry cannot tell whether the host can encrypt the memory of the guest.',
    'unknown',
  ),
  'target-few-threads': row('target', 'The VM has more virtual CPUs than the host has threads.', 'warn'),
  'target-not-asked': row(
    'target',
    'The plan is made of a file, which does not say what the host has for the VM.',
    'unknown',
  ),
  'target-memory': row('target', 'The host has too little free memory.'),
  'target-overcommitted': row('target', 'The guests of the host would have been given more memory than it has.'),
  'target-memory-promised': row('target', 'Other migrations will take the memory that is free on the host.', 'wait'),
  'target-name-taken': row('target', 'The host has another VM of that name.'),
  'target-name-differs': row('target', 'The host has a definition of the VM under another name.'),
  'target-has-definition': row(
    'target',
    'The host keeps a definition of the VM, so that a guest there is not temporary.',
  ),
  'target-definition-unknown': row('target', 'The host has a definition of the VM that Ferry did not leave there.'),
  'target-not-addressable': row('target', 'The host has no address for migration data.'),
  'rule-apart': row('target', 'A rule keeps the VM apart from another that is there, or is on its way there.'),
  'rule-together': row('target', 'A rule keeps the VM together with others that are not there.'),
  'rule-on-hosts': row('target', 'A rule keeps the VM to other hosts.'),
  'rule-off-hosts': row('target', 'A rule keeps the VM off the host.'),
  'rule-soft': row('target', 'A soft rule would have the VM elsewhere.', 'warn'),
  'target-devices-unknown': row(
    'target',
    'Ferry cannot tell whether the target has devices in place of those of the source.',
    'unknown',
  ),
  'guest-memory-unsure': row('target', 'Ferry cannot tell whether the target takes the state of the guest.', 'unknown'),
  'guest-tpm-unsure': row(
    'target',
    'Ferry cannot tell whether the target reads the TPM state of the guest.',
    'unknown',
  ),
  'helper-machine': row('target', 'The hosts have no machine type in common to copy disks with.'),
  'target-pool-missing': row('storage', 'The host has no storage pool for a disk.'),
  'target-pool-inactive': row('storage', 'The storage pool for a disk is not active.'),
  'target-space': row('storage', 'The storage pool has too little free space.'),
  'target-unseen': row('storage', 'What is at the place of a disk on the target cannot be seen.'),
  'target-path-used': row('storage', 'Another VM uses the path on the target.'),
  'disk-base-not-shared': row('storage', 'A disk is shared, and the image below it is not.'),
  'disk-cache': row('storage', 'A cached disk could show the target old content.'),
  'disk-chain-unknown': row('storage', 'Ferry cannot tell the base images of a disk.'),
  'disk-chains-mixed': row('storage', 'Some disks have their base images on the target and others do not.'),
  'disk-encryption': row('storage', 'The encryption of a disk cannot be copied.'),
  'disk-external-snapshots': row('storage', 'A copy would join the images of snapshots into one.'),
  'disk-format': row('storage', 'Disks of this format are not copied.'),
  'disk-internal-checkpoints': row('storage', 'A copy would lose the checkpoints inside a disk.'),
  'disk-internal-snapshots': row('storage', 'A copy would lose the snapshots inside a disk.'),
  'disk-needed': row('storage', 'The source disk that is to be deleted is needed by others.'),
  'disk-next-start': row('storage', 'A disk in the definition for the next start cannot go along.'),
  'disk-not-copyable': row('storage', 'A disk that is no file is missing on the target.'),
  'disk-not-there': row('storage', 'A disk is said to be shared, and the target does not have it.'),
  'disk-of-others': row('storage', 'Another VM uses a disk that would be copied.'),
  'disk-other-file': row('storage', 'Source and target have different files at the path of a disk.'),
  'disk-path-parent': row('storage', 'The path of a disk contains "..".'),
  'disk-read-only-local': row('storage', 'A read-only image is only on the source.'),
  'disk-shareable': row('storage', 'A disk that several VMs may write cannot be copied.'),
  'disk-sharing-unknown': row('storage', 'Ferry cannot tell whether both hosts have the same storage.'),
  'disk-size-unknown': row('storage', 'The size of a disk cannot be read.'),
  'disk-twice': row('storage', 'The VM has one image as two disks.'),
  'disk-unseen': row('storage', 'A disk cannot be looked at.'),
  'volume-backing': row('storage', 'The prepared volume has a backing file.'),
  'volume-chain': row('storage', 'Ferry cannot tell whether the prepared volume above a base image is empty.'),
  'volume-encryption': row('storage', 'Ferry cannot tell whether the prepared volume has the key of the disk.'),
  'volume-exists': row('storage', 'Something is at the place of the copy already.'),
  'volume-format': row('storage', 'The prepared volume has another format.'),
  'volume-missing': row('storage', 'No volume was prepared for a disk.'),
  'volume-size': row('storage', 'The prepared volume has another size.'),
  'state-exists': row('storage', 'UEFI variables, TPM state or saved memory are on the target already.'),
  'state-of-others': row('storage', "Another VM uses the place of the VM's state on the target."),
  'state-shared-memory': row('storage', 'The saved memory is on storage that both hosts share.'),
  'saved-memory-unsure': row('storage', 'Ferry cannot tell whether the target can read the saved memory of the VM.'),
  'state-unseen': row('storage', "Whether files of the VM's state are on the target cannot be seen."),
  'tpm-state-unsure': row('storage', 'Ferry cannot tell whether the target can read the TPM state of the VM.'),
  'definition-missing': row('definition', 'No definition of the VM is stored.'),
  'bridge-missing': row('definition', 'The target has no bridge of that name.'),
  'network-missing': row('definition', 'The target has no network of that name.'),
  'network-inactive': row('definition', 'The network is not active on the target.'),
  'filter-missing': row('definition', 'The target has no network filter of that name.'),
  'secret-missing': row('definition', 'The target lacks a secret that the VM needs.'),
  'secret-no-value': row('definition', 'The secret has no value.'),
  'secret-private': row('definition', 'The secret is private, so that its value cannot be read.'),
  'secret-usage-taken': row('definition', 'Another secret on the target has the same usage.'),
  'file-missing': row('definition', 'The target lacks a file that the definition names.'),
  'folder-missing': row('definition', 'The target lacks a folder that the definition names.'),
  'path-unknown': row('definition', 'Ferry cannot tell whether the target has a path of the definition.', 'unknown'),
  'folder-content-unknown': row(
    'definition',
    'Ferry cannot tell whether a folder holds the same on both hosts.',
    'unknown',
  ),
  'secret-unknown': row('definition', 'Ferry cannot tell whether a private secret has the right value.', 'unknown'),
  'network-mtu': row('definition', 'A network carries smaller frames on the target.', 'warn'),
  'map-network-unknown': row('definition', 'A network is mapped that the VM does not use.'),
  'map-pool-missing': row('definition', 'A storage pool is mapped to one that the target lacks.'),
  'compression-parallel': row('transfer', 'xbzrle needs a single connection.'),
  'compression-single': row('transfer', 'This compression needs several connections.'),
  'compression-unsupported': row('transfer', 'A host does not support this compression.'),
  'migration-network': row('transfer', 'The target has no address in the migration network.'),
  'network-slots': row('transfer', 'The limit of migrations on the migration network is reached.'),
  'fleet-slots': row('transfer', 'The limit of migrations in the fleet is reached.'),
  'migration-ports': row('transfer', "No port of the cluster's range is free on the target."),
  'post-copy-direct': row('transfer', 'Post-copy needs the hosts to reach each other.'),
  'post-copy-parallel': row('transfer', 'Post-copy needs a single connection.'),
  'post-copy-tunnelled': row('transfer', 'Post-copy does not go through a tunnelled migration.'),
  'post-copy-unfit': row('transfer', 'Only a guest that runs while it moves can be switched to post-copy.'),
  'tunnelled-copies': row('transfer', 'A tunnelled migration copies no disks.'),
  'tunnelled-direct': row('transfer', 'A tunnelled migration needs a source that reaches the target.'),
  'tunnelled-parallel': row('transfer', 'A tunnelled migration has one connection.'),
  'tunnelled-tls': row('transfer', "A tunnelled migration has the encryption of the daemons' connection."),
  'zero-copy-changed': row('transfer', 'Zero-copy does not go with encryption or compression.'),
  'zero-copy-single': row('transfer', 'Zero-copy needs several connections.'),
  'zero-copy-unsupported': row('transfer', 'A host does not support zero-copy.'),
} as const satisfies Record<string, ReasonRow>;

export type ReasonCode = keyof typeof reasonTable;

/** Codes that do not refuse a move by themselves: what a policy decides on. */
export const softCodes: readonly ReasonCode[] = (Object.keys(reasonTable) as ReasonCode[]).filter((code) =>
  ['warn', 'unknown'].includes(reasonTable[code].verdict),
);

/** One answer of a check about one host, or about all. */
export interface Reason {
  readonly code: ReasonCode;
  /** Host the reason speaks of; absent when it holds for every host. */
  readonly host?: string;
  readonly message: string;
  readonly remedy: string;
}

/** A reason with what it does to this move. */
export interface Finding extends Reason {
  readonly verdict: CheckVerdict;
}
