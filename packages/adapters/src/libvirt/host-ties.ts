/**
 * Reads from a definition what ties its VM to the host beside disks and cards. Pure.
 */
import type { HostPath, Tie } from '@ferry/core';
import { xmlAt, xmlChild, type XmlElement } from '@ferry/libvirt';

const devicesOf = (root: XmlElement): readonly XmlElement[] => xmlChild(root, 'devices')?.children ?? [];
const typeOf = (element: XmlElement | undefined): string => element?.attributes.get('type') ?? '';
const folderOf = (path: string): string => path.slice(0, Math.max(path.lastIndexOf('/'), 1));
/** Every host has these. */
const everywhere: readonly string[] = ['/dev/random', '/dev/urandom', '/dev/null', '/dev/zero', '/dev/ptmx'];

export function pathsOf(root: XmlElement): readonly HostPath[] {
  const found = [...bootFiles(root), ...devicesOf(root).flatMap(devicePaths)].filter(
    ({ path }) => path.startsWith('/') && !everywhere.includes(path),
  );
  // a serial line shows itself as a console, too
  return [...new Map(found.map((each) => [each.path, each])).values()];
}

function bootFiles(root: XmlElement): readonly HostPath[] {
  const os = xmlChild(root, 'os');
  const file = (what: string, path: string | undefined): readonly HostPath[] =>
    path === undefined || path === '' ? [] : [{ path, kind: 'file', what }];
  const entries = (xmlChild(root, 'sysinfo')?.children ?? []).map(({ attributes }) => attributes.get('file'));
  return [
    ...file('kernel', xmlAt(os, 'kernel')?.text),
    ...file('initrd', xmlAt(os, 'initrd')?.text),
    ...file('device tree', xmlAt(os, 'dtb')?.text),
    ...file('firmware', xmlAt(os, 'loader')?.text),
    ...file('template of its UEFI variables', xmlAt(os, 'nvram')?.attributes.get('template')),
    ...file('ACPI table', xmlAt(os, 'acpi', 'table')?.text),
    ...entries.flatMap((path) => file('firmware setting', path)),
  ];
}

function devicePaths(device: XmlElement): readonly HostPath[] {
  const source = xmlChild(device, 'source');
  const at = (name: string): string => source?.attributes.get(name) ?? '';
  const path = (kind: HostPath['kind'], what: string, value: string): readonly HostPath[] => [
    { kind, what, path: value },
  ];
  switch (device.name) {
    case 'filesystem': {
      const tag = xmlChild(device, 'target')?.attributes.get('dir') ?? '';
      if (source?.attributes.has('socket') === true)
        return path('device', `socket of the folder shared as ${tag}`, at('socket'));
      return path('folder', `folder shared as ${tag}`, at('dir'));
    }
    case 'serial':
    case 'parallel':
    case 'console':
    case 'channel':
      if (typeOf(device) === 'file')
        return path('folder', `where its ${device.name} output goes`, folderOf(at('path')));
      if (typeOf(device) === 'dev' || typeOf(device) === 'pipe') return path('device', device.name, at('path'));
      return typeOf(device) === 'unix' && at('mode') === 'connect'
        ? path('device', `socket of its ${device.name}`, at('path'))
        : [];
    case 'interface':
      return typeOf(device) === 'vhostuser' ? path('device', 'socket of a network card', at('path')) : [];
    case 'rng':
      return path('device', 'source of randomness', xmlChild(device, 'backend')?.text ?? '');
    case 'input':
      return path('device', 'input device', source?.attributes.get('dev') ?? source?.attributes.get('evdev') ?? '');
    case 'tpm':
      return path('device', 'TPM', xmlAt(xmlChild(device, 'backend'), 'device')?.attributes.get('path') ?? '');
    case 'memory':
      return path('file', 'memory module', xmlChild(source, 'path')?.text ?? '');
    default:
      return [];
  }
}

export const tiesOf = (root: XmlElement): readonly Tie[] =>
  devicesOf(root).flatMap((device): readonly Tie[] => {
    if (device.name === 'filesystem') {
      const name =
        xmlChild(device, 'source')?.attributes.get('dir') ?? xmlChild(device, 'target')?.attributes.get('dir') ?? '';
      return [{ kind: typeOf(xmlChild(device, 'driver')) === 'virtiofs' ? 'virtiofs' : '9p', name }];
    }
    if (device.name !== 'shmem') return [];
    return [
      {
        kind: 'shmem',
        name: device.attributes.get('name') ?? '',
        model: typeOf(xmlChild(device, 'model')) || 'ivshmem',
        role: device.attributes.get('role') ?? '',
      },
    ];
  });
