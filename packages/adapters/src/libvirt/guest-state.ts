/** Reads from a definition what of its guest's state depends on the versions of its hosts. Pure. */
import type { VmFacts } from '@ferry/core';
import { xmlAt, xmlChild, type XmlElement } from '@ferry/libvirt';

/** Devices that are virtio by their name alone. */
const always: readonly string[] = ['vsock', 'crypto'];

function isVirtio({ name, attributes, children }: XmlElement): boolean {
  const model = attributes.get('model') ?? '';
  const more = children.map((child) =>
    child.name === 'model'
      ? `${child.attributes.get('type') ?? ''}${child.attributes.get('name') ?? ''}`
      : (child.attributes.get('bus') ?? ''),
  );
  return (
    always.includes(name) || [model, attributes.get('type') ?? '', ...more].some((each) => each.startsWith('virtio'))
  );
}

/** libvirt writes the profile of the TPM's state since 10.10, where its TPM emulator has profiles. */
export function guestStateOf(root: XmlElement): Pick<VmFacts, 'virtio' | 'tpmProfile'> {
  const devices = xmlChild(root, 'devices')?.children ?? [];
  const profile = devices
    .filter(({ name }) => name === 'tpm')
    .map((tpm) => xmlAt(tpm, 'backend', 'profile')?.attributes.get('name'))
    .find((name) => name !== undefined);
  return {
    ...(devices.some(isVirtio) ? { virtio: true as const } : {}),
    ...(profile === undefined ? {} : { tpmProfile: profile }),
  };
}
