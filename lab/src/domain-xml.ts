// The libvirt definition of a lab guest: one virtual CPU, a kernel or a boot sector, a serial log, one network card, at
// most one disk. Only plain data goes in; every value is escaped here, whatever it was checked for before.

import type { Accelerator } from './lab.ts';

export type DomainDisk =
  | { readonly type: 'file'; readonly path: string }
  | { readonly type: 'block'; readonly path: string }
  | { readonly type: 'nbd'; readonly host: string; readonly port: number; readonly exportName: string };

export type DomainBoot =
  /** `initrd`: file name of the initial file system. */
  | { readonly type: 'kernel'; readonly options: Readonly<Record<string, string>>; readonly initrd: string }
  /** A raw image that holds a boot sector; it is read only, and all hosts see it. */
  | { readonly type: 'sector'; readonly path: string };

export type DomainSpec = {
  readonly name: string;
  readonly uuid: string;
  readonly memoryMib: number;
  readonly accelerator: Accelerator;
  readonly machineType: string;
  readonly mac: string;
  readonly boot: DomainBoot;
  readonly disk: DomainDisk | undefined;
  /** A channel for the guest's agent. */
  readonly agent: boolean;
};

export function domainXml(spec: DomainSpec): string {
  const kvm = spec.accelerator === 'kvm';
  return [
    `<domain type='${kvm ? 'kvm' : 'qemu'}'>`,
    `  <name>${escape(spec.name)}</name>`,
    `  <uuid>${escape(spec.uuid)}</uuid>`,
    `  <memory unit='MiB'>${spec.memoryMib}</memory>`,
    '  <vcpu>1</vcpu>',
    '  <os>',
    `    <type arch='x86_64' machine='${escape(spec.machineType)}'>hvm</type>`,
    ...bootXml(spec.boot),
    '  </os>',
    '  <features><acpi/><apic/></features>',
    kvm
      ? "  <cpu mode='host-model'/>"
      : "  <cpu mode='custom' match='exact'><model>qemu64</model><feature policy='require' name='rdrand'/></cpu>",
    '  <on_poweroff>destroy</on_poweroff>',
    '  <on_reboot>restart</on_reboot>',
    '  <on_crash>destroy</on_crash>',
    '  <devices>',
    "    <controller type='usb' model='none'/>",
    ...(spec.disk === undefined ? [] : [diskXml(spec.disk)]),
    ...(spec.boot.type === 'sector'
      ? [
          `    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source ` +
            `file='${escape(spec.boot.path)}'/><target dev='vda' bus='virtio'/><readonly/></disk>`,
        ]
      : []),
    "    <interface type='bridge'>",
    `      <mac address='${escape(spec.mac)}'/>`,
    "      <source bridge='br0'/>",
    "      <model type='virtio'/>",
    "      <rom enabled='no'/>",
    '    </interface>',
    "    <serial type='file'>",
    `      <source path='/var/log/libvirt/serial/${escape(spec.name)}.log' append='on'/>`,
    "      <target port='0'/>",
    '    </serial>',
    ...(spec.agent ? ["    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"] : []),
    "    <memballoon model='virtio'/>",
    '  </devices>',
    '</domain>',
    '',
  ].join('\n');
}

function bootXml(boot: DomainBoot): readonly string[] {
  switch (boot.type) {
    case 'kernel': {
      // no_timer_check: on a busy machine an emulated timer misses the kernel's self-test, which then panics
      const options = [
        'console=ttyS0',
        'quiet',
        'panic=-1',
        'no_timer_check',
        'nokaslr',
        'mitigations=off',
        ...Object.entries(boot.options).map(([key, value]) => `ferry.${key}=${value}`),
      ];
      return [
        '    <kernel>/var/lib/libvirt/boot/vmlinuz</kernel>',
        `    <initrd>/var/lib/libvirt/boot/${escape(boot.initrd)}</initrd>`,
        `    <cmdline>${escape(options.join(' '))}</cmdline>`,
      ];
    }
    case 'sector':
      return ["    <boot dev='hd'/>"];
  }
}

function diskXml(disk: DomainDisk): string {
  const target = "<target dev='vda' bus='virtio'/>";
  switch (disk.type) {
    case 'file':
      return (
        `    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source ` +
        `file='${escape(disk.path)}'/>${target}</disk>`
      );
    case 'block':
      return (
        `    <disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/><source ` +
        `dev='${escape(disk.path)}'/>${target}</disk>`
      );
    case 'nbd':
      return (
        `    <disk type='network' device='disk'><driver name='qemu' type='raw' cache='none'/><source ` +
        `protocol='nbd' name='${escape(disk.exportName)}'><host name='${escape(disk.host)}' ` +
        `port='${disk.port}'/></source>${target}</disk>`
      );
  }
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll("'", '&apos;')
    .replaceAll('"', '&quot;');
}
