/** Devices of the host that a guest was given: which of them keep it there while it runs. Pure. */
import type { GivenDevice, GuestHardware } from '../model/hardware.ts';

/**
 * What stands in for a card with `teaming` goes along. A mediated device may: QEMU says so when it is asked, and the
 * target has to have it.
 */
export const boundDevices = ({ devices }: GuestHardware): readonly GivenDevice[] =>
  devices.filter(({ kind, teaming }) => teaming !== true && kind !== 'mdev');

export const mediatedIn = ({ devices }: GuestHardware): readonly GivenDevice[] =>
  devices.filter(({ kind }) => kind === 'mdev');

const words: Readonly<Record<GivenDevice['kind'], string>> = {
  pci: 'PCI device',
  usb: 'USB device',
  mdev: 'mediated device',
  scsi: 'SCSI device',
  other: 'device',
};

export const deviceText = ({ kind, name }: GivenDevice): string => `${words[kind]}${name === '' ? '' : ` ${name}`}`;
