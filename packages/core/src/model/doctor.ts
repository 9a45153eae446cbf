/**
 * The one table of what "ferry host doctor" finds: what it means, and how much it matters. The sentence and the remedy are
 * made where the finding arises (fleet/doctor.ts). docs/hosts.md shows the table.
 */

/** `mend`: moves to or from the host fail, or a guest could be harmed. `note`: it is as it is, and worth knowing. */
export type DoctorVerdict = 'mend' | 'note' | 'unknown';

interface DoctorRow {
  readonly meaning: string;
  readonly verdict: DoctorVerdict;
}

const row = (meaning: string, verdict: DoctorVerdict = 'mend'): DoctorRow => ({ meaning, verdict });

export const doctorTable = {
  'host-away': row('The host does not answer, or another machine does.'),
  'host-question-silent': row('The host did not answer a question in time.', 'unknown'),
  'host-connections': row('The daemon of the host accepts no further connection (max_clients).'),
  'host-qemu': row('libvirt on the host finds no QEMU.'),
  'host-kvm': row('The host has no KVM for guests of its own architecture.', 'note'),
  'host-uri-local': row('The host was added by an address that other hosts cannot use.', 'note'),
  'host-name-local': row('The host calls itself localhost, so libvirt refuses migrations to its name.'),
  'host-name-shared': row('Two hosts call themselves by one name.'),
  'host-migration-address': row('The host has no address in the migration network of its cluster.'),
  'host-certificate': row('The certificate of the daemon expires soon.'),
  'host-clock': row('The clock of the host differs from that of the control plane.'),
  'host-defect': row('The libvirt of the host has a known defect.', 'note'),
  'pool-inactive': row('A storage pool of the host is not active.', 'note'),
  'pool-not-everywhere': row('Other hosts of the cluster have a storage pool that the host lacks.', 'note'),
  'pool-elsewhere': row('A storage pool of the host has another folder than on other hosts of the cluster.', 'note'),
  'network-stopped': row('A network of the host is not active.', 'note'),
  'network-not-everywhere': row('Other hosts of the cluster have a network that the host lacks.', 'note'),
  'secret-empty': row('A secret of the host has no value.', 'note'),
  'pair-not-reached': row('The daemon of a host did not reach that of another one.'),
  'cluster-versions': row('Hosts of a cluster have different versions of libvirt or QEMU.', 'note'),
  'cluster-cpus': row('Hosts of a cluster have different CPUs or microcode.', 'note'),
  'cluster-systems': row(
    'Hosts of a cluster have different operating systems or kernels, as their labels say.',
    'note',
  ),
} as const satisfies Record<string, DoctorRow>;

export type DoctorCode = keyof typeof doctorTable;

export interface DoctorFinding {
  readonly code: DoctorCode;
  readonly verdict: DoctorVerdict;
  /** The host that it is about; of a cluster, none. */
  readonly host?: string;
  /** The other host of a pair. */
  readonly to?: string;
  readonly cluster?: string;
  readonly message: string;
  readonly remedy: string;
}
