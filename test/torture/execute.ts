/**
 * Runs one scenario on real hosts: builds it, carries out its steps with their faults, and judges the result after each
 * step (judge.ts). It ends at the first step that fails.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  cutTraffic,
  execCommand,
  mendTraffic,
  run,
  signalDaemon,
  startDaemon,
  tryRun,
  waitFor,
  type LabRef,
} from '@ferry/lab';
import type { ControlPlane, Ran } from '../control-plane.ts';
import type { MigrationJson, VmJson } from '../fleet.ts';
import { lookAtWorld, type Domain } from '../world.ts';
import { build, clear, memoryOf, save } from './build.ts';
import { contentsOf, expectedContents } from './contents.ts';
import { judge, type LeftoverJson, type Told } from './judge.ts';
import { folders, torturedHosts, type HostName, type Scenario, type Step, type VmState } from './scenario.ts';

export interface Outcome {
  /** What does not hold, sentence by sentence; empty: all holds. */
  readonly faults: readonly string[];
  /** What became of the steps, for people and for counting. */
  readonly steps: readonly string[];
}

const endMs = 100_000;

export async function execute(lab: LabRef, plane: ControlPlane, scenario: Scenario): Promise<Outcome> {
  await clear(lab);
  const steps: string[] = [];
  try {
    let memory = await build(lab, scenario);
    const { vm } = scenario;
    const expected = await expectedContents(lab, vm);
    const stale = scenario.others.some(({ uuid }) => uuid === vm.uuid);
    await waitFor(
      `the control plane to see ${vm.name}`,
      async () => ((await shown(plane, vm.uuid))?.instances.length ?? 0) >= (stale ? 2 : 1) || undefined,
      { timeoutMs: 20_000 },
    );
    let at: HostName = vm.host;
    for (const step of scenario.steps) {
      // a move that was refused leaves it where the next one would go to
      if (step.to === at) continue;
      memory = (await bring(lab, plane, scenario, at, step.bring)) ?? memory;
      const before = await lookAtWorld(lab, torturedHosts, { contents: true });
      const leftBefore = await leftovers(plane);
      if (step.dryRunFirst) {
        const ran = await plane.ferry('vm', 'migrate', vm.uuid, '--to', step.to, '--dry-run', ...step.options);
        const faults = judge.dryRun(ran, before, await lookAtWorld(lab, torturedHosts, { contents: true }));
        if (faults.length > 0) return { faults, steps };
      }
      if (step.unmountShared === true) await unmountShared(lab, step.to);
      let told: Told;
      const blind: string[] = [];
      try {
        told = await moved(lab, plane, scenario, step, at);
        // what cannot be read there now is not there, whatever comes back later
        const there =
          step.unmountShared === true && told.migration?.outcome === 'succeeded'
            ? (await lookAtWorld(lab, torturedHosts)).get(step.to)?.domains.get(vm.uuid)
            : undefined;
        if (there !== undefined)
          blind.push(...judge.contents(expected, await contentsOf(lab, step.to, there), step.to));
      } finally {
        if (step.unmountShared === true) await mountShared(lab, step.to);
      }
      const after = await lookAtWorld(lab, torturedHosts, { contents: true });
      const left = await leftovers(plane);
      const faults = [...blind, ...judge.step({ scenario, step, at, told, before, after, leftBefore, left })];
      const now = torturedHosts.find((host) => host === told.migration?.vmIsNow?.host) ?? at;
      steps.push(
        `${at} to ${step.to} ${step.options.join(' ')}${step.fault === undefined ? '' : ` (${step.fault.kind})`}: ${summaryOf(told)}`,
      );
      const domain = after.get(now)?.domains.get(vm.uuid);
      if (domain !== undefined) {
        faults.push(...judge.contents(expected, await contentsOf(lab, now, domain), now));
        faults.push(...(await starts(lab, now, domain)));
        if (faults.length === 0)
          faults.push(...judge.started(after, await lookAtWorld(lab, torturedHosts, { contents: true }), vm));
      }
      if (step.purge && faults.length === 0) faults.push(...(await purge(lab, plane, scenario, now, expected)));
      if (faults.length > 0) return { faults, steps };
      at = now;
    }
    return { faults: await wakes(lab, at, vm.uuid, memory), steps };
  } finally {
    await clear(lab);
  }
}

const shown = async (plane: ControlPlane, uuid: string): Promise<VmJson | undefined> => {
  const ran = await plane.ferry('vm', 'show', uuid, '-o', 'json');
  return ran.code === 0 ? (JSON.parse(ran.stdout) as VmJson) : undefined;
};
const leftovers = (plane: ControlPlane): Promise<readonly LeftoverJson[]> => plane.json('volume', 'leftovers');
function summaryOf({ ran, migration }: Told): string {
  if (migration?.outcome !== undefined) return migration.outcome;
  if (ran.code !== 4) return `exit ${ran.code}`;
  const codes = [...(ran.stdout + ran.stderr).matchAll(/"code":\s*"([a-z-]+)"/g)].map(([, code]) => code);
  return `refused (${[...new Set(codes)].filter((code) => code !== 'migration-refused').join(', ')})`;
}

/** Brings the VM into the state, as somebody would on its host. Resolves with its memory where it was saved. */
async function bring(
  lab: LabRef,
  plane: ControlPlane,
  { vm }: Scenario,
  host: HostName,
  to: VmState | undefined,
): Promise<string | undefined> {
  if (to === undefined) return undefined;
  const on = async (...args: readonly string[]): Promise<boolean> =>
    (await tryRun(execCommand(lab, host, ['virsh', '-q', '-c', 'qemu:///system', ...args]))).code === 0;
  const state = (
    await run(execCommand(lab, host, ['virsh', '-q', '-c', 'qemu:///system', 'domstate', vm.uuid]))
  ).trim();
  if (to === 'shut-off') await on('destroy', vm.uuid);
  else if (state === 'shut off') await on('start', vm.uuid, ...(to === 'paused' ? ['--paused'] : []));
  else await on(to === 'paused' ? 'suspend' : 'resume', vm.uuid);
  const memory = to === 'saved' ? await save(lab, host, vm.uuid) : undefined;
  const now = (await run(execCommand(lab, host, ['virsh', '-q', '-c', 'qemu:///system', 'domstate', vm.uuid])))
    .trim()
    .replace(' ', '-');
  await waitFor(
    `the control plane to see ${vm.name} ${now}`,
    async () => (await shown(plane, vm.uuid))?.state === now || undefined,
    { timeoutMs: 15_000 },
  );
  return memory;
}

async function moved(lab: LabRef, plane: ControlPlane, { vm }: Scenario, step: Step, at: HostName): Promise<Told> {
  const { fault } = step;
  const args = ['vm', 'migrate', vm.uuid, '--to', step.to, ...step.options, '-o', 'json'];
  if (fault === undefined) {
    const ran = await bounded(plane.ferry(...args), `"ferry ${args.join(' ')}"`);
    return { ran, ...migrationIn(ran.stdout) };
  }
  const ran = await plane.ferry(...args, '--detach', '--max-bandwidth-mb', '2');
  const { migration: begun } = migrationIn(ran.stdout);
  if (begun === undefined) return { ran };
  await sleep(fault.afterMs);
  await strike(lab, plane, fault.kind, at, step.to, begun.id);
  const migration = await waitFor(
    `the end of migration ${begun.id}`,
    async () => {
      const shownNow = await plane.ferry('migration', 'show', begun.id, '-o', 'json');
      const now = migrationIn(shownNow.stdout).migration;
      return now?.outcome === undefined ? undefined : now;
    },
    { timeoutMs: endMs, intervalMs: 200 },
  );
  return { ran, migration };
}

async function strike(
  lab: LabRef,
  plane: ControlPlane,
  kind: NonNullable<Step['fault']>['kind'],
  from: HostName,
  to: HostName,
  id: string,
): Promise<void> {
  switch (kind) {
    case 'kill-control-plane':
      await plane.kill();
      return plane.start();
    case 'kill-source-daemon':
    case 'kill-target-daemon': {
      const host = kind === 'kill-source-daemon' ? from : to;
      await signalDaemon(lab, host, 'KILL');
      return startDaemon(lab, host);
    }
    case 'cut-data':
      await cutTraffic(lab, to, 'data');
      await sleep(3_000);
      return mendTraffic(lab, to, 'data');
    case 'abort':
      await plane.ferry('migration', 'abort', id);
  }
}

const migrationIn = (stdout: string): { readonly migration?: MigrationJson } => {
  try {
    const parsed = JSON.parse(stdout) as Partial<MigrationJson>;
    return parsed.id === undefined || parsed.phases === undefined ? {} : { migration: parsed as MigrationJson };
  } catch {
    return {};
  }
};

async function bounded(ran: Promise<Ran>, what: string): Promise<Ran> {
  const stop = new AbortController();
  const late = sleep(endMs, undefined, { signal: stop.signal }).then(
    () => Promise.reject(new Error(`${what} did not end within ${endMs / 1000} s`)),
    () => new Promise<never>(() => undefined),
  );
  return Promise.race([ran, late]).finally(() => stop.abort());
}

/**
 * A VM that is shut off starts, unless it is saved (its memory would be used up): begun paused and ended is enough to
 * see.
 */
async function starts(lab: LabRef, host: HostName, domain: Domain): Promise<readonly string[]> {
  if (domain.state !== 'shut off' || domain.saved) return [];
  const virsh = (...args: readonly string[]) =>
    tryRun(execCommand(lab, host, ['virsh', '-q', '-c', 'qemu:///system', ...args]));
  const { code, stderr } = await virsh('start', '--paused', domain.uuid);
  if (code !== 0) return [`it does not start on ${host}: ${stderr.trim()}`];
  await virsh('destroy', domain.uuid);
  return [];
}

/** A VM that is saved goes on from the memory that it had. */
async function wakes(
  lab: LabRef,
  host: HostName,
  uuid: string,
  memory: string | undefined,
): Promise<readonly string[]> {
  const domain = (await lookAtWorld(lab, torturedHosts)).get(host)?.domains.get(uuid);
  if (memory === undefined || domain?.saved !== true) return [];
  const { code, stderr } = await tryRun(
    execCommand(lab, host, ['virsh', '-q', '-c', 'qemu:///system', 'start', '--paused', uuid]),
  );
  if (code !== 0) return [`it does not wake on ${host}: ${stderr.trim()}`];
  return judge.memory(memory, await memoryOf(lab, host, uuid), host);
}

async function purge(
  lab: LabRef,
  plane: ControlPlane,
  scenario: Scenario,
  host: HostName,
  expected: ReadonlyMap<string, string>,
): Promise<readonly string[]> {
  const before = await lookAtWorld(lab, torturedHosts, { contents: true });
  const left = await leftovers(plane);
  const ran = await plane.ferry('volume', 'leftovers', '--purge', '-o', 'json');
  const after = await lookAtWorld(lab, torturedHosts, { contents: true });
  const domain = after.get(host)?.domains.get(scenario.vm.uuid);
  return [
    ...judge.purge(ran, left, before, after),
    ...(domain === undefined ? [] : judge.contents(expected, await contentsOf(lab, host, domain), host)),
  ];
}

const unmountShared = (lab: LabRef, host: HostName): Promise<string> =>
  run(execCommand(lab, host, ['umount', '--lazy', folders.shared]));
const mountShared = (lab: LabRef, host: HostName): Promise<string> =>
  run(execCommand(lab, host, ['mount', '--bind', `${lab.directory}/shared-mount`, folders.shared]));
