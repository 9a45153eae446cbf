// Domain definitions to measure with: a base like the lab's guests and, in turns, forms of what a lab lacks (devices of
// the host, NUMA, several graphics, own namespaces, comments, entities). Each is laid out as libvirt prints it.

const cards = (index: number, count: number): string =>
  Array.from(
    { length: count },
    (_, card) => `    <interface type='network'>
      <mac address='52:54:00:${hex(index >> 8)}:${hex(index)}:${hex(card)}'/>
      <source network='net-${card % 3}'${card % 2 === 0 ? '' : " portgroup='tagged'"}/>
      <model type='virtio'/>
      <filterref filter='clean-traffic'>
        <parameter name='IP' value='10.0.${index % 250}.${card + 1}'/>
      </filterref>
      <address type='pci' domain='0x0000' bus='0x01' slot='0x0${card % 8}' function='0x0'/>
    </interface>`,
  ).join('\n');

const disks = (index: number, count: number): string =>
  Array.from(
    { length: count },
    (_, disk) => `    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' io='native' discard='unmap'/>
      <source file='/var/lib/libvirt/images/vm-${index}-${disk}&amp;data.qcow2' index='${disk + 1}'/>
      <backingStore type='file' index='9'>
        <format type='qcow2'/>
        <source file='/var/lib/libvirt/images/base.qcow2'/>
        <backingStore/>
      </backingStore>
      <target dev='vd${String.fromCodePoint(97 + disk)}' bus='virtio'/>
      <serial>00${index}</serial>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x0${disk % 8}' function='0x0'/>
    </disk>`,
  ).join('\n');

const hex = (value: number): string => (value & 255).toString(16).padStart(2, '0');

const forms: readonly ((index: number) => {
  readonly head: string;
  readonly devices: string;
  readonly tail: string;
})[] = [
  () => ({
    head: '',
    devices: "    <console type='pty'>\n      <target type='serial' port='0'/>\n    </console>",
    tail: '',
  }),
  () => ({
    head:
      "  <cputune>\n    <vcpupin vcpu='0' cpuset='4-7,^6'/>\n    <emulatorpin cpuset='1-3'/>\n  " +
      "</cputune>\n  <numatune>\n    <memory mode='strict' nodeset='0'/>\n  </numatune>\n",
    devices:
      "    <hostdev mode='subsystem' type='pci' managed='yes'>\n      <source>\n        <address " +
      "domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/>\n      </source>\n    </hostdev>",
    tail: '',
  }),
  () => ({
    head: '  <description>caf&#233; &lt;b&gt; &#x10;</description>\n'.replace('&#x10;', '&#10;'),
    devices:
      "    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1' passwd='a&quot;b'>\n      " +
      "<listen type='address' address='127.0.0.1'/>\n    </graphics>\n    <graphics type='spice' " +
      "autoport='yes'>\n      <listen type='none'/>\n    </graphics>\n    <!-- added by hand -->",
    tail: '',
  }),
  (index) => ({
    head:
      `  <metadata>\n    <app:owner xmlns:app="http://example.org/app/1.0" id="${index}"><![CDATA[a <b> & ` +
      'c]]></app:owner>\n  </metadata>\n',
    devices:
      "    <tpm model='tpm-crb'>\n      <backend type='emulator' version='2.0'/>\n    </tpm>\n    <rng " +
      "model='virtio'>\n      <backend model='random'>/dev/urandom</backend>\n    </rng>",
    tail:
      "  <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n    <qemu:arg " +
      "value='-newarg'/>\n  </qemu:commandline>\n",
  }),
];

/** As many different definitions as asked for. */
export function domainXmls(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => {
    const { head, devices, tail } = forms[index % forms.length]?.(index) ?? { head: '', devices: '', tail: '' };
    return `<domain type='kvm' id='${index + 1}'>
  <name>vm-${index}</name>
  <uuid>${index.toString(16).padStart(8, '0')}-1111-4111-8111-111111111111</uuid>
${head}  <memory unit='KiB'>0004194304</memory>
  <currentMemory unit='KiB'>4194304</currentMemory>
  <vcpu placement='static'>4</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <boot dev='hd'/>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>Skylake-Server-IBRS</model>
    <feature policy='require' name='hypervisor'/>
  </cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
${disks(index, 1 + (index % 3))}
${cards(index, 1 + (index % 2))}
${devices}
    <memballoon model='virtio'/>
  </devices>
${tail}</domain>
`;
  });
}
