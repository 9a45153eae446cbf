/**
 * From core's objects to the JSON of the API: times become RFC 3339, ids of hosts become names, what is absent stays
 * absent. It decides nothing and leaves out what is nobody's business outside: evidence, reasons of states, leases.
 */
import type {
  ClusterJson,
  DrainJson,
  FerryEvent,
  HostJson,
  InspectionJson,
  LeftoverJson,
  MigrationJson,
  PlannedMigrationJson,
  PolicyJson,
  SamplesJson,
  RolloutJson,
  RuleJson,
  VmJson,
} from '@ferry/api';
import { hostAnswerJson } from '@ferry/api';
import {
  otherMachineRemedy,
  policyText,
  serviceStateOf,
  type Batch,
  type BatchForecast,
  type CheckVerdict,
  type Decision,
  type DiskPlan,
  type ErrorReport,
  type HostAnswer,
  type HostRef,
  type HostView,
  type JobSample,
  type MemberForecast,
  type Migration,
  type Policy,
  type PolicyContent,
  type QueuedMigration,
  type ResolvedPolicy,
  type Rollout,
  type TimeMs,
  type Vm,
  type VolumeRecord,
} from '@ferry/core';
import type { ClusterView, EngineEvent, Inspection, PlannedMigration, RuleView } from '@ferry/engine';
import { predictionJson } from './prediction-views.ts';
import { fleetJson, waitingJson } from './queue-views.ts';
import { present, time } from './view-parts.ts';

/** Name of a host by its id, also of one that has been removed. */
export type HostNames = (id: string) => string;

/** `vms`: number of VMs whose authoritative instance is there. */
export const hostJson = (view: HostView, vms: number, revision: number, attention?: string): HostJson => {
  const { host, facts } = view;
  return present({
    id: host.id,
    name: host.name,
    uri: host.uri,
    cluster: host.cluster,
    migrationAddress: host.migrationAddress,
    state: view.state,
    stateDetail: view.stateDetail,
    stateRemedy: view.state === 'other-machine' ? otherMachineRemedy(host) : undefined,
    service: serviceStateOf(host),
    serviceSince: host.service === undefined ? undefined : time(host.service.since),
    drain: host.service?.drain?.id,
    attention,
    cpu:
      facts === undefined
        ? undefined
        : { arch: facts.cpu.arch, model: facts.cpu.model, vendor: facts.cpu.vendor, threads: facts.cpu.threads },
    memory:
      facts === undefined ? undefined : present({ totalBytes: facts.memoryBytes, freeBytes: view.freeMemoryBytes }),
    libvirtVersion: facts?.libvirtVersion,
    qemuVersion: facts?.qemuVersion,
    labels: host.labels === undefined ? undefined : [...host.labels],
    vms,
    addedAt: time(host.addedAt),
    revision,
  });
};

const expectedJson = (forecast: MemberForecast | undefined): DrainJson['members'][number]['expected'] =>
  forecast === undefined
    ? undefined
    : 'unknown' in forecast
      ? { unknown: forecast.unknown }
      : present({
          beginsAt: time(forecast.beginsAt),
          endsAt: time(forecast.endsAt),
          latestAt: forecast.latestAt === undefined ? undefined : time(forecast.latestAt),
        });

/** `forecast`: of one that has not ended, where it is shown by itself. */
export const batchJson = (batch: Batch, revision: number, forecast?: BatchForecast): DrainJson => {
  const { hosts, startedAt, beginsAt, endedAt, deadlineAt, members, pace, ...more } = batch;
  const { abort: _abort, force: _force, strangersSince: _since, ...rest } = more;
  return present({
    ...rest,
    hosts: hosts.map(({ name }) => name),
    startedAt: time(startedAt),
    beginsAt: beginsAt === undefined ? undefined : time(beginsAt),
    pace: pace?.map(({ host, atOnce, why }) => ({ host: host.name, atOnce, why })),
    expected:
      forecast === undefined
        ? undefined
        : present({
            endsAt: forecast.endsAt === undefined ? undefined : time(forecast.endsAt),
            latestAt: forecast.latestAt === undefined ? undefined : time(forecast.latestAt),
            text: forecast.text,
          }),
    endedAt: endedAt === undefined ? undefined : time(endedAt),
    deadlineAt: deadlineAt === undefined ? undefined : time(deadlineAt),
    members: members.map(({ vm, memoryBytes, from, to, way, state, migration, tries, note }) =>
      present({
        vm: { ...vm },
        memoryBytes,
        from: from.name,
        to: to?.name,
        way,
        state,
        migration,
        tries,
        note,
        expected: expectedJson(forecast?.members.get(vm.uuid)),
      }),
    ),
    revision,
  });
};

export const rolloutJson = (rollout: Rollout, revision: number): RolloutJson => {
  const { hosts, plan, startedAt, endedAt, ...rest } = rollout;
  const { work, onlyIf, ...more } = plan;
  return present({
    ...rest,
    plan: present({
      ...more,
      work: work === undefined ? undefined : { ...work },
      onlyIf: onlyIf === undefined ? undefined : { ...onlyIf },
    }),
    startedAt: time(startedAt),
    endedAt: endedAt === undefined ? undefined : time(endedAt),
    hosts: hosts.map(({ host, state, since, drain, restore, note }) =>
      present({ host: host.name, state, since: time(since), drain, restore, note }),
    ),
    revision,
  });
};

export const clusterJson = ({ cluster: { map, blackouts, ...cluster }, hosts, revision }: ClusterView): ClusterJson =>
  present({
    ...cluster,
    map: map === undefined ? undefined : { ...map },
    blackouts: blackouts === undefined ? undefined : [...blackouts],
    hosts: [...hosts],
    revision,
  });

export const ruleJson = ({ rule, revision, vms, hosts, warnings }: RuleView): RuleJson =>
  present({
    ...rule,
    vms: rule.vms === undefined ? undefined : [...rule.vms],
    hosts: rule.hosts === undefined ? undefined : [...rule.hosts],
    revision,
    matches: { vms, hosts: [...hosts] },
    warnings: [...warnings],
  });

export const policyJson = ({ name, version, changedAt, ...content }: Policy, revision: number): PolicyJson =>
  present({
    ...contentJson(content),
    name,
    version,
    revision,
    preset: version === 0,
    changedAt: changedAt === undefined ? undefined : time(changedAt),
    text: policyText(content),
  });

const contentJson = ({
  steps,
  hooks,
  ...content
}: PolicyContent): Omit<PolicyContent, 'steps' | 'hooks'> & Pick<PolicyJson, 'steps' | 'hooks'> => ({
  ...content,
  steps: steps.map((step) => ({ ...step })),
  ...(hooks === undefined ? {} : { hooks: hooks.map((hook) => ({ ...hook })) }),
});

const resolvedJson = (policy: ResolvedPolicy): NonNullable<MigrationJson['policy']> => {
  const { name, version, from, changedAt: _changedAt, ...content } = policy;
  return present({ ...contentJson(content), name, version, from, text: policyText(content) });
};

const decisionJson = ({ at, action, step, text, figures }: Decision): NonNullable<MigrationJson['decisions']>[number] =>
  present({
    at: time(at),
    do: action.do === 'note' ? `note: ${action.what}` : action.do,
    toMs: action.do === 'set-downtime' ? action.toMs : undefined,
    step,
    text,
    figures,
  });

export const samplesJson = (samples: readonly { readonly at: TimeMs; readonly sample: JobSample }[]): SamplesJson => ({
  items: samples.map(
    ({
      at,
      sample: {
        iteration,
        remainingBytes,
        processedBytes,
        dirtyBytesPerSecond,
        throughputBytesPerSecond,
        throttlePercent,
      },
    }) =>
      present({
        at: time(at),
        iteration,
        remainingBytes,
        processedBytes,
        dirtyBytesPerSecond,
        throughputBytesPerSecond,
        throttlePercent,
      }),
  ),
});

export const inspectionJson = ({ at, volumes, notes, ...rest }: Inspection): InspectionJson => ({
  ...rest,
  at: time(at),
  volumes: [...volumes],
  notes: [...notes],
});

/** `revision`: of the labels. */
export const vmJson = (vm: Vm, nameOf: HostNames, labels: readonly string[] = [], revision = 0): VmJson =>
  present({
    uuid: vm.uuid,
    name: vm.name,
    host: nameOf(vm.hostId),
    state: vm.state,
    memoryBytes: vm.memoryBytes,
    vcpus: vm.vcpus,
    disks: vm.disks.map((disk) =>
      present({
        target: disk.target,
        device: disk.device,
        type: disk.type,
        source: disk.source,
        format: disk.format,
        readOnly: disk.readOnly,
      }),
    ),
    instances: vm.instances.map(({ hostId, role, instance }) =>
      present({
        host: nameOf(hostId),
        name: instance.name === vm.name ? undefined : instance.name,
        role,
        state: instance.state,
        persistent: instance.persistent,
      }),
    ),
    currentMigration: vm.currentMigration,
    labels: labels.length === 0 ? undefined : [...labels],
    revision,
  });

/** `queued`: where it is in the queue, if it is shown with that. */
export const migrationJson = (migration: Migration, queued?: QueuedMigration): MigrationJson =>
  present({
    id: migration.id,
    name: migration.name,
    vm: { uuid: migration.vm.uuid, name: migration.vm.name },
    kind: migration.kind,
    origin: migration.origin,
    batch: migration.batch?.name,
    batchId: migration.batch?.id,
    actor: migration.actor,
    client: migration.client,
    from: migration.from.name,
    to: migration.to?.name,
    phase: migration.phase,
    phases: migration.phases.map(({ phase, at }) => ({ phase, at: time(at) })),
    outcome: migration.outcome,
    progress: migration.progress === undefined ? undefined : progressJson(migration.progress),
    totalMs: migration.totalMs === undefined ? undefined : Math.round(migration.totalMs),
    downtimeMs: migration.downtimeMs === undefined ? undefined : Math.round(migration.downtimeMs),
    transferredBytes: migration.transferredBytes,
    vmIsNow:
      migration.vmIsNow === undefined ? undefined : { host: migration.vmIsNow.host, state: migration.vmIsNow.state },
    error: migration.error === undefined ? undefined : errorJson(migration.error),
    maxBandwidthMiBPerSecond: migration.request.maxBandwidthMiBPerSecond,
    maxDowntimeMs: migration.request.maxDowntimeMs,
    proofOfDeath:
      migration.proofOfDeath === undefined
        ? undefined
        : { ...migration.proofOfDeath, at: time(migration.proofOfDeath.at) },
    how: migration.plan?.how,
    transfer: migration.plan?.transfer,
    creates: migration.plan?.definition?.creates?.map((each) => ({ ...each })),
    persistence: migration.plan?.persistence,
    disks: migration.plan?.disks.map(movedDiskJson),
    policy: migration.policy === undefined ? undefined : resolvedJson(migration.policy),
    deadlineAt: migration.deadlineAt === undefined ? undefined : time(migration.deadlineAt),
    prediction: migration.prediction === undefined ? undefined : predictionJson(migration.prediction, migration),
    decisions: migration.decisions?.map(decisionJson),
    attempts: migration.attempts?.map(({ at, to, error }) =>
      present({ at: time(at), to: to?.name, message: error.message }),
    ),
    hooks: migration.hooks?.map(({ at, ...each }) => ({ ...each, at: time(at) })),
    waiting: queued === undefined ? undefined : waitingJson(queued),
    attention: migration.attention,
    adopted: migration.adopted,
    revision: migration.revision ?? 0,
  });

export const plannedJson = ({
  vm,
  from,
  to,
  kind,
  plan,
  answers,
  policy,
  prediction,
  copyTime,
  diff,
  differences,
}: PlannedMigration): PlannedMigrationJson =>
  present({
    vm,
    from: from.name,
    to: to.name,
    hosts: answers.map(hostAnswerJson),
    kind,
    how: plan.how,
    persistence: plan.persistence,
    transfer: plan.transfer,
    policy: resolvedJson(policy),
    prediction: prediction === undefined ? undefined : predictionJson(prediction),
    copyTime:
      copyTime === undefined
        ? undefined
        : {
            ...copyTime,
            ...(copyTime.bandwidthBytesPerSecond === undefined
              ? {}
              : { bandwidthBytesPerSecond: Math.round(copyTime.bandwidthBytesPerSecond) }),
          },
    disks: plan.disks.map(movedDiskJson),
    creates: plan.definition?.creates?.map((each) => ({ ...each })),
    diff: [...diff],
    unchecked: messagesOf(answers, to, 'unknown'),
    warnings: messagesOf(answers, to, 'warn'),
    differences: [...differences],
  });

const messagesOf = (answers: readonly HostAnswer[], to: HostRef, verdict: CheckVerdict): string[] =>
  answers.flatMap(({ host, findings }) =>
    host.id === to.id ? findings.flatMap((each) => (each.verdict === verdict ? [each.message] : [])) : [],
  );

const movedDiskJson = ({
  target,
  when,
  path,
  targetPath,
  how,
  proof,
  capacityBytes,
  allocationBytes,
  neededBytes,
  losses,
  volume,
}: DiskPlan): NonNullable<MigrationJson['disks']>[number] =>
  present({
    target,
    when,
    path,
    targetPath,
    how,
    sharing:
      proof === undefined
        ? undefined
        : present({
            verdict: proof.verdict,
            method: proof.method,
            at: proof.at === 0 ? undefined : time(proof.at),
            detail: proof.detail,
          }),
    sizeBytes: capacityBytes,
    allocatedBytes: allocationBytes,
    pool: volume?.pool,
    neededBytes,
    losses: losses === undefined ? undefined : [...losses],
  });

export const leftoverJson = (record: VolumeRecord): LeftoverJson =>
  present({
    host: record.hostName,
    path: record.path,
    pool: record.pool,
    vm: { uuid: record.vm.uuid, name: record.vm.name },
    migration: record.migration,
    at: time(record.at),
    role: record.role,
    what: record.what,
    sizeBytes: record.capacityBytes,
    allocatedBytes: record.allocationBytes,
  });

const progressJson = (progress: NonNullable<Migration['progress']>): NonNullable<MigrationJson['progress']> =>
  present({
    percent: progress.percent,
    processedBytes: Math.round(progress.processedBytes),
    remainingBytes: Math.round(progress.remainingBytes),
    totalBytes: Math.round(progress.totalBytes),
    dirtyBytesPerSecond: Math.round(progress.dirtyBytesPerSecond),
    throughputBytesPerSecond: Math.round(progress.throughputBytesPerSecond),
    iteration: progress.iteration,
    part: progress.part,
    etaMs: progress.etaMs === undefined ? undefined : Math.round(progress.etaMs),
    etaEarliestMs: progress.etaEarliestMs === undefined ? undefined : Math.round(progress.etaEarliestMs),
    etaLatestMs: progress.etaLatestMs === undefined ? undefined : Math.round(progress.etaLatestMs),
    throttlePercent: progress.throttlePercent,
    postCopyFaults: progress.postCopyFaults,
  });

const errorJson = (error: ErrorReport): NonNullable<MigrationJson['error']> => ({
  code: error.code,
  message: error.message,
  remedy: error.remedy,
  reasons: error.reasons.map((reason) =>
    present({ code: reason.code, host: reason.host, message: reason.message, remedy: reason.remedy }),
  ),
});

export const lightProgressJson = (migration: Migration, at: TimeMs): FerryEvent => {
  const { id, vm, phase, attention, progress } = migrationJson(migration);
  return present({ type: 'migration-progress' as const, at: time(at), migration: id, vm, phase, attention, progress });
};

export const eventJson = (event: EngineEvent, at: TimeMs, nameOf: HostNames): FerryEvent => {
  switch (event.type) {
    case 'migration':
      return { type: 'migration', at: time(at), migration: migrationJson(event.migration) };
    case 'host':
      return { type: 'host', at: time(at), host: hostJson(event.host, event.vms, event.revision, event.attention) };
    case 'batch':
      return { type: 'drain', at: time(at), drain: batchJson(event.batch, event.revision) };
    case 'rollout':
      return { type: 'rollout', at: time(at), rollout: rolloutJson(event.rollout, event.revision) };
    case 'host-removed':
      return { type: 'host-removed', at: time(at), host: event.host };
    case 'policy':
      return { type: 'policy', at: time(at), policy: policyJson(event.policy, event.revision) };
    case 'policy-removed':
      return { type: 'policy-removed', at: time(at), policy: event.policy };
    case 'policy-binding':
      return present({ type: 'policy-binding' as const, at: time(at), label: event.label, policy: event.policy });
    case 'rule':
      return { type: 'rule', at: time(at), rule: ruleJson(event.rule) };
    case 'rule-removed':
      return { type: 'rule-removed', at: time(at), rule: event.rule };
    case 'fleet':
      return { type: 'fleet', at: time(at), fleet: fleetJson(event) };
    case 'cluster':
      return { type: 'cluster', at: time(at), cluster: clusterJson(event) };
    case 'cluster-removed':
      return { type: 'cluster-removed', at: time(at), cluster: event.cluster };
    case 'vm':
      return { type: 'vm', at: time(at), vm: vmJson(event.vm, nameOf, event.labels, event.revision) };
    case 'vm-removed':
      return { type: 'vm-removed', at: time(at), uuid: event.uuid, name: event.name };
    case 'alarm':
      return { type: 'alarm', at: time(at), code: event.code, vm: event.vm, message: event.message };
    case 'reset':
      return { type: 'reset', at: time(at) };
  }
};
