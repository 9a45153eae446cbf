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
import { hugePages } from './huge-pages.ts';
import { hyperv } from './hyperv.ts';
import { invtsc } from './invtsc.ts';
import { kind } from './kind.ts';
import { knownDefects } from './known-defects.ts';
import { launchSecurity } from './launch-security.ts';
import { machineDifferences } from './machine-differences.ts';
import { machine } from './machine.ts';
import { mappedNetworks } from './mapped-networks.ts';
import { mayLeave } from './may-leave.ts';
import { mediated } from './mediated.ts';
import { memory } from './memory.ts';
import { name } from './name.ts';
import { nested } from './nested.ts';
import { networkMtu } from './network-mtu.ts';
import { overcommit } from './overcommit.ts';
import { nextStartCpu } from './next-start-cpu.ts';
import { oneReplica } from './one-replica.ts';
import { os } from './os.ts';
import { ownDefinition } from './own-definition.ts';
import { parked } from './parked.ts';
import { pinned } from './pinned.ts';
import { pinning } from './pinning.ts';
import { reachable } from './reachable.ts';
import { recordedOnly } from './recorded-only.ts';
import { rules } from './rules.ts';
import { savedMemory } from './saved-memory.ts';
import { source } from './source.ts';
import { teaming } from './teaming.ts';
import { threads } from './threads.ts';
import { transfer } from './transfer.ts';
import { tsc } from './tsc.ts';
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
  launchSecurity,
  invtsc,
  mayLeave,
  teaming,
  nested,
  oneReplica,
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
  os,
  machineDifferences,
  nextStartCpu,
  threads,
  tsc,
  hyperv,
  hugePages,
  pinning,
  mediated,
  recordedOnly,
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
  knownDefects,
];
