/** The paths where libvirt's system QEMU driver keeps a VM's files other than disks. Pure. */
import type { VmFacts } from '@ferry/core';
import { xmlAt, type XmlElement } from '@ferry/libvirt';

/** Where libvirt's QEMU driver of the system keeps the memory of a saved VM, and the TPM state of either version. */
export const savePath = (name: string): string => `/var/lib/libvirt/qemu/save/${name}.save`;
export const tpmPaths = (uuid: string): readonly string[] => [
  `/var/lib/libvirt/swtpm/${uuid}/tpm2/tpm2-00.permall`,
  `/var/lib/libvirt/swtpm/${uuid}/tpm1.2/tpm-00.permall`,
];

/** File of the UEFI variables; none where they are no file, or there are none. */
export const nvramOf = (root: XmlElement): readonly string[] =>
  [xmlAt(root, 'os', 'nvram', 'source')?.attributes.get('file') ?? xmlAt(root, 'os', 'nvram')?.text ?? ''].filter(
    (path) => path !== '',
  );
export const hasTpm = (devices: readonly XmlElement[]): boolean =>
  devices.some(
    ({ name, children }) => name === 'tpm' && children.some((backend) => backend.attributes.get('type') === 'emulator'),
  );

export function statePlacesOf({
  name,
  uuid,
  nvram,
  tpm,
  persistent,
  later = { nvram: [], tpm: false },
}: {
  readonly name: string;
  readonly uuid: string;
  readonly nvram: readonly string[];
  readonly tpm: boolean;
  readonly persistent: boolean;
  /** Of the definition of a running guest's next start. */
  readonly later?: { readonly nvram: readonly string[]; readonly tpm: boolean };
}): VmFacts['statePlaces'] {
  return [
    // libvirt saves the memory of VMs that it has a definition of
    ...(persistent ? [{ path: savePath(name), what: 'memory' as const }] : []),
    ...nvram.map((path) => ({ path, what: 'nvram' as const })),
    ...(tpm ? tpmPaths(uuid).map((path) => ({ path, what: 'tpm' as const })) : []),
    ...later.nvram
      .filter((path) => !nvram.includes(path))
      .map((path) => ({ path, what: 'nvram' as const, when: 'next-start' as const })),
    ...(later.tpm && !tpm
      ? tpmPaths(uuid).map((path) => ({ path, what: 'tpm' as const, when: 'next-start' as const }))
      : []),
  ];
}
