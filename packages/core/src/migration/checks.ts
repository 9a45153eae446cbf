/**
 * The rules that may forbid a live move, and the choice of a target among the hosts that pass them. Every host gets
 * every reason that speaks against it, not the first one. Pure; facts are arguments.
 */
import type { Reason } from '../errors.ts';
import type { HostId } from '../ids.ts';
import type { HostRef, HostView, MigrationRequest, Vm } from '../model.ts';

export interface CheckInput {
  readonly vm: Vm;
  readonly hosts: readonly HostView[];
  readonly request: MigrationRequest;
  /** Outgoing and incoming active migrations by host, this one left out. */
  readonly loadOf: (id: HostId) => number;
}

export type CheckResult = { readonly kind: 'chosen'; readonly to: HostRef } | { readonly kind: 'refused'; readonly reasons: readonly Reason[] };

type Rule = (input: CheckInput, candidate: HostView) => Reason | undefined;

const nonLocal = (uri: string): boolean => /^\w+\+(tcp|tls|ssh):\/\/(?!localhost|127\.|\[::1\])[^/]/.test(uri);

/** Rules on the VM and its source: a reason here holds for every target. */
export function vmReasons({ vm, hosts }: Pick<CheckInput, 'vm' | 'hosts'>): readonly Reason[] {
  const source = hosts.find(({ host }) => host.id === vm.hostId);
  const reasons: Reason[] = [];
  if (source === undefined || source.state !== 'connected') {
    reasons.push({ code: 'source-unreachable', ...(source ? { host: source.host.name } : {}), message: `The host of ${vm.name} does not answer${source?.stateDetail ? `: ${source.stateDetail}` : '.'}`, remedy: 'Wait until the host answers again, or repair the connection.' });
  } else if (vm.state !== 'running') {
    reasons.push({ code: 'vm-not-running', message: `${vm.name} is ${vm.state} on ${source.host.name}; a live migration moves a running VM.`, remedy: `Start or resume it first, e.g. virsh -c ${source.host.uri} ${vm.state === 'paused' ? 'resume' : 'start'} ${vm.name}` });
  }
  if (vm.instances.some(({ role }) => role === 'conflict')) {
    reasons.push({ code: 'vm-two-copies', message: `${vm.name} has more than one active copy; which one is right cannot be told.`, remedy: 'Stop the wrong copy by hand first.' });
  }
  return reasons;
}

const rules: readonly Rule[] = [
  ({ vm }, { host }) =>
    host.id === vm.hostId ? { code: 'target-is-source', host: host.name, message: `${vm.name} is already on ${host.name}.`, remedy: 'Name another host.' } : undefined,
  (_, { host, state, stateDetail }) =>
    state === 'connected' ? undefined : { code: 'target-unreachable', host: host.name, message: `${host.name} does not answer${stateDetail ? `: ${stateDetail}` : '.'}`, remedy: 'Repair the connection, or name another host.' },
  (_, { host }) =>
    nonLocal(host.uri) ? undefined : { code: 'target-not-addressable', host: host.name, message: `${host.name} was added as ${host.uri}, by which other hosts cannot reach it.`, remedy: 'Remove the host and add it by its network address, e.g. qemu+tcp://ADDRESS/system.' },
  ({ vm, hosts }, { host, facts }) => {
    const source = hosts.find((each) => each.host.id === vm.hostId)?.facts;
    if (facts === undefined || source === undefined || facts.cpu.arch === source.cpu.arch) return undefined;
    return { code: 'target-arch', host: host.name, message: `${host.name} is ${facts.cpu.arch}, the source is ${source.cpu.arch}.`, remedy: 'Name a host of the same architecture.' };
  },
  ({ vm }, { host, state, freeMemoryBytes }) =>
    state !== 'connected' || freeMemoryBytes === undefined || freeMemoryBytes >= vm.memoryBytes
      ? undefined
      : { code: 'target-memory', host: host.name, message: `${host.name} has ${mib(freeMemoryBytes)} MiB free, ${vm.name} needs ${mib(vm.memoryBytes)} MiB.`, remedy: 'Free memory there, or name another host.' },
];

const mib = (bytes: number): number => Math.floor(bytes / 1_048_576);

const reasonsFor = (input: CheckInput, candidate: HostView): readonly Reason[] => rules.flatMap((rule) => rule(input, candidate) ?? []);

/**
 * Chooses the target. `to`: this one or none; `preferHost`: first if it passes; otherwise the suited host with the
 * fewest migrations, then the most free memory. Refused: all reasons of all hosts in question.
 */
export function checkMigration(input: CheckInput): CheckResult {
  const { vm, hosts, request } = input;
  const general = vmReasons(input);
  const named = (name: string) => hosts.find(({ host }) => host.name === name || host.id === name);
  const candidates = request.to === undefined ? hosts.filter(({ host }) => host.id !== vm.hostId) : hosts.filter((view) => view === named(request.to ?? ''));
  const judged = candidates.map((view) => ({ view, reasons: reasonsFor(input, view) }));
  const suited = judged.filter(({ reasons }) => reasons.length === 0).map(({ view }) => view);
  const preferred = request.preferHost === undefined ? undefined : suited.find((view) => view === named(request.preferHost ?? ''));
  const chosen =
    preferred ??
    [...suited].sort((a, b) => input.loadOf(a.host.id) - input.loadOf(b.host.id) || (b.freeMemoryBytes ?? 0) - (a.freeMemoryBytes ?? 0) || (a.host.name < b.host.name ? -1 : 1))[0];
  if (chosen !== undefined && general.length === 0) return { kind: 'chosen', to: { id: chosen.host.id, name: chosen.host.name } };
  const none: readonly Reason[] = candidates.length === 0 ? [{ code: 'no-other-host', message: 'There is no other host.', remedy: 'Add one with "ferry host add URI".' }] : [];
  return { kind: 'refused', reasons: [...general, ...none, ...judged.flatMap(({ reasons }) => reasons)] };
}
