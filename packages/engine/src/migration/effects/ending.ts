/**
 * What follows a transfer: the rest of a move that happened, and the taking back of one that did not. Which steps that
 * takes, and in which order, core says (move-ending.ts); here each of them is carried out. Every step may be repeated
 * after a crash. The runner decides when.
 */
import {
  arrivalProblems,
  arrivalSteps,
  cleanUpSteps,
  broughtDefinition,
  isOff,
  moveFailureText,
  undoSteps,
  writesStored,
  type ArrivalStep,
  type EndingStep,
  type InstanceView,
  type Migration,
  type MigrationEvent,
  type OwnDefinition,
  type VmUuid,
} from '@ferry/core';
import { moveDefinition } from './definition.ts';
import { inspectTarget } from './inspection.ts';
import { bothHosts, refusalText, rewritten, sidesOf, type MoveContext } from './context.ts';
import { startOnce } from './start.ts';
import type { HostLink } from '../../ports/ports.ts';

/** How long the agent has for the guest's clock; libvirt itself waits 5 s for its answer. */
const agentMs = 15_000;

type Cleaned = Extract<MigrationEvent, { type: 'cleaned' }>;
/** What a step found out. `failure` without `moved: false`: the VM has moved all the same. */
interface Outcome {
  readonly failure?: string;
  readonly moved?: false;
  readonly copiedBytes?: number;
  readonly vmIsNow?: NonNullable<Migration['vmIsNow']>;
}

const lookAt = (link: Pick<HostLink, 'instances'>, uuid: VmUuid, { bounded }: MoveContext): Promise<InstanceView> =>
  link.instances.observe(uuid, bounded());

/** The rest of a move whose transfer is over. Rejects when a host does not answer: to be tried again. */
export async function finishMove(context: MoveContext): Promise<Cleaned> {
  const { migration, target } = context;
  const found: { failure?: string; copiedBytes?: number; vmIsNow?: NonNullable<Migration['vmIsNow']> } = {};
  for (const step of cleanUpSteps(migration)) {
    const { moved, ...outcome } = await carryOut(step, context);
    Object.assign(found, outcome);
    if (moved === false) return { type: 'cleaned', failure: { message: found.failure ?? '', moved } };
  }
  const { failure, copiedBytes, vmIsNow = await placeOn(target(), context) } = found;
  return {
    type: 'cleaned',
    ...(copiedBytes === undefined ? {} : { copiedBytes }),
    ...(failure === undefined ? {} : { failure: { message: failure, moved: true } }),
    ...(vmIsNow === undefined ? {} : { vmIsNow }),
  };
}

async function placeOn(link: Pick<HostLink, 'instances'>, context: MoveContext): Promise<Migration['vmIsNow']> {
  const there = await lookAt(link, context.migration.vm.uuid, context);
  return there.kind === 'present' ? { host: context.migration.to.name, state: there.state } : undefined;
}

/** Takes back what was prepared. Rejects, and nothing is deleted, while the target has something active of the VM. */
export async function takeBack(context: MoveContext): Promise<void> {
  for (const step of undoSteps(context.migration)) await carryOut(step, context);
}

/** The same where the guest was shut down for a move that was refused then: there is no target. */
export async function takeBackUnplanned(
  migration: Migration,
  source: () => Pick<HostLink, 'instances' | 'power'>,
  bounded: () => AbortSignal,
): Promise<void> {
  for (const step of undoSteps(migration))
    if (step.do === 'start-source') await startSource(migration.vm.uuid, source(), bounded);
}

async function carryOut(step: EndingStep, context: MoveContext): Promise<Outcome> {
  const { migration, deps, source, target, bounded } = context;
  const { vm, to } = migration;
  const sides = () => sidesOf(context);
  const linkAt = (at: 'source' | 'target'): HostLink => (at === 'source' ? source() : target());
  switch (step.do) {
    case 'receive-guest':
      return receiveGuest(context);
    case 'move-definition':
      return definitionMoved(context);
    case 'start-stored':
      return startStored(context);
    case 'restore-snapshots':
      return done(deps.snapshots.putBack(migration, linkAt(step.at), bounded()));
    case 'end-helper':
      return done(endHelper(linkAt(step.at), context));
    case 'keep-resources':
      return done(deps.created.keep(migration));
    case 'remove-resources':
      return done(deps.created.takeBack(migration, target(), bounded()));
    case 'unpark-target':
      return done(deps.kept.unpark(vm.uuid, to.id));
    case 'settle-volumes':
      return deps.volumes.settle(migration, sides().from, sides().to, bounded());
    case 'remove-volumes':
      return done(deps.volumes.takeBack(migration, sides().to, bounded()));
    case 'keep-for-inspection':
      return done(keepForInspection(context));
    case 'settle-files':
      return done(deps.carried.settle(migration, sides().from, sides().to, bounded()));
    case 'remove-files':
      return done(deps.carried.takeBack(migration, sides().to, bounded()));
    case 'require-idle-target':
      return done(requireIdleTarget(context));
    case 'remove-target-definition':
      return done(removeTargetDefinition(context));
    case 'start-source':
      return done(startSource(vm.uuid, source(), bounded));
  }
}

async function done(step: Promise<void>): Promise<Outcome> {
  await step;
  return {};
}

async function requireIdleTarget(context: MoveContext): Promise<void> {
  const { migration, target } = context;
  const there = await lookAt(target(), migration.vm.uuid, context);
  if (there.kind === 'present' && there.state !== 'shut-off')
    throw new Error(moveFailureText(migration, 'target-active', there.state));
}

async function removeTargetDefinition(context: MoveContext): Promise<void> {
  const { migration, target, bounded, apart } = context;
  if ((await lookAt(target(), migration.vm.uuid, context)).kind !== 'present') return;
  await apart();
  await target().definitions.undefine(migration.vm.uuid, bounded());
}

async function keepForInspection({ migration, deps, source, target, bounded }: MoveContext): Promise<void> {
  const definition = async (): Promise<string> =>
    rewritten(migration, 'now', await source().definitions.readMigratable(migration.vm.uuid, bounded()), deps);
  await deps.inspected(await inspectTarget(migration, { target: target(), definition }, deps.clock.now(), bounded()));
}

async function startSource(
  uuid: VmUuid,
  { instances, power }: Pick<HostLink, 'instances' | 'power'>,
  bounded: () => AbortSignal,
): Promise<void> {
  if ((await instances.observe(uuid, bounded())).kind === 'present')
    await startOnce(uuid, { instances, power }, bounded);
}

/** The definition goes over, and what belongs to it. */
async function definitionMoved(context: MoveContext): Promise<Outcome> {
  const { migration, deps, source, target, signal, bounded, apart } = context;
  const { vm, plan, from } = migration;
  const sides = sidesOf(context);
  // ending the helper takes libvirt a while, and only a start has to wait for it
  const released = endHelper(target(), context);
  const moving = moveDefinition(migration, {
    source: source(),
    target: target(),
    log: deps.log,
    bounded,
    released,
    apart,
    notThere: () => deps.sharing.notThere(plan.disks, sides.from, sides.to, bounded()),
    park: () => deps.kept.park(vm.uuid, from.id),
    rewrite: (xml) => rewritten(migration, 'next-start', xml, deps),
    bringState: async () => {
      await deps.carried.bringState(migration, sides.from, sides.to, signal);
      await adaptSaved(context);
    },
    takeStateBack: () => deps.carried.takeBack(migration, sides.to, signal),
    sameDefinition: (a, b) => isSame(deps.identityOfDefinition(a), deps.identityOfDefinition(b)),
  });
  // whoever tries again must not do so beside what still goes on
  await Promise.allSettled([moving, released]);
  const [{ moved, ...outcome }] = await Promise.all([moving, released]);
  if (moved && migration.plan.savedMemory === true) await context.deps.kept.arrivedSaved(vm.uuid, migration.to.id);
  return moved ? outcome : { ...outcome, moved };
}

/** Saved memory brings its guest back with the definition inside: that names what the target has, too. */
async function adaptSaved({ migration, deps, target, bounded }: MoveContext): Promise<void> {
  const { plan, vm } = migration;
  if (plan.savedMemory !== true || plan.definition === undefined) return;
  const { savedMemory } = target();
  const own = await savedMemory.read(vm.name, bounded());
  const wanted = rewritten(migration, 'now', own, deps);
  if (wanted === own) return;
  await savedMemory.write(vm.name, wanted, bounded());
  const written = deps.identityOfDefinition(await savedMemory.read(vm.name, bounded()));
  if (!isSame(deps.identityOfDefinition(wanted), written))
    throw new Error(moveFailureText(migration, 'saved-memory-unchanged'));
}

/** What a host may not change on its own: another libvirt adds devices and paths of its own, and has its own order. */
function isSame(a: OwnDefinition, b: OwnDefinition): boolean {
  const compared = ({ uuid, name, disks, needs: { networks, bridges, filters, secrets } }: OwnDefinition): string =>
    JSON.stringify([
      uuid,
      name,
      ...[Object.entries(disks).map(String), networks, bridges, filters, secrets].map((each) => each.toSorted()),
    ]);
  return compared(a) === compared(b);
}

/**
 * What follows when libvirt has moved the guest. Failures here do not undo the move; what is other on the target than
 * planned is told.
 */
async function receiveGuest(context: MoveContext): Promise<Outcome> {
  const { migration, deps, source, target, bounded } = context;
  const { vm } = migration;
  // a host that is not there is found before the other one is asked: nobody would hear of that answer
  const [sourceLink, targetLink] = [source(), target()];
  const [here, there] = await Promise.all([
    lookAt(sourceLink, vm.uuid, context),
    lookAt(targetLink, vm.uuid, context),
    // what is remembered below is checked against what the hosts report, so that has to be the new state
    deps.refresh(vm.uuid, bothHosts(migration), bounded()).catch(tolerate(context, 'inventory not refreshed')),
  ]);
  for (const step of arrivalSteps(migration, here, there)) await arrive(step, context);
  const problems = await arrivedOtherwise(context, there).catch((error: unknown) => {
    tolerate(context, 'the definitions on the target could not be compared')(error);
    return [];
  });
  return problems.length === 0 ? {} : { failure: moveFailureText(migration, 'arrived-otherwise', problems.join('; ')) };
}

const tolerate =
  ({ deps, migration }: MoveContext, what: string) =>
  (error: unknown): void =>
    deps.log.warn({ err: error, migration: migration.id }, what);

async function arrive(step: ArrivalStep, context: MoveContext): Promise<void> {
  const { migration, deps, source, target, signal, bounded, apart } = context;
  const { vm, from, to } = migration;
  switch (step) {
    case 'undefine-source':
      try {
        await apart();
        return await source().definitions.undefine(vm.uuid, bounded());
      } catch (error) {
        // it stays, and is known not to be the VM
        tolerate(context, 'the old definition stays on the source, shut off')(error);
        return deps.kept.park(vm.uuid, from.id);
      }
    case 'park-source':
      await deps.kept.park(vm.uuid, from.id);
      return source()
        .definitions.setAutostart(vm.uuid, false, bounded())
        .catch(tolerate(context, 'the kept definition may start by itself'));
    case 'set-autostart':
      return target()
        .definitions.setAutostart(vm.uuid, true, bounded())
        .catch(tolerate(context, 'autostart is not set on the target'));
    case 'set-guest-clock':
      await target()
        .guest.setTime(vm.uuid, AbortSignal.any([signal, deps.clock.timeout(agentMs)]))
        .catch(tolerate(context, "the guest's agent did not set its time"));
      return;
    case 'note-arrived-paused':
      return deps.kept.arrivedPaused(vm.uuid, to.id);
  }
}

/** Both definitions that the target has, held against the plan. */
async function arrivedOtherwise(
  { migration, deps, target, bounded }: MoveContext,
  there: InstanceView,
): Promise<readonly string[]> {
  const { plan, vm } = migration;
  if (plan.definition?.ownXml === true || there.kind !== 'present') return [];
  const { definitions } = target();
  const sources = async (read: typeof definitions.read) =>
    deps.identityOfDefinition(await read(vm.uuid, bounded())).disks;
  const [now, nextStart] = await Promise.all([
    there.state === 'shut-off' ? undefined : sources((uuid, signal) => definitions.readMigratable(uuid, signal)),
    plan.persistence === 'permanent' || plan.persistence === 'keep-source'
      ? sources((uuid, signal) => definitions.read(uuid, signal))
      : undefined,
  ]);
  return arrivalProblems(plan.disks, {
    ...(now === undefined ? {} : { now }),
    ...(nextStart === undefined ? {} : { nextStart }),
  });
}

async function endHelper(link: Pick<HostLink, 'instances' | 'power'>, context: MoveContext): Promise<void> {
  const { helper } = context.migration.plan;
  if (helper !== undefined && (await lookAt(link, helper.uuid, context)).kind === 'present')
    await link.power.end(helper.uuid, context.bounded());
}

/** How the VM is on the host that was dead, where that is back and has it active. Rejects while that is not known. */
async function stateOnReturned(context: MoveContext): Promise<string | undefined> {
  const { migration, deps, bounded } = context;
  let link: HostLink;
  try {
    link = deps.linkOf(migration.from.id);
  } catch {
    return undefined;
  }
  const here = await link.instances.observe(migration.vm.uuid, bounded());
  return here.kind !== 'present' || isOff(here) ? undefined : here.state;
}

/** Starts the VM of a dead host from the stored definition; the operator's statement is on the migration. */
async function startStored(context: MoveContext): Promise<Outcome> {
  const { migration, deps, target, bounded } = context;
  const { vm, plan, from, to } = migration;
  const definition = await deps.stored(vm.uuid, from.id);
  if (definition === undefined) return { failure: moveFailureText(migration, 'stored-definition-gone'), moved: false };
  const { definitions, instances } = target();
  const there = await instances.observe(vm.uuid, bounded());
  const running = { vmIsNow: { host: to.name, state: 'running' as const } };
  if (there.kind !== 'present' || isOff(there)) {
    const active = await stateOnReturned(context);
    if (active !== undefined) return { failure: moveFailureText(migration, 'source-active', active), moved: false };
  }
  try {
    // one that was kept there is older
    if (writesStored(there, deps.kept.isParked(vm.uuid, to.id))) await definitions.write(definition.xml, bounded());
    // before it runs: should the dead host come back, its definition is not the VM
    await deps.kept.park(vm.uuid, from.id);
    await deps.kept.unpark(vm.uuid, to.id);
    await startOnce(vm.uuid, target(), bounded);
    if (plan.autostart) await definitions.setAutostart(vm.uuid, true, bounded());
    return running;
  } catch (error) {
    // it may run yet, and is started nowhere else while it may
    const refusal = refusalText(error);
    const now = await instances.observe(vm.uuid, bounded());
    // it runs: only what comes after the start has failed
    if (now.kind === 'present' && now.state === 'running') return running;
    if (isOff(now) && broughtDefinition(migration, there)) await definitions.undefine(vm.uuid, bounded());
    await deps.kept.unpark(vm.uuid, from.id);
    return { failure: moveFailureText(migration, 'stored-not-started', refusal), moved: false };
  }
}
