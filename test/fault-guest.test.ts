/**
 * The guest itself does something in the middle of its migration: it reboots, shuts down, or its QEMU crashes. Told to
 * it through QEMU's monitor, since libvirt lets nothing else in while a guest migrates. On a LUN without locks.
 */
import { test } from 'node:test';
import { killGuest, readTicks, virsh, vmLog, waitFor } from '@ferry/lab';
import { begin, countsOn, guestWithRecords, intact, onlyFull } from './fault-fixture.ts';
import { withFleet, type Fleet } from './fleet.ts';

let fleet: Fleet;
withFleet(async (made) => {
  fleet = made;
  await guestWithRecords(made, 'willed');
});

const monitor = (host: string, command: string, vm = 'willed') =>
  virsh(fleet.lab, host, ['qemu-monitor-command', '--hmp', vm, command]);
const booted = (times: number) =>
  waitFor('the guest to boot again', () => readTicks(vmLog(fleet.lab, 'willed')).boots.length >= times || undefined, {
    timeoutMs: 60_000,
  });

test('the guest reboots in the middle: the migration goes on', { timeout: 120_000 }, async () => {
  const begun = await begin(fleet, 'willed', { mib: 2 });
  await monitor(begun.from, 'system_reset');
  await booted(begun.boots + 1);
  await fleet.plane.json('migration', 'set', begun.id, '--max-bandwidth-mb', '100');
  await intact(fleet, begun, { at: begun.to, outcome: 'succeeded', newBoots: 1 });
});

test(
  'the guest shuts down: the migration ends, and the VM is shut off where it was',
  { timeout: 120_000, skip: onlyFull('reboots are in every run') },
  async () => {
    const begun = await begin(fleet, 'willed', { mib: 2 });
    await monitor(begun.from, 'system_powerdown');
    await intact(fleet, begun, { at: begun.from, outcome: 'failed', state: 'shut off', error: /stopped on/ });
  },
);

test(
  "the guest's QEMU crashes: the migration ends, and the VM is shut off where it was",
  { timeout: 120_000, skip: onlyFull('reboots are in every run') },
  async () => {
    const begun = await begin(fleet, 'willed', { mib: 2 });
    await killGuest(fleet.lab, begun.from, 'willed');
    await intact(fleet, begun, { at: begun.from, outcome: 'failed', state: 'shut off', error: /stopped on/ });
  },
);

test(
  "the guest's half on the target crashes: the migration ends, and the guest runs on at the source",
  { timeout: 120_000, skip: onlyFull('reboots are in every run') },
  async () => {
    const begun = await begin(fleet, 'willed', { mib: 2 });
    await killGuest(fleet.lab, begun.to, 'willed');
    await countsOn(fleet, 'willed');
    await intact(fleet, begun, { at: begun.from, outcome: 'failed' });
  },
);

test(
  'the kernel of the guest panics, and its panic device stops it: it arrives all the same, and reboots there as its kernel is told to',
  { timeout: 120_000, skip: onlyFull('reboots are in every run') },
  async () => {
    const { host } = await fleet.show('willed');
    await virsh(fleet.lab, host, ['destroy', 'willed']);
    await fleet.sh(
      host,
      `virsh -q dumpxml --inactive willed | sed -e 's#</cmdline># unknown_nmi_panic</cmdline>#' -e ` +
        `"s#</devices>#<panic model='isa'/></devices>#" >/root/willed.xml; virsh -q define ` +
        '/root/willed.xml; virsh -q start willed',
    );
    await booted(readTicks(vmLog(fleet.lab, 'willed')).boots.length + 1);
    const begun = await begin(fleet, 'willed', { mib: 2 });
    await monitor(begun.from, 'nmi');
    await waitFor(
      'QEMU to stop the guest',
      async () => (await monitor(begun.from, 'info status')).includes('guest-panicked') || undefined,
      { timeoutMs: 30_000 },
    );
    await fleet.plane.json('migration', 'set', begun.id, '--max-bandwidth-mb', '100');
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded', newBoots: 1 });
  },
);

test(
  'a guest whose on_reboot is destroy reboots: the migration ends, and the VM is shut off where it was',
  { timeout: 120_000 },
  async () => {
    const { host } = await fleet.show('willed');
    await virsh(fleet.lab, host, ['destroy', 'willed']);
    await fleet.sh(
      host,
      'virsh -q dumpxml --inactive willed | sed "s#<on_reboot>restart#<on_reboot>destroy#" ' +
        '>/root/willed.xml; virsh -q define /root/willed.xml; virsh -q start willed',
    );
    await booted(readTicks(vmLog(fleet.lab, 'willed')).boots.length + 1);
    const begun = await begin(fleet, 'willed', { mib: 2 });
    // libvirt ends QEMU for it, at times before QEMU has answered; without the reset the guest would arrive
    await monitor(begun.from, 'system_reset').catch(() => undefined);
    await intact(fleet, begun, { at: begun.from, outcome: 'failed', state: 'shut off', error: /stopped on/ });
  },
);
