// The part of a HostSession that reaches into a running guest. It adds nothing to libvirt's calls but a connection of
// its own for the one that nobody bounds.
import type { CallOptions } from './connection.ts';
import { guestProcedures as p } from './guest-procedures.ts';
import type { Procedure } from './procedure.ts';
import type { DomainRef } from './wire-types.ts';

/** Since 1970, UTC. */
export interface GuestTime {
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

export interface GuestCalls {
  /**
   * Asks the guest to shut down, and does not wait for it. `flags` are VIR_DOMAIN_SHUTDOWN; 0: by its agent if it has
   * one, else by its power button.
   */
  domainShutdown(dom: DomainRef, flags?: number, options?: CallOptions): Promise<void>;
  /**
   * Lets the guest's agent set its clock, and with it the clock that survives a restart. libvirt waits 5 s for a sign
   * of life of the agent (AGENT_UNRESPONSIVE), then without end for its work: give a signal. On a connection of its
   * own, so that one that hangs holds up no other.
   */
  domainSetTime(dom: DomainRef, time: GuestTime, options?: CallOptions): Promise<void>;
  /**
   * One QMP command as JSON, past libvirt; the answer is QEMU's, `error` in it included. Of the QEMU driver only.
   * libvirt marks the domain as tainted by it (custom-monitor), which shows in its log and in the domain's messages.
   */
  domainMonitorCommand(dom: DomainRef, command: string, options?: CallOptions): Promise<string>;
}

type Call = <A, R>(procedure: Procedure<A, R>, args: A, options: CallOptions | undefined) => Promise<R>;

export function guestCalls(call: Call, callOnItsOwn: Call): GuestCalls {
  return {
    domainShutdown: (dom, flags, options) => call(p.domainShutdownFlags, { dom, flags: flags ?? 0 }, options),
    domainSetTime: (dom, { seconds, nanoseconds }, options) =>
      callOnItsOwn(p.domainSetTime, { dom, seconds, nanoseconds, flags: 0 }, options),
    domainMonitorCommand: async (dom, command, options) =>
      (await call(p.qemuDomainMonitorCommand, { dom, command, flags: 0 }, options)).result,
  };
}
