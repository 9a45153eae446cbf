/**
 * What comes before a transfer: networks, snapshots, volumes and the helper are made ready, and the domain is marked as
 * this migration's. What was made until a step failed is taken back by effects/ending.ts.
 */
import { budgetOf, FerryError, hasCopies, type Prediction } from '@ferry/core';
import { helperTarget, sidesOf, type MoveContext } from './context.ts';

/** Resolves with the prediction of the transfer, if one was made. Rejects when something cannot be prepared. */
export async function prepareMove(context: MoveContext): Promise<Prediction | undefined> {
  const { migration, current, deps, source, target, signal, bounded } = context;
  const { plan, vm } = migration;
  const marker = { installation: deps.installation, migration: migration.id, epoch: 1 };
  const stillWanted = (): void => {
    if (current().phase !== 'preparing') throw new Error(`the move of ${vm.name} is taken back`);
  };
  const prediction = deps.predictConvergence(migration, signal);
  // nobody waits for it where a step before that fails
  void prediction.catch(() => undefined);
  await deps.created.create(migration, source, target(), bounded());
  stillWanted();
  if (plan.how !== 'stored-definition')
    await deps.carried.bring(migration, sidesOf(context).from, sidesOf(context).to, bounded());
  stillWanted();
  if (plan.carriesSnapshots === true) await deps.snapshots.takeOff(migration, source(), bounded());
  stillWanted();
  const volumes = hasCopies(plan) ? deps.volumes.make(migration, sidesOf(context).to, bounded()) : undefined;
  if (plan.helper !== undefined) {
    const disks = plan.disks
      .filter(({ how }) => how === 'copy')
      .map(({ target: device, path = '', format = 'raw', capacityBytes = 0, asFile }, index) => ({
        target: helperTarget(index),
        path,
        sizeBytes: capacityBytes,
        ...(asFile === true ? { format: 'raw' } : { format, of: device }),
      }));
    // marked as it is made
    const started = {
      ...plan.helper,
      vm: vm.uuid,
      disks,
      ...(plan.savedMemory === true ? { saved: true as const } : {}),
    };
    const helper = (async () => source().power.startHelper(started, marker, bounded()))();
    // both end before anything is taken back
    const failed = (await Promise.allSettled([volumes, helper])).find((each) => each.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return prediction;
  }
  await volumes;
  // libvirt gives the source up by itself: the last look at what both hosts are to have is this one
  const missing =
    plan.how !== 'guest'
      ? undefined
      : await deps.sharing.notThere(
          plan.disks.filter(({ how }) => how === 'shared'),
          sidesOf(context).from,
          sidesOf(context).to,
          bounded(),
        );
  if (missing !== undefined) throw new FerryError('volume-failed', missing);
  if (plan.how !== 'definition' && plan.how !== 'stored-definition') {
    await Promise.all([
      source().instances.mark(vm.uuid, marker, bounded()),
      plan.live ? source().steering.tune(vm.uuid, { maxDowntimeMs: budgetOf(current()) }, bounded()) : undefined,
    ]);
  }
  return prediction;
}
