/** What Ferry says of drains and restores, held against what is true. */
import { hasEnded, type Batch, type Migration } from '@ferry/core';
import type { SimulatedHost } from '../fleet.ts';
import type { Truth } from './truth.ts';

export interface DrainClaims {
  batch(batch: Batch): void;
  /** A migration is heard of for the first time. */
  began(migration: Migration): void;
  /** A drain has shut the VM down, to move it or until the restore. */
  readonly wasShutDown: (vm: string) => boolean;
  /** The last drain that had it shut the VM down, and nothing has started it again since. */
  readonly isStopped: (vm: string) => boolean;
  /** Once all is healed: those that Ferry has, and what its hosts are in service. */
  atTheEnd(batches: readonly Batch[], hosts: readonly { readonly name: string; readonly state: string }[]): void;
}

export function claimsOfDrains({
  truth,
  hosts,
  since,
  note,
  say,
}: {
  readonly truth: Pick<Truth, 'history' | 'knows'>;
  readonly hosts: () => ReadonlyMap<string, SimulatedHost>;
  /** From when on what Ferry was told may still be what it says. */
  readonly since: () => number;
  readonly note: (text: string) => void;
  readonly say: (what: string) => void;
}): DrainClaims {
  const last = new Map<string, Batch>();
  const stopped = new Set<string>();
  const shutDown = new Set<string>();

  /** It was not active on that host at some time lately. */
  const wasAway = (uuid: Batch['members'][number]['vm']['uuid'], host: string): boolean =>
    truth
      .history(uuid, since())
      .some(({ places }) => places.every((place) => !place.startsWith(`${host}:`) || place === `${host}:shut-off`));

  const judgeDone = ({ hosts: drained, members, kind }: Batch): void => {
    if (kind !== 'drain') return;
    for (const { name } of drained)
      for (const { uuid, name: vm } of hosts().get(name)?.domains.values() ?? []) {
        const member = members.find((each) => each.vm.uuid === uuid);
        if (member?.way === 'never' || !truth.knows(uuid) || wasAway(uuid, name)) continue;
        say(`the drain of ${name} is done, and ${vm} is still there`);
      }
  };

  return {
    batch(batch) {
      const before = last.get(batch.id);
      last.set(batch.id, batch);
      for (const { vm, state, to, asked, note: why } of batch.members) {
        if (asked === true) shutDown.add(vm.name);
        const was = before?.members.find((each) => each.vm.uuid === vm.uuid)?.state;
        if (state === 'stopped' || (state === 'gone' && /It is shut off/.test(why ?? ''))) stopped.add(vm.name);
        if (state === 'started' || state === 'moved') stopped.delete(vm.name);
        if (was === state || (was === undefined && state === 'waiting')) continue;
        const where = state === 'moved' && to !== undefined ? ` to ${to.name}` : '';
        note(`${batch.name}: ${vm.name} ${state}${where}${why === undefined ? '' : ` (${why})`}`);
      }
      if (before?.phase === batch.phase) return;
      const more = hasEnded(batch) && batch.attention !== undefined ? `: ${batch.attention}` : '';
      note(`${batch.name} is ${batch.phase}${more}`);
      if (batch.phase === 'done') judgeDone(batch);
      if (!hasEnded(batch)) return;
      const open = batch.members.find(({ state }) => ['waiting', 'moving', 'stopping'].includes(state));
      if (open !== undefined) say(`a ${batch.kind} is ${batch.phase}, and ${open.vm.name} is ${open.state}`);
    },
    began({ vm, batch }) {
      const of = batch === undefined ? undefined : last.get(batch.id);
      if (of !== undefined && hasEnded(of)) say(`a ${of.kind} that is ${of.phase} begins to move ${vm.name}`);
    },
    wasShutDown: (vm) => shutDown.has(vm),
    isStopped: (vm) => stopped.has(vm),
    atTheEnd(batches, served) {
      for (const batch of batches)
        if (!hasEnded(batch)) say(`a ${batch.kind} never ends: ${batch.phase}, ${batch.attention ?? ''}`);
      for (const { name, state } of served)
        if (
          state === 'draining' &&
          !batches.some((each) => !hasEnded(each) && each.hosts.some((at) => at.name === name))
        )
          say(`${name} is said to be draining, and no drain of it runs`);
    },
  };
}
