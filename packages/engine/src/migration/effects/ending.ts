/**
 * What follows a transfer: the rest of a move that happened, and the taking back of one that did not. Every step may be
 * repeated after a crash. The runner decides when; core decided which.
 */
import {
  arrivalProblems,
  hasCopies,
  type InstanceView,
  type Migration,
  type MigrationEvent,
  type OwnDefinition,
  type VmUuid,
} from '@ferry/core';
import { moveDefinition } from './definition.ts';
import { inspectTarget } from './inspection.ts';
import { rewritten, sidesOf, type MoveContext } from './context.ts';
import type { HostLink } from '../../ports/ports.ts';

/** Pauses from here on are told to the guest's agent, ms. */
const clockMatters = 1_000;
/** How long the agent has for it; libvirt itself waits 5 s for its answer. */
const agentMs = 15_000;

type Cleaned = Extract<MigrationEvent, { type: 'cleaned' }>;

const targetName = ({ to }: Migration): string => to?.name ?? 'the target';
const lookAt = (link: HostLink, uuid: VmUuid, { bounded }: MoveContext): Promise<InstanceView> =>
  link.instances.observe(uuid, bounded());

/** The rest of a move whose transfer is over. Rejects when a host does not answer: to be tried again. */
export async function finishMove(context: MoveContext): Promise<Cleaned> {
  const { migration, deps, source, target, signal, bounded, apart } = context;
  const { plan, vm, to, from } = migration;
  if (plan?.how === 'stored-definition') return startStored(context);
  const sides = sidesOf(context);
  let failure: string | undefined;
  if (plan?.how === 'guest' || plan === undefined) failure = await afterGuest(context);
  else {
    // ending the helper takes libvirt a while, and only a start has to wait for it
    const released = endHelper(target(), context);
    const moving = moveDefinition(migration, {
      source: source(),
      target: target(),
      log: deps.log,
      signal,
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
    const [moved] = await Promise.all([moving, released]);
    if (!moved.moved) return { type: 'cleaned', failure: { message: moved.failure, moved: false } };
    failure = moved.failure;
  }
  await deps.created.keep(migration);
  // a temporary guest keeps its snapshots where its definition is
  if (plan?.carriesSnapshots === true)
    await deps.snapshots.putBack(migration, plan.persistence === 'temporary' ? source() : target(), bounded());
  if (to !== undefined) await deps.kept.unpark(vm.uuid, to.id);
  const { copiedBytes } = hasCopies(plan)
    ? await deps.volumes.settle(migration, sides.from, sides.to, bounded())
    : { copiedBytes: 0 };
  await deps.carried.settle(migration, sides.from, sides.to, bounded());
  const there = await lookAt(target(), vm.uuid, context);
  return {
    type: 'cleaned',
    copiedBytes,
    ...(failure === undefined ? {} : { failure: { message: failure, moved: true } }),
    ...(there.kind === 'present' ? { vmIsNow: { host: targetName(migration), state: there.state } } : {}),
  };
}

/** Saved memory brings its guest back with the definition inside: that names what the target has, too. */
async function adaptSaved({ migration, deps, target, signal }: MoveContext): Promise<void> {
  const { plan, vm } = migration;
  if (plan?.savedMemory !== true || plan.definition === undefined) return;
  const { savedMemory } = target();
  const own = await savedMemory.read(vm.name, signal);
  const wanted = rewritten(migration, 'now', own, deps);
  if (wanted === own) return;
  await savedMemory.write(vm.name, wanted, signal);
  const written = deps.identityOfDefinition(await savedMemory.read(vm.name, signal));
  if (!isSame(deps.identityOfDefinition(wanted), written))
    throw new Error(`libvirt on ${targetName(migration)} did not put other disks or networks into its saved memory`);
}

/** What a host may not change by itself: another libvirt adds devices and paths of its own, and has its own order. */
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
async function afterGuest(context: MoveContext): Promise<string | undefined> {
  const { migration, deps, source, target, signal, apart } = context;
  const { plan, vm, from, to } = migration;
  /** It stays, and is known not to be the VM. */
  const leaveParked = async (error: unknown): Promise<void> => {
    tolerate('the old definition stays on the source, shut off')(error);
    await deps.kept.park(vm.uuid, from.id);
  };
  const tolerate = (what: string) => (error: unknown) => deps.log.warn({ err: error, migration: migration.id }, what);
  const [here, there] = await Promise.all([
    lookAt(source(), vm.uuid, context),
    lookAt(target(), vm.uuid, context),
    // what is remembered below is checked against what the hosts report, so that has to be the new state
    deps.refresh(migration, signal).catch(tolerate('inventory not refreshed')),
  ]);
  if (here.kind === 'present' && here.state === 'shut-off' && here.persistent) {
    if (plan?.persistence === 'permanent')
      await apart()
        .then(() => source().definitions.undefine(vm.uuid, signal))
        .catch(leaveParked);
    if (plan?.persistence === 'keep-source') {
      await deps.kept.park(vm.uuid, from.id);
      await source()
        .definitions.setAutostart(vm.uuid, false, signal)
        .catch(tolerate('the kept definition may start by itself'));
    }
  }
  if (plan?.autostart === true && plan.persistence !== 'temporary')
    await target()
      .definitions.setAutostart(vm.uuid, true, signal)
      .catch(tolerate('autostart is not set on the target'));
  // its clock stood still with it
  if ((migration.downtimeMs ?? 0) >= clockMatters && there.kind === 'present' && there.state === 'running')
    await target()
      .guest.setTime(vm.uuid, AbortSignal.any([signal, AbortSignal.timeout(agentMs)]))
      .catch(tolerate("the guest's agent did not set its time"));
  const inactiveImages = plan?.nvram === true || plan?.disks.some(({ how }) => how === 'shared') === true;
  if (to !== undefined && there.kind === 'present' && there.state === 'paused' && inactiveImages)
    await deps.kept.arrivedPaused(vm.uuid, to.id);
  const problems = await arrivedOtherwise(context, there).catch((error: unknown) => {
    tolerate('the definitions on the target could not be compared')(error);
    return [];
  });
  return problems.length === 0 ? undefined : `it was moved to ${targetName(migration)}, where ${problems.join('; ')}.`;
}

/** Both definitions that the target has, held against the plan. */
async function arrivedOtherwise(
  { migration, deps, target, bounded }: MoveContext,
  there: InstanceView,
): Promise<readonly string[]> {
  const { plan, vm } = migration;
  if (plan === undefined || plan.definition?.ownXml === true || there.kind !== 'present') return [];
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

async function endHelper(link: HostLink, context: MoveContext): Promise<void> {
  const helper = context.migration.plan?.helper;
  if (helper !== undefined && (await lookAt(link, helper.uuid, context)).kind === 'present')
    await link.power.end(helper.uuid, context.signal);
}

/** Starts the VM of a dead host from the stored definition; the operator's statement is on the migration. */
async function startStored(context: MoveContext): Promise<Cleaned> {
  const { migration, deps, target, bounded } = context;
  const { vm, plan, from, to } = migration;
  const definition = await deps.stored(vm.uuid, from.id);
  if (definition === undefined || to === undefined)
    return { type: 'cleaned', failure: { message: 'its stored definition is gone.', moved: false } };
  const driver = target();
  const there = await lookAt(driver, vm.uuid, context);
  try {
    // one that was kept there is older
    if (
      there.kind === 'absent' ||
      (there.kind === 'present' && there.state === 'shut-off' && deps.kept.isParked(vm.uuid, to.id))
    )
      await driver.definitions.write(definition.xml, bounded());
    // before it runs: should the dead host come back, its definition is not the VM
    await deps.kept.park(vm.uuid, from.id);
    await deps.kept.unpark(vm.uuid, to.id);
    if (there.kind === 'absent' || (there.kind === 'present' && there.state === 'shut-off'))
      await driver.power.start(vm.uuid, bounded());
    if (plan?.autostart === true) await driver.definitions.setAutostart(vm.uuid, true, bounded());
  } catch (error) {
    const now = await lookAt(driver, vm.uuid, context);
    // it runs: only what comes after the start has failed
    if (now.kind === 'present' && now.state === 'running')
      return { type: 'cleaned', vmIsNow: { host: to.name, state: 'running' } };
    if (there.kind === 'absent' && now.kind === 'present') await driver.definitions.undefine(vm.uuid, bounded());
    await deps.kept.unpark(vm.uuid, from.id);
    return {
      type: 'cleaned',
      failure: {
        message: `it did not start on ${to.name}: ${error instanceof Error ? error.message : String(error)}`,
        moved: false,
      },
    };
  }
  return { type: 'cleaned', vmIsNow: { host: to.name, state: 'running' } };
}

/**
 * Takes back what was prepared. Rejects, and nothing is deleted, while the target still has something of the VM that
 * is active.
 */
export async function takeBack(context: MoveContext): Promise<void> {
  const { migration, deps, source, target, bounded, apart } = context;
  const { plan, vm } = migration;
  if (plan?.carriesSnapshots === true) await deps.snapshots.putBack(migration, source(), bounded());
  if (plan?.helper !== undefined) for (const link of [source(), target()]) await endHelper(link, context);
  const there = await lookAt(target(), vm.uuid, context);
  if (there.kind === 'present' && there.state !== 'shut-off')
    throw new Error(`${vm.name} is ${there.state} on ${targetName(migration)}`);
  // a held target got its definition before it was known that it would not run
  if (plan?.transfer?.handover === true && plan.definedThere !== true && there.kind === 'present') {
    await apart();
    await target().definitions.undefine(vm.uuid, bounded());
  }
  if (migration.request.keepTargetOnFailure === true && migration.evidence.ending?.outcome === 'failed') {
    const definition = async (): Promise<string> =>
      rewritten(migration, 'now', await source().definitions.readMigratable(vm.uuid, bounded()), deps);
    await deps.inspected(await inspectTarget(migration, { target: target(), definition }, deps.clock.now(), bounded()));
  } else await deps.volumes.takeBack(migration, sidesOf(context).to, bounded());
  await deps.carried.takeBack(migration, sidesOf(context).to, bounded());
  await deps.created.takeBack(migration, target(), bounded());
  // it was shut down to be moved cold, and was not moved
  if (migration.evidence.poweredOffAt !== undefined && migration.request.kind === 'cold') {
    const here = await lookAt(source(), vm.uuid, context);
    if (here.kind === 'present' && here.state === 'shut-off') await source().power.start(vm.uuid, bounded());
  }
}
