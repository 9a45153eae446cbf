/**
 * What a source is asked to do with the guest: core's plan in the words of the hypervisor port. It changes nothing on
 * any host.
 */
import { bandwidthInForce, vouchesFor } from '@ferry/core';
import { helperTarget, rewritten, travelling, type MoveContext } from './context.ts';
import type { PerformRequest } from '../../ports/ports.ts';

/** Rejects when the source does not give its definition. */
export async function performRequest(context: MoveContext): Promise<PerformRequest> {
  const definition = await definitionFor(context);
  const migration = context.current();
  const { plan } = migration;
  const { each: bandwidth, postCopy: inPostCopy } = bandwidthInForce(migration);
  const copied = plan.disks.filter(({ how }) => how === 'copy');
  const persistent = plan.persistence !== 'transient' && plan.helper === undefined;
  return {
    uuid: travelling(migration),
    destinationUri: context.deps.uriOf(migration.to.id),
    ...(bandwidth === undefined ? {} : { maxBandwidthMiBPerSecond: bandwidth }),
    ...(inPostCopy === undefined ? {} : { postCopyBandwidthMiBPerSecond: inPostCopy }),
    ...(definition === undefined ? {} : { definition }),
    transfer: plan.transfer ?? { mode: 'peer-to-peer', modeReason: 'as before' },
    live: plan.live && plan.helper === undefined,
    persist: persistent && plan.persistence !== 'temporary',
    undefineSource: persistent && plan.persistence === 'permanent',
    copyDisks:
      plan.helper === undefined ? copied.map((disk) => disk.target) : copied.map((_, index) => helperTarget(index)),
    ...(plan.helper === undefined && vouchesFor(plan.disks) ? { vouched: true as const } : {}),
    topOnly: copied.some(({ volume }) => volume?.backing !== undefined),
  };
}

/**
 * What libvirt should give the target instead of its own choice; undefined for no difference.
 */
async function definitionFor({ migration, deps, source, bounded }: MoveContext): Promise<PerformRequest['definition']> {
  const { plan, vm } = migration;
  const { definitions } = source();
  if (plan.helper !== undefined) {
    const copied = plan.disks.filter(({ how }) => how === 'copy');
    const disks = Object.fromEntries(
      copied.flatMap(({ targetPath }, index) => (targetPath === undefined ? [] : [[helperTarget(index), targetPath]])),
    );
    const chains = Object.fromEntries(
      copied.flatMap(({ chain }, index) => (chain === undefined ? [] : [[helperTarget(index), chain]])),
    );
    if (Object.keys({ ...disks, ...chains }).length === 0) return undefined;
    return {
      live: deps.rewriteDefinition(await definitions.readMigratable(plan.helper.uuid, bounded()), { disks, chains }),
    };
  }
  if (plan.definition === undefined) return undefined;
  const live = rewritten(migration, 'now', await definitions.readMigratable(vm.uuid, bounded()), deps);
  return plan.persistence === 'transient' || plan.persistence === 'temporary'
    ? { live }
    : { live, persistent: rewritten(migration, 'next-start', await definitions.read(vm.uuid, bounded()), deps) };
}
