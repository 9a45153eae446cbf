/**
 * Whether a VM whose host is down may be started elsewhere, and where. Only by the operator's explicit statement that
 * the host is dead, and only with disks that the target has: nothing of the dead host can be asked. Pure.
 */
import { notConnectedReason } from '../fleet/machine.ts';
import type { HostView } from '../model/host.ts';
import type { HostId } from '../model/ids.ts';
import type { MigrationPlan, CheckResult } from '../model/plan.ts';
import type { Reason } from '../model/reasons.ts';
import type { MigrationRequest } from '../model/request.ts';
import type { Vm } from '../model/vm.ts';
import { hostNameIn, wantedCluster, type CheckInput, type VmFacts } from './check-input.ts';
import { answerOf } from './checks/answer.ts';
import { cordonedReasons } from './checks/cordoned.ts';
import { triedReasons } from './checks/earlier-attempt.ts';
import { memoryWaits } from './checks/memory.ts';
import { nameTaken } from './checks/name.ts';
import { definitionThereReasons, isDefinedOn } from './definition-there.ts';
import { planPaths } from './host-ties.ts';
import { emulatorPaths, machineReasons } from './machine-type.ts';
import { planState, setAside } from './ownership.ts';
import { noCandidate } from './placement.ts';
import { pinReasons, ruleReasons, softRuleReasons, unmetRules } from './rules/judge.ts';
import { findingsOf, plainOf } from './checks/judge.ts';
import { planRescueDisk, type RescueStorage } from './rescue-disks.ts';
import { emptied } from './rules/members.ts';

export interface RescueInput extends Pick<
  CheckInput,
  | 'vm'
  | 'hosts'
  | 'request'
  | 'loadOf'
  | 'memoryPromised'
  | 'slotWaits'
  | 'silent'
  | 'tried'
  | 'domainsOn'
  | 'parkedOn'
  | 'holdings'
  | 'paths'
  | 'rules'
  | 'policy'
> {
  /** From the stored definition; absent when there is none. */
  readonly facts?: VmFacts;
  /** Ferry brought its saved memory to the host, which libvirt did not notice. */
  readonly arrivedSaved?: boolean;
  readonly storage: ReadonlyMap<HostId, RescueStorage>;
}

export const rescueCandidates = ({
  vm,
  hosts,
  request,
}: Pick<RescueInput, 'vm' | 'hosts' | 'request'>): readonly HostView[] =>
  hosts.filter(
    ({ host }) =>
      host.id !== vm.hostId &&
      (request.to === undefined
        ? host.cluster === wantedCluster({ vm, hosts, request })
        : host.name === request.to || host.id === request.to),
  );

const asItWas = 'it starts as it was, from disks that both hosts have';
const nothingSent = 'nothing is sent from its host';
/** What cannot be heeded for a VM whose host is dead, as the operator says it, and why not. */
const unfit: Readonly<Partial<Record<keyof MigrationRequest, readonly [option: string, why: string]>>> = {
  kind: ['--kind', asItWas],
  temporary: ['--temporary', asItWas],
  keepSource: ['--keep-source', asItWas],
  map: ['A map of networks, pools, paths or consoles', asItWas],
  xml: ['--xml', asItWas],
  media: ['--copy-media or --eject-media', asItWas],
  createMissing: ['--create-missing', 'what the target lacks cannot be read from its host'],
  deleteSourceDisks: ['--delete-source-disks', asItWas],
  useExistingVolumes: ['--use-existing-volumes', asItWas],
  skipCpuCheck: ['--skip-cpu-check', 'the guest starts anew, and no CPU is compared'],
  skipKernelCheck: ['--skip-kernel-check', 'the guest starts anew, and no kernel is compared'],
  mode: ['--direct or --peer-to-peer', nothingSent],
  tls: ['--enable-tls', nothingSent],
  tunnelled: ['--tunnelled', nothingSent],
  parallelConnections: ['--parallel', nothingSent],
  compression: ['--compression', nothingSent],
  zeroCopy: ['--zero-copy', nothingSent],
  postCopy: ['--postcopy', nothingSent],
  maxBandwidthMiBPerSecond: ['--max-bandwidth-mb', nothingSent],
  maxDowntimeMs: ['--max-downtime-ms', nothingSent],
  quicklyFinish: ['--quickly-finish', nothingSent],
  deadlineMs: ['--deadline', nothingSent],
  keepTargetOnFailure: ['--keep-dest-guest-on-failed', nothingSent],
};

/** As its host last reported it. */
const wasSaved = ({ vm: { instances, hostId }, arrivedSaved }: Pick<RescueInput, 'vm' | 'arrivedSaved'>): boolean =>
  arrivedSaved === true || instances.some((each) => each.hostId === hostId && each.instance.saved === true);

function unfitReasons(input: Pick<RescueInput, 'vm' | 'request' | 'arrivedSaved'>): readonly Reason[] {
  const { vm, request } = input;
  return (Object.keys(unfit) as (keyof MigrationRequest)[]).flatMap((wish): readonly Reason[] => {
    const refused = unfit[wish];
    if (refused === undefined || request[wish] === undefined || request[wish] === false) return [];
    // the operator's word that its memory is given up
    if (wish === 'kind' && request.kind === 'cold' && wasSaved(input)) return [];
    return [
      {
        code: 'rescue-unfit',
        message: `${refused[0]} does not go with --rescue-mode: ${vm.name} is started from its stored definition, and ${refused[1]}.`,
        remedy: 'Omit it.',
      },
    ];
  });
}

export function checkRescue(input: RescueInput): CheckResult {
  const { vm, hosts, request } = input;
  const source = hosts.find(({ host }) => host.id === vm.hostId);
  const from = source?.host.name ?? vm.hostId;
  const general: Reason[] = [...sourceReasons(vm, source)];
  if (
    request.to !== undefined &&
    source !== undefined &&
    (source.host.name === request.to || source.host.id === request.to)
  ) {
    general.push({
      code: 'target-is-source',
      host: from,
      message: `${vm.name} is on ${from}, the host that you say is dead.`,
      remedy: 'Name another host.',
    });
  }
  if (input.facts === undefined) {
    general.push({
      code: 'definition-missing',
      message: `Ferry has no stored definition of ${vm.name}.`,
      remedy: `Define it on another host, from a backup of ${from}.`,
    });
  }
  const elsewhere = vm.instances.find(
    ({ hostId, role, instance }) => hostId !== vm.hostId && role !== 'parked' && instance.state !== 'shut-off',
  );
  if (elsewhere !== undefined) {
    general.push({
      code: 'vm-two-copies',
      message: `${vm.name} is ${elsewhere.instance.state} on another host already.`,
      remedy: 'Look at "ferry vm show" first.',
    });
  }
  if (wasSaved(input) && request.kind !== 'cold') {
    general.push({
      code: 'rescue-saved-memory',
      message: `The memory of ${vm.name} is saved on ${from}: elsewhere it would start without it, as after a power failure.`,
      remedy: `Repair ${from}. If ${vm.name} is to start without its memory, add --kind cold.`,
    });
  }
  // the others on the dead host leave it too
  const rules = emptied(input.rules ?? [], vm.hostId);
  general.push(...pinReasons(vm, rules, hostNameIn(input)), ...unfitReasons(input));
  const candidates = rescueCandidates(input);
  const judged = candidates.map((view) => {
    const planned = (input.facts?.disks ?? []).map((disk) =>
      planRescueDisk(vm.name, disk, input.storage.get(view.host.id), from, view, request.assumeShared === true),
    );
    const waits = [
      ...memoryWaits(vm, view, vm.memoryBytes, input.memoryPromised?.(view.host.id) ?? 0),
      ...(input.slotWaits?.(view, false) ?? []),
    ];
    // what the policy says of them counts here, too
    const soft = findingsOf(softRuleReasons(vm, rules, view.host, hostNameIn(input)), input);
    const reasons = [
      ...clusterReasons(input, view),
      ...hostReasons(vm, view, input.silent),
      ...foreignDefinition(input, view),
      ...triedReasons(input, view.host),
      ...cordonedReasons(view),
      ...nameTaken(input, view.host),
      ...stateReasons(input, view),
      ...machineThere(input, view),
      ...ruleReasons(vm, rules, view.host, hostNameIn(input)),
      ...planned.flatMap((each) => ('reason' in each ? [each.reason] : [])),
      ...plainOf(soft, 'refuse'),
    ];
    return {
      view,
      waits,
      reasons,
      warnings: plainOf(soft, 'warn'),
      disks: planned.flatMap((each) => ('plan' in each ? [each.plan] : [])),
    };
  });
  const answers = judged.map(({ view: { host }, reasons, warnings, waits }) =>
    answerOf(
      host,
      [
        ...reasons.map((reason) => ({ ...reason, verdict: 'refuse' as const })),
        ...warnings.map((reason) => ({ ...reason, verdict: 'warn' as const })),
      ],
      waits,
    ),
  );
  const promised = (view: HostView): number => input.memoryPromised?.(view.host.id) ?? 0;
  const isPreferred = ({ view }: { readonly view: HostView }): number =>
    view.host.name === request.preferHost || view.host.id === request.preferHost ? 0 : 1;
  const suited = judged
    .filter(({ reasons }) => reasons.length === 0)
    .sort(
      (a, b) =>
        isPreferred(a) - isPreferred(b) ||
        unmetRules(rules, a.view.host) - unmetRules(rules, b.view.host) ||
        input.loadOf(a.view.host.id) - input.loadOf(b.view.host.id) ||
        (b.view.freeMemoryBytes ?? 0) - promised(b.view) - ((a.view.freeMemoryBytes ?? 0) - promised(a.view)) ||
        (a.view.host.name < b.view.host.name ? -1 : 1),
    );
  const best = suited.find(({ waits }) => waits.length === 0) ?? suited[0];
  if (best !== undefined && general.length === 0) {
    const plan: MigrationPlan = {
      how: 'stored-definition',
      live: false,
      persistence: 'permanent',
      disks: best.disks,
      autostart: input.facts?.autostart ?? false,
      ...(isDefinedOn(vm, best.view.host.id) ? { definedThere: true as const } : {}),
    };
    const choice = { to: { id: best.view.host.id, name: best.view.host.name }, move: 'evacuation' as const, plan };
    if (best.waits.length === 0) return { kind: 'chosen', ...choice, answers };
    return {
      kind: 'waits',
      ...choice,
      reasons: suited.flatMap(({ waits }) => waits),
      on: suited.map(({ view }) => ({ host: view.host.id, ports: 0, memoryBytes: vm.memoryBytes, travels: false })),
      answers,
    };
  }
  const none = general.some(({ code }) => code === 'target-is-source') ? [] : noCandidate(input, candidates);
  return { kind: 'refused', reasons: [...general, ...none, ...judged.flatMap(({ reasons }) => reasons)], answers };
}

/** The host that is said to be down is back, or may be. */
export function sourceReasons(vm: Pick<Vm, 'name'>, source: HostView | undefined): readonly Reason[] {
  const from = source?.host.name ?? '';
  if (source?.state === 'connected')
    return [
      {
        code: 'rescue-source-answers',
        host: from,
        message: `${from} answers, so move ${vm.name} without --rescue-mode.`,
        remedy: 'Omit --rescue-mode.',
      },
    ];
  if (source?.state === 'connecting')
    return [
      {
        code: 'rescue-source-unclear',
        host: from,
        message: `Whether ${from} answers is not known yet.`,
        remedy: 'Try again in a moment.',
      },
    ];
  return [];
}

function clusterReasons(input: RescueInput, { host }: HostView): readonly Reason[] {
  if (host.cluster === wantedCluster(input)) return [];
  return [
    {
      code: 'target-other-cluster',
      host: host.name,
      message: `${host.name} belongs to the cluster ${host.cluster}, not to ${wantedCluster(input)}.`,
      remedy: `Add --to-cluster ${host.cluster} to start ${input.vm.name} there.`,
    },
  ];
}

function hostReasons(vm: RescueInput['vm'], view: HostView, silent: RescueInput['silent']): readonly Reason[] {
  const { host, state, freeMemoryBytes } = view;
  const why = silent?.get(host.id);
  if (state !== 'connected')
    return [notConnectedReason(view, 'target-unreachable', 'Restore the connection, or choose another host.')];
  if (why !== undefined) return [why];
  if (freeMemoryBytes === undefined || freeMemoryBytes >= vm.memoryBytes) return [];
  return [
    {
      code: 'target-memory',
      host: host.name,
      message: `${host.name} has too little free memory for ${vm.name}.`,
      remedy: 'Free memory there, or choose another host.',
    },
  ];
}

/** The dead host's VM cannot be settled, so the definition that is in the way has to go by hand. */
const foreignDefinition = (input: RescueInput, { host }: HostView): readonly Reason[] =>
  definitionThereReasons(input, host).map((reason) =>
    reason.code === 'target-definition-unknown'
      ? { ...reason, remedy: `When nobody needs it, on ${host.name}: virsh undefine ${input.vm.uuid} --keep-nvram` }
      : reason,
  );

/** A VM that is started writes its UEFI variables, and goes on with memory that was saved under its name. */
function stateReasons({ vm, facts, holdings, hosts, request }: RescueInput, { host }: HostView): readonly Reason[] {
  const from = hosts.find((each) => each.host.id === vm.hostId)?.host.name ?? vm.hostId;
  const { reasons, replaces } = planState(vm, facts?.statePlaces ?? [], holdings?.get(host.id), {
    from,
    to: host.name,
  });
  const stale = replaces
    .filter(({ what }) => what === 'memory')
    .map(({ path }): Reason => ({
      code: 'state-exists',
      host: host.name,
      message: `${path} on ${host.name} holds memory of ${vm.name} from an earlier time, which it would resume.`,
      remedy: `If it is not to go on with that, on ${host.name}: ${setAside(path)}`,
    }));
  // shared storage cannot be proved while the host is dead
  return [...reasons.filter(({ code }) => !(code === 'state-exists' && request.assumeShared === true)), ...stale];
}

/** The dead host's facts are the last that it reported. */
function machineThere({ vm, facts, hosts, paths }: RescueInput, view: HostView): readonly Reason[] {
  const needs = facts?.needs.machines ?? [];
  return [
    ...machineReasons(
      vm.name,
      needs,
      hosts.find(({ host }) => host.id === vm.hostId),
      view,
    ),
    ...planPaths(vm.name, emulatorPaths(needs, view.facts), paths?.get(view.host.id) ?? new Map(), view.host.name)
      .reasons,
  ];
}
