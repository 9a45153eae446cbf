/**
 * Every check of a move, in the order in which its reasons are shown. A new one is a file and a line here; its codes
 * are in model/reasons.ts and docs/reasons.md. The rescue of a VM whose host is dead has its own (rescue.ts). Pure.
 */
import type { CheckInput } from '../check-input.ts';
import { alreadyThere } from './already-there.ts';
import { architecture } from './architecture.ts';
import { arrivedPaused } from './arrived-paused.ts';
import type { Check, HostQuestion, MoveQuestion } from './check.ts';
import { cluster } from './cluster.ts';
import { copies } from './copies.ts';
import { cordoned } from './cordoned.ts';
import { cpu } from './cpu.ts';
import { definitionNeeds } from './definition-needs.ts';
import { definitionThere } from './definition-there.ts';
import { disks } from './disks.ts';
import { earlierAttempt } from './earlier-attempt.ts';
import { guestState } from './guest-state.ts';
import { hostDevices } from './host-devices.ts';
import { kind } from './kind.ts';
import { machine } from './machine.ts';
import { mappedNetworks } from './mapped-networks.ts';
import { memory } from './memory.ts';
import { name } from './name.ts';
import { networkMtu } from './network-mtu.ts';
import { overcommit } from './overcommit.ts';
import { ownDefinition } from './own-definition.ts';
import { parked } from './parked.ts';
import { pinned } from './pinned.ts';
import { reachable } from './reachable.ts';
import { rules } from './rules.ts';
import { savedMemory } from './saved-memory.ts';
import { source } from './source.ts';
import { threads } from './threads.ts';
import { transfer } from './transfer.ts';
import { versions } from './versions.ts';

/** On the VM, its source, and what was asked for: a reason here holds for every target. */
export const vmChecks: readonly Check<CheckInput>[] = [
  source,
  kind,
  savedMemory,
  ownDefinition,
  mappedNetworks,
  arrivedPaused,
  parked,
  pinned,
  copies,
];

/** On one host, by what is known of it already: only those that pass are asked more. */
export const hostChecks: readonly Check<HostQuestion>[] = [
  alreadyThere,
  earlierAttempt,
  reachable,
  cordoned,
  cluster,
  architecture,
  memory,
  overcommit,
  name,
  machine,
  definitionThere,
  rules,
  versions,
  threads,
];

/** On the move to one host, by what it answered. */
export const moveChecks: readonly Check<MoveQuestion>[] = [
  disks,
  definitionNeeds,
  transfer,
  networkMtu,
  hostDevices,
  guestState,
  cpu,
];
