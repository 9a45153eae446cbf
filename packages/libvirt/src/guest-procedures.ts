// The rows of procedures.ts that reach into a running guest: its power button, the agent in it, the QEMU around it.
import { Program } from './frame.ts';
import { openEnded, row } from './procedure.ts';
import { domain, str } from './wire-types.ts';
import { i64, nothing, struct, u32 } from './xdr.ts';

export const guestProcedures = {
  domainShutdownFlags: row(258, 'DOMAIN_SHUTDOWN_FLAGS', struct({ dom: domain, flags: u32 }), nothing),
  domainSetTime: openEnded(
    row(338, 'DOMAIN_SET_TIME', struct({ dom: domain, seconds: i64, nanoseconds: u32, flags: u32 }), nothing),
  ),
  qemuDomainMonitorCommand: openEnded(
    row(
      1,
      'QEMU_DOMAIN_MONITOR_COMMAND',
      struct({ dom: domain, command: str, flags: u32 }),
      struct({ result: str }),
      'normal',
      Program.QEMU,
    ),
  ),
} as const;
