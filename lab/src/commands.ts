// The table of the lab's commands: their operands, options, help and what they print. Parsing is in main.ts, the work
// in the modules that are called here.

import { vmCheck } from './disk-check.ts';
import { runAttached } from './child.ts';
import { usageError } from './errors.ts';
import { changeLink, changeRate, execCommand, powerOff, powerOn } from './host.ts';
import { allLabs, labRef } from './lab.ts';
import type { DiskKind } from './lab.ts';
import { labDown, labStatus, labUp } from './lifecycle.ts';
import type { LabStatus } from './lifecycle.ts';
import { RELEASES, releaseOf } from './release.ts';
import type { Release } from './release.ts';
import { requireVm, vmCreate, vmDelete, vmList, vmLog } from './vm.ts';

export type Flags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

type Call = {
  readonly operands: readonly string[];
  readonly rest: readonly string[];
  readonly flags: Flags;
  readonly signal: AbortSignal;
};

export type Command = {
  readonly operands: readonly string[];
  readonly takesRest?: boolean;
  readonly summary: string;
  readonly options: Readonly<Record<string, string>>;
  readonly run: (call: Call) => Promise<number>;
};

export const COMMANDS: Readonly<Record<string, Command>> = {
  up: {
    operands: [],
    summary: 'Starts the lab: hosts with their own libvirt, on their own network. Does nothing if it is up.',
    options: {
      hosts: '--hosts N           how many hosts, host1 to hostN (3)',
      release:
        `--release HOST=R    which Debian release a host runs, of ${RELEASES.join(', ')} (the machine's); ` +
        'may be given for each host',
      'link-mbit': "--link-mbit M       the rate of each host's link in Mbit/s (not limited)",
      json: '--json              print the status as JSON',
    },
    run: async ({ flags, signal }) => {
      const hosts = numberFlag(flags, 'hosts');
      const linkMbit = numberFlag(flags, 'link-mbit');
      const lab = labOf(flags);
      const status = await labUp(lab, {
        releases: releasesFlag(flags),
        ...(hosts === undefined ? {} : { hosts }),
        ...(linkMbit === undefined ? {} : { linkMbit }),
        signal,
        onStep: (step) => process.stderr.write(`lab: ${step}\n`),
      });
      return print(flags, status, statusText);
    },
  },
  down: {
    operands: [],
    summary: 'Ends the lab and removes all of it, also an incomplete one. Does nothing if there is none.',
    options: { all: '--all               every lab below $FERRY_LAB_DIR (/var/tmp/ferry-lab)' },
    // not abortable: half a removal is of no use, and the next one would only do the rest
    run: async ({ flags }) => {
      const all = allLabs();
      const wanted = flags['all'] === true ? all : [labOf(flags)];
      for (const lab of wanted) {
        if (!all.some(({ name }) => name === lab.name))
          process.stderr.write(
            `lab: there is no lab "${lab.name}"${all.length === 0 ? '' : `; there is ${all.map(({ name }) => name).join(', ')}`}\n`,
          );
        await labDown(lab);
      }
      return 0;
    },
  },
  status: {
    operands: [],
    summary: 'Shows the hosts: name, address, libvirt URI, power and link.',
    options: { json: '--json              print it as JSON' },
    run: async ({ flags }) => print(flags, labStatus(labOf(flags)), statusText),
  },
  'vm create': {
    operands: ['NAME'],
    summary: 'Creates and starts a guest, and waits until it counts on its serial line.',
    options: {
      host: '--host H            where it starts',
      'memory-mib': '--memory-mib M      its memory (128; what it fills and 8 more for a sector guest)',
      disk: '--disk KIND         none, local, shared, block or nbd (none; shared for --workload disk)',
      'disk-mib': '--disk-mib M        the size of the disk (64)',
      workload:
        '--workload W        idle, disk, dirty:MIBPS to rewrite memory at that rate, or sector:V=256,W=64,D=20 (idle)',
      agent: "--agent             with QEMU's guest agent in the guest",
      'no-wait': '--no-wait           do not wait for the guest',
      'no-start': '--no-start          define it only',
      json: '--json              print {"name","uuid","host","address"}',
    },
    run: async ({ operands: [name = ''], flags, signal }) => {
      const host = stringFlag(flags, 'host');
      if (host === undefined) throw usageError('Name the host for the VM: --host host1.');
      const memoryMib = numberFlag(flags, 'memory-mib');
      const diskMib = numberFlag(flags, 'disk-mib');
      const workload = stringFlag(flags, 'workload');
      const disk = stringFlag(flags, 'disk');
      const vm = await vmCreate(labOf(flags), {
        name,
        host,
        signal,
        agent: flags['agent'] === true,
        until: flags['no-start'] === true ? 'defined' : flags['no-wait'] === true ? 'started' : 'answering',
        ...(memoryMib === undefined ? {} : { memoryMib }),
        ...(diskMib === undefined ? {} : { diskMib }),
        ...(workload === undefined ? {} : { workload }),
        // checked where the VM is made
        ...(disk === undefined ? {} : { disk: disk as DiskKind }),
      });
      return print(flags, vm, () => `${vm.name} is on ${vm.host} with address ${vm.address}\n`);
    },
  },
  'vm list': {
    operands: [],
    summary: 'Lists the guests and their hosts.',
    options: { json: '--json              print it as JSON' },
    run: async ({ flags, signal }) => {
      const vms = await vmList(labOf(flags), signal);
      return print(flags, vms, () =>
        table([
          ['NAME', 'HOST', 'STATE', 'ADDRESS', 'MEMORY', 'DISK', 'WORKLOAD'],
          ...vms.map((vm) => [vm.name, vm.host, vm.state, vm.address, `${vm.memoryMib} MiB`, vm.disk, vm.workload]),
        ]),
      );
    },
  },
  'vm log': {
    operands: ['NAME'],
    summary: 'Prints what the guest has written to its serial line, on all of its hosts.',
    options: {},
    run: async ({ operands: [name = ''], flags }) => {
      const lab = labOf(flags);
      requireVm(lab, name);
      process.stdout.write(vmLog(lab, name));
      return 0;
    },
  },
  'vm check': {
    operands: ['NAME'],
    summary:
      "Reads the guest's disk from outside and judges its records. Exit code 1 when some are missing or " +
      'damaged, or two copies of the guest wrote.',
    options: { json: '--json              print {"records","contiguous","corrupt","duplicateWriters",...}' },
    run: async ({ operands: [name = ''], flags, signal }) => {
      const verdict = await vmCheck(labOf(flags), name, signal);
      print(
        flags,
        verdict,
        () =>
          `${verdict.records} records, ${verdict.contiguous ? 'none missing' : 'some missing'}, ` +
          `${verdict.corrupt} corrupt, ${verdict.duplicateWriters ? 'more than one writer' : 'one writer'}\n`,
      );
      return verdict.contiguous && verdict.corrupt === 0 && !verdict.duplicateWriters ? 0 : 1;
    },
  },
  'vm delete': {
    operands: ['NAME'],
    summary: 'Powers the guest off and removes it with its disk and its log.',
    options: {},
    run: async ({ operands: [name = ''], flags }) => {
      await vmDelete(labOf(flags), name);
      return 0;
    },
  },
  'power-off': {
    operands: ['HOST'],
    summary: "Cuts the host's power: its libvirt and its guests end at once, and it no longer answers.",
    options: {},
    run: async ({ operands: [host = ''], flags, signal }) => {
      await powerOff(labOf(flags), host, signal);
      return 0;
    },
  },
  'power-on': {
    operands: ['HOST'],
    summary:
      'Gives the host power again and waits until its libvirt answers. Its guests are defined there, but shut off.',
    options: {},
    run: async ({ operands: [host = ''], flags, signal }) => {
      await powerOn(labOf(flags), host, signal);
      return 0;
    },
  },
  link: {
    operands: ['up|down', 'HOST'],
    summary: 'Plugs in or unplugs the host\'s network cable. See also "link rate".',
    options: {},
    run: async ({ operands: [state = '', host = ''], flags, signal }) => {
      if (state !== 'up' && state !== 'down')
        throw usageError(`A link is up or down, not "${state}"; or use "script/lab link rate HOST MBIT".`);
      await changeLink(labOf(flags), host, state === 'up', signal);
      return 0;
    },
  },
  'link rate': {
    operands: ['HOST', 'MBIT'],
    summary: 'Limits the host\'s link to MBIT Mbit/s in each direction; "none" removes the limit.',
    options: {},
    run: async ({ operands: [host = '', rate = ''], flags, signal }) => {
      await changeRate(labOf(flags), host, rate === 'none' ? undefined : positive('MBIT', rate), signal);
      return 0;
    },
  },
  exec: {
    operands: ['HOST'],
    takesRest: true,
    summary: "Runs a command on the host: script/lab exec HOST -- COMMAND... Its exit code is the command's.",
    options: {},
    run: async ({ operands: [host = ''], rest, flags }) => {
      if (rest.length === 0) throw usageError('Write the command after "--": script/lab exec host1 -- virsh list.');
      return await runAttached(execCommand(labOf(flags), host, rest));
    },
  },
};

export function overview(): string {
  const rows = Object.entries(COMMANDS).map(([name, command]) => [
    `  ${[name, ...command.operands, ...(command.takesRest === true ? ['-- COMMAND...'] : [])].join(' ')}`,
    command.summary.split(/(?<=\.) /)[0] ?? '',
  ]);
  return (
    `Real KVM/QEMU hosts on one machine.\n\nUse: script/lab [--lab NAME] COMMAND\n\n${table(rows)}\nThe ` +
    'lab is --lab NAME, else $FERRY_LAB, else "default". "script/lab COMMAND --help" tells more. Exit ' +
    'codes: 1 failed, 2 asked in a wrong way.\n'
  );
}

export function helpOf(name: string, command: Command): string {
  const options = [...Object.values(command.options), '--lab NAME          which lab ($FERRY_LAB, else default)'];
  return (
    `${command.summary}\n\nUse: script/lab ` +
    `${[name, ...command.operands, ...(command.takesRest === true ? ['-- COMMAND...'] : [])].join(' ')} ` +
    `[options]\n\n${options.map((option) => `  ${option}\n`).join('')}`
  );
}

function labOf(flags: Flags) {
  return labRef(stringFlag(flags, 'lab'));
}

function stringFlag(flags: Flags, name: string): string | undefined {
  const value = flags[name];
  return typeof value === 'string' ? value : undefined;
}

/** `host2=trixie` and the like. */
function releasesFlag(flags: Flags): Readonly<Record<string, Release>> {
  const values = flags['release'];
  return Object.fromEntries(
    (Array.isArray(values) ? values : []).map((value: string) => {
      const [, host, release] = /^(\w+)=(\w+)$/.exec(value) ?? [];
      if (host === undefined || release === undefined)
        throw usageError(`--release must be HOST=RELEASE, as in host2=trixie, not "${value}".`);
      return [host, releaseOf(release)];
    }),
  );
}

function numberFlag(flags: Flags, name: string): number | undefined {
  const value = stringFlag(flags, name);
  return value === undefined ? undefined : positive(`--${name}`, value);
}

function positive(what: string, text: string): number {
  if (!/^[1-9]\d{0,7}$/.test(text)) throw usageError(`${what} must be a whole number above 0, not "${text}".`);
  return Number(text);
}

function print<T>(flags: Flags, value: T, toText: (value: T) => string): number {
  process.stdout.write(flags['json'] === true ? `${JSON.stringify(value, undefined, 2)}\n` : toText(value));
  return 0;
}

function statusText(status: LabStatus): string {
  const rows = status.hosts.map((host) => [
    host.name,
    host.address,
    host.uri,
    host.release,
    host.state,
    host.link,
    host.rateMbit === undefined ? '-' : `${host.rateMbit} Mbit/s`,
  ]);
  switch (status.state) {
    case 'down':
      return `The lab "${status.lab}" is down; "script/lab up" starts it.\n`;
    case 'partial':
      return `The lab "${status.lab}" is incomplete; "script/lab up" creates it again, "script/lab down" removes it.\n`;
    case 'up':
      return table([['HOST', 'ADDRESS', 'LIBVIRT URI', 'RELEASE', 'STATE', 'LINK', 'RATE'], ...rows]);
  }
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
