/** Rules on the VM, its source, and what was asked for: a reason here holds for every target. Pure. */
import { mapReasons } from '../definition.ts';
import { conflictReasons } from '../definition-there.ts';
import { tieReasons } from '../host-ties.ts';
import { notConnectedReason } from '../../fleet/machine.ts';
import type { Reason, ReasonCode } from '../../model/reasons.ts';
import type { MigrationKind, MigrationRequest } from '../../model/request.ts';
import { carriesGuest, type CheckInput, factsOf, hostNameIn, kindOf, type VmFacts } from '../check-input.ts';
import { pinReasons } from '../rules/judge.ts';

/** Rules on the VM and its source: a reason here holds for every target. */
export function vmReasons(input: CheckInput): readonly Reason[] {
  const { vm, hosts, request } = input;
  const source = hosts.find(({ host }) => host.id === vm.hostId);
  const reasons: Reason[] = [];
  const facts = factsOf(input);
  if (source === undefined || source.state !== 'connected') {
    const remedy = 'Wait until the host answers, or restore the connection.';
    reasons.push(
      source === undefined
        ? { code: 'source-unreachable', message: `The host of ${vm.name} is no longer in the fleet.`, remedy }
        : notConnectedReason(source, 'source-unreachable', remedy),
    );
  } else {
    const chosen = kindOf(input);
    if ('reason' in chosen) reasons.push({ ...chosen.reason, host: source.host.name });
    else reasons.push(...wishReasons(vm.name, chosen.kind, request, facts));
  }
  reasons.push(...savedReasons(input, source?.host.name), ...ownXmlReasons(input));
  if (input.facts !== undefined && input.ownXml === undefined)
    reasons.push(...mapReasons(vm.name, facts.needs, request.map));
  if (input.arrivedPaused === true && carriesGuest(input)) {
    reasons.push({
      code: 'vm-arrived-paused',
      message: `${vm.name} arrived paused and has not been resumed since; another move would kill its QEMU and lose its memory.`,
      remedy: 'Resume it first; you may pause it again at once.',
    });
  }
  reasons.push(...parkedReasons(input, source?.host.name));
  reasons.push(...pinReasons(vm, input.rules ?? [], hostNameIn(input)));
  reasons.push(...conflictReasons(vm, (id) => hosts.find(({ host }) => host.id === id)?.host.name ?? id));
  return reasons;
}

/**
 * A definition that was kept on purpose is the VM again once the other one is gone. While a host does not answer, that
 * is not known.
 */
function parkedReasons({ vm, hosts, parkedOn }: CheckInput, from = 'its host'): readonly Reason[] {
  const silent = hosts.filter(({ host, state }) => host.id !== vm.hostId && state !== 'connected');
  if (parkedOn?.has(vm.hostId) !== true || silent.length === 0) return [];
  const names = silent.map(({ host }) => host.name);
  const some = names.length <= 3 ? names.join(', ') : `one of ${names.length} hosts that do not answer`;
  return [
    {
      code: 'vm-parked',
      message: `The definition of ${vm.name} on ${from} was kept there when ${vm.name} moved away, and ${vm.name} may be on ${some}.`,
      remedy:
        `Wait until those hosts answer. If the definition on ${from} is to be the VM from now on: ` +
        `ferry vm settle ${vm.name} --keep ${from}`,
    },
  ];
}

/** The guest comes back with the definition inside its saved memory, and not with the VM's. */
function savedReasons({ vm, facts, ownXml }: CheckInput, from = 'its host'): readonly Reason[] {
  if (facts?.saved !== true) return [];
  const start = `Start ${vm.name} (virsh start ${vm.name}) and shut it down first`;
  if (facts.savedUnread !== undefined)
    return [
      {
        code: 'saved-memory-unread',
        message: `What disks the saved memory of ${vm.name} on ${from} needs cannot be read: ${facts.savedUnread}`,
        remedy: `${start}; or, to lose that memory: virsh managedsave-remove ${vm.name}`,
      },
    ];
  return ownXml === undefined
    ? []
    : [
        {
          code: 'saved-memory-xml',
          message: `${vm.name} is saved, and its memory has a definition of its own that one given with --xml cannot replace.`,
          remedy: `${start}; or use --map-network, --map-pool and --map-path, which change both.`,
        },
      ];
}

/** The operator's own definition has to be one, and of this VM. */
function ownXmlReasons({ vm, ownXml, facts }: CheckInput): readonly Reason[] {
  if (ownXml === undefined) return [];
  const remedy = `Start from the output of "virsh dumpxml --inactive ${vm.name}" on its host, and change only what must differ.`;
  if ('problem' in ownXml)
    return [{ code: 'xml-malformed', message: `The definition in --xml cannot be read: ${ownXml.problem}.`, remedy }];
  if (ownXml.uuid !== vm.uuid || ownXml.name !== vm.name) {
    return [
      {
        code: 'xml-identity',
        message: `The definition in --xml is of ${ownXml.name} (${ownXml.uuid}), not of ${vm.name} (${vm.uuid}).`,
        remedy,
      },
    ];
  }
  const lost = (facts?.disks ?? [])
    .filter(({ target, source }) => source !== undefined && ownXml.disks[target] === undefined)
    .map(({ target }) => target);
  return lost.length === 0
    ? []
    : [
        {
          code: 'xml-disks',
          message: `The definition in --xml has no disk ${lost.join(', ')}, which ${vm.name} has.`,
          remedy,
        },
      ];
}

/** Wishes that do not go together with the kind of move or with the VM. */
function wishReasons(name: string, kind: MigrationKind, request: MigrationRequest, facts: VmFacts): readonly Reason[] {
  const carries = kind === 'live' || kind === 'suspended';
  const reasons: Reason[] = [];
  const refuse = (code: ReasonCode, message: string, remedy: string): void =>
    void reasons.push({ code, message, remedy });
  if (request.temporary === true && (!carries || facts.saved))
    refuse(
      'temporary-unfit',
      `${name} does not run, so it cannot move temporarily.`,
      'Start it first, or omit --temporary.',
    );
  if (request.temporary === true && !facts.persistent)
    refuse(
      'temporary-transient',
      `${name} is transient: its host keeps no definition for its return.`,
      'Define it on its host first, or omit --temporary.',
    );
  if (request.keepSource === true && !facts.persistent)
    refuse('keep-source-transient', `${name} is transient: its host keeps no definition.`, 'Omit --keep-source.');
  if (request.autoStart === true && carries && !facts.saved)
    refuse(
      'auto-start-unfit',
      `${name} is not shut off, so there is nothing to start after the move.`,
      'Omit --auto-start.',
    );
  if (carries && !facts.saved) reasons.push(...tieReasons(name, facts.needs.ties));
  if (carries && facts.hostDevices > 0)
    refuse(
      'vm-host-devices',
      `${name} has ${facts.hostDevices} device(s) of its host, which cannot move with a running guest.`,
      'Detach them, or shut the VM down and move it cold.',
    );
  return reasons;
}
