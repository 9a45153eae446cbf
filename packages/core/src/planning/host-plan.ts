/**
 * The plan of a move to one host: its disks, its definition, how it travels, what of its state goes along, and what speaks
 * against each. Which host is chosen is decided elsewhere (placement.ts). Pure.
 */
import type { HostView } from '../model/host.ts';
import type { DiskPlan, MigrationPlan } from '../model/plan.ts';
import type { Reason } from '../model/reasons.ts';
import type { MigrationKind, MigrationRequest } from '../model/request.ts';
import { bothOf, type CheckInput, factsOf, kindOf, needsIn, ownOf, sourceOf, type VmFacts } from './check-input.ts';
import { isDefinedOn } from './definition-there.ts';
import { joinMaps, mtuWarnings, planDefinition } from './definition.ts';
import { editsOf, storageOn } from './disk-places.ts';
import { doubt } from './doubt.ts';
import { helperMachine, helperReasons } from './helper-machine.ts';
import { planPaths } from './host-ties.ts';
import { emulatorPaths, machinesOf } from './machine-type.ts';
import { disksToCopy, planNextStart } from './next-start.ts';
import { diskOwnership, planState } from './ownership.ts';
import { riskyFiles, stateOf } from './state-travel.ts';
import { stateDoubts, stateFileReasons, stateRisks } from './state-versions.ts';
import { planDisks } from './disks/plan-disks.ts';
import type { TargetStorage } from './disks/question.ts';
import { cacheReasons } from './disks/shared-disk.ts';
import { planTransfer, versionOf } from './transfer.ts';

/** What is made of the facts, before anything is planned. */
interface Question {
  readonly facts: VmFacts;
  readonly move: MigrationKind;
  readonly source: HostView | undefined;
  readonly target: HostView;
  readonly names: { readonly from: string; readonly to: string };
  readonly storage: TargetStorage;
  /** The guest's memory or processor state travels, and not as a file. */
  readonly carries: boolean;
}

export interface HostPlan {
  readonly plan: MigrationPlan;
  /** What was found, by the check that says it (checks/): of storage, only where it was looked at. */
  readonly storage: readonly Reason[];
  readonly definition: readonly Reason[];
  readonly transfer: readonly Reason[];
  readonly state: readonly Reason[];
  readonly mtus: readonly Reason[];
  readonly devices: readonly Reason[];
  readonly waits: readonly Reason[];
  readonly ports: number;
}

/** The move to this host, with the reasons against it. */
export function planOn(input: CheckInput, target: HostView): HostPlan {
  const { vm, request } = input;
  const question = questionOf(input, target);
  const { facts, move, source, names, storage, carries } = question;
  const holdings = input.holdings?.get(target.host.id);
  const { disks, now, reasons } = disksOn(input, question);
  const owned = diskOwnership(vm, disks, input.uses, holdings?.uses, names, request.deleteSourceDisks === true);
  const statePlaces = statePlacesOf(input);
  const state = planState(vm, statePlaces, holdings, names);
  const copied = disks.some(({ how }) => how === 'copy');
  const how = carries ? 'guest' : copied ? 'helper' : 'definition';
  const travel = how === 'definition' ? undefined : transferOn(input, question, how, copied);
  const adapted = definitionOn(input, question, disks);
  const risks = stateRisks(vm.name, facts, source, target);
  const devices = deviceDoubts(input, question);
  const inDoubt = carries ? stateDoubts(names.to, risks) : [];
  const unread = carries || move === 'configuration' ? [] : riskyFiles(facts, risks);
  const helper = how === 'helper' ? helperOn(input, question) : undefined;
  const persistence = persistenceOf(facts, request);
  const plan: MigrationPlan = {
    how,
    ...(carries && risks.length > 0 ? { stateRisks: risks } : {}),
    live: move === 'live',
    persistence,
    disks,
    ...(adapted.definition === undefined ? {} : { definition: adapted.definition }),
    ...(travel === undefined ? {} : { transfer: travel.transfer }),
    ...(helper === undefined ? {} : { helper }),
    autostart: facts.autostart,
    ...stateOf({ ...facts, statePlaces }, carries ? 'guest' : move === 'configuration' ? 'definition' : 'files', state),
    ...flagsOf(input, question),
  };
  return {
    plan,
    storage: [
      ...reasons,
      ...owned,
      ...state.reasons,
      ...(persistence === 'temporary' && copied ? [temporaryNeedsShared(vm.name, names.to)] : []),
      ...(how === 'guest' ? cachesOn(vm.name, facts, now, [source, target]) : []),
      ...(how === 'helper' ? helperReasons(vm.name, source, target) : []),
    ],
    definition: [...(storage.mapReasons ?? []), ...adapted.reasons, ...adapted.doubts],
    transfer: travel?.reasons ?? [],
    state: [...inDoubt, ...stateFileReasons(vm.name, names.to, unread)],
    mtus: adapted.mtus,
    devices,
    waits: travel?.waits ?? [],
    ports: travel?.ports ?? 0,
  };
}

/** State of the next start only stays where its definition does. */
const statePlacesOf = (input: CheckInput): VmFacts['statePlaces'] =>
  factsOf(input).statePlaces.filter(({ when }) => when === undefined || bothOf(input).nextStart !== undefined);

function questionOf(input: CheckInput, target: HostView): Question {
  const facts = factsOf(input);
  const kind = kindOf(input);
  const move = 'kind' in kind ? kind.kind : 'live';
  const source = sourceOf(input);
  return {
    facts,
    move,
    source,
    target,
    names: { from: source?.host.name ?? 'its host', to: target.host.name },
    storage: storageOn(input, target.host.id),
    carries: (move === 'live' || move === 'suspended') && !facts.saved,
  };
}

/** `now`: those of the guest as it is; `disks`: with those of its next start. */
function disksOn(
  input: CheckInput,
  { facts, move, target, names, storage }: Question,
): { readonly now: readonly DiskPlan[]; readonly disks: readonly DiskPlan[]; readonly reasons: readonly Reason[] } {
  const { vm } = input;
  const wish = {
    ...input.request,
    ...(input.policy?.unknownSharing === 'shared' ? { assumeShared: true } : {}),
    cold: move === 'cold',
    usualClusters: target.facts !== undefined && versionOf(target.facts.libvirtVersion) < 8_000_000,
    externalSnapshots: facts.externalSnapshots,
  };
  const both = bothOf(input);
  const now =
    move === 'configuration' ? { disks: [], reasons: [] } : planDisks(vm, disksToCopy(both), storage, wish, names);
  const next = planNextStart(vm, both, now.disks, storage, wish, names);
  return { now: now.disks, disks: next.disks, reasons: [...now.reasons, ...next.reasons] };
}

function transferOn(input: CheckInput, { source, target, move }: Question, how: 'guest' | 'helper', copies: boolean) {
  if (source === undefined) return undefined;
  const { host } = target;
  const clusterOf = ({ host: { cluster } }: HostView) => input.clusters?.get(cluster) ?? { name: cluster };
  const peerRefusal = input.peerRefusals?.get(host.id);
  return planTransfer({
    source,
    target,
    request: input.request,
    copies,
    live: how === 'guest' && move === 'live',
    cluster: clusterOf(target),
    sourceCluster: clusterOf(source),
    portsInUse: input.portsInUse?.(host.id) ?? [],
    ...(input.policy === undefined ? {} : { policy: input.policy }),
    ...(peerRefusal === undefined ? {} : { peerRefusal }),
  });
}

/** The definition for the target, what in it could not be checked, and the reasons against it. */
function definitionOn(input: CheckInput, { facts, target, names, storage }: Question, disks: readonly DiskPlan[]) {
  const { vm, request } = input;
  const { host } = target;
  const places = storage.places ?? [];
  const { nextStart } = bothOf(input);
  const needs = needsIn(input);
  const resources = input.resources?.get(host.id);
  const map = ownOf(input) === undefined ? joinMaps(input.clusters?.get(host.cluster)?.map, request.map) : {};
  const thenDisks = disks.filter(({ when }) => when !== 'now');
  const nowDisks = disks.filter(({ when }) => when !== 'next-start');
  const adapted = planDefinition({
    vm: vm.name,
    needs,
    map,
    source: names.from,
    target: names.to,
    resources,
    sourceSecrets: input.sourceSecrets,
    createMissing: request.createMissing === true,
    ...editsOf(facts.disks, nowDisks, places),
    ...(nextStart === undefined ? {} : { nextStart: editsOf(nextStart.disks, thenDisks, places) }),
    ownXml: input.ownXml !== undefined,
  });
  const emulators = emulatorPaths(needs.machines, target.facts);
  const paths = planPaths(vm.name, [...needs.paths, ...emulators], input.paths?.get(host.id) ?? new Map(), names.to);
  return {
    definition: adapted.definition,
    reasons: [...adapted.reasons, ...paths.reasons],
    doubts: [...adapted.doubts, ...paths.doubts],
    mtus: mtuWarnings(
      vm.name,
      needs,
      map,
      { name: names.from, mtus: input.sourceMtus },
      { name: names.to, mtus: resources?.mtus },
    ),
  };
}

const deviceDoubts = ({ vm }: CheckInput, { facts, names }: Question): readonly Reason[] =>
  facts.hardware.devices.length === 0
    ? []
    : [
        doubt(
          'target-devices-unknown',
          names.to,
          `whether ${names.to} has devices in place of the ${facts.hardware.devices.length} of ${names.from} that ${vm.name} was given`,
          `Compare the devices in its definition with those of ${names.to} (virsh nodedev-list).`,
        ),
      ];

/** Absent where the operation has no UUID for one: nothing is carried out then. */
function helperOn({ helperUuid }: CheckInput, { source, target }: Question): MigrationPlan['helper'] {
  if (helperUuid === undefined) return undefined;
  const machine = helperMachine(machinesOf(source?.facts), machinesOf(target.facts));
  return {
    uuid: helperUuid,
    name: `ferry-${helperUuid.slice(0, 8)}`,
    ...(machine === undefined ? {} : { machine }),
  };
}

function persistenceOf({ persistent }: VmFacts, request: MigrationRequest): MigrationPlan['persistence'] {
  if (!persistent) return 'transient';
  if (request.temporary === true) return 'temporary';
  return request.keepSource === true ? 'keep-source' : 'permanent';
}

function flagsOf(
  { vm }: CheckInput,
  { facts, target: { host } }: Question,
): Pick<MigrationPlan, 'savedMemory' | 'nvram' | 'definedThere' | 'carriesSnapshots'> {
  return {
    ...(facts.saved ? { savedMemory: true as const } : {}),
    ...(facts.nvram ? { nvram: true as const } : {}),
    ...(isDefinedOn(vm, host.id) ? { definedThere: true as const } : {}),
    ...(facts.snapshots + facts.checkpoints > 0 ? { carriesSnapshots: true as const } : {}),
  };
}

const temporaryNeedsShared = (name: string, to: string): Reason => ({
  code: 'temporary-needs-shared',
  host: to,
  message: `${name} has disks that would be copied to ${to}; what it writes there would be lost when it comes back.`,
  remedy: 'Omit --temporary, or put the disks on shared storage.',
});

const cachesOn = (
  name: string,
  { disks }: VmFacts,
  plan: readonly DiskPlan[],
  hosts: readonly (HostView | undefined)[],
): readonly Reason[] =>
  cacheReasons(
    name,
    disks,
    plan,
    hosts.flatMap((each) =>
      each === undefined ? [] : [{ name: each.host.name, qemuVersion: each.facts?.qemuVersion }],
    ),
  );
