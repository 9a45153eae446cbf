/**
 * Guests in post-copy, for the tests that break it: a move with most of its pages still on the source, and what the
 * two halves are.
 */
import assert from 'node:assert/strict';
import { virsh, vmCreate, waitFor } from '@ferry/lab';
import { begin, countsOn, type Begun } from './fault-fixture.ts';
import type { Fleet } from './fleet.ts';

/**
 * A guest in post-copy, with most of its pages still on the source, which takes half a minute for them. QEMU's own
 * limit does not delay pages that the guest waits for. On a slow link they would come after the data in the socket, and
 * the transfer would almost be over before the guest counts on. QEMU 7.2 cannot resume what breaks between its last
 * page and the target's answer.
 */
export async function inPostCopy(fleet: Fleet, vm: string): Promise<Begun> {
  await vmCreate(fleet.lab, { name: vm, host: 'host1', workload: 'dirty:20' });
  return await intoPostCopy(fleet, vm);
}

/** The same of one that runs. */
export async function intoPostCopy(fleet: Fleet, vm: string): Promise<Begun> {
  const begun = await begin(fleet, vm, { mib: 3, more: ['--postcopy'] });
  assert.equal(await inPostCopyMib(fleet, begun), 3, 'the limit holds in post-copy too');
  await fleet.plane.json('migration', 'postcopy', begun.id);
  await waitFor(
    'the guest to run on the target',
    async () => (await fleet.state(begun.to, vm)) === 'running' || undefined,
    { timeoutMs: 30_000 },
  );
  assert.equal((await fleet.migration(begun.id)).phase, 'post-copy');
  // libvirt 9.0 does not hear of what breaks before its target waits for the end
  await countsOn(fleet, vm);
  return begun;
}
/** QEMU's limit for the pages that nobody waits for, MiB/s. */
async function inPostCopyMib(fleet: Fleet, { from, vm }: Pick<Begun, 'from' | 'vm'>): Promise<number> {
  const said = await virsh(fleet.lab, from, [
    'qemu-monitor-command',
    vm,
    JSON.stringify({ execute: 'query-migrate-parameters' }),
  ]);
  return (
    (JSON.parse(said) as { readonly return: { readonly 'max-postcopy-bandwidth': number } }).return[
      'max-postcopy-bandwidth'
    ] / 1_048_576
  );
}
/** The rest may follow fast. */
export async function unpaced(fleet: Fleet, begun: Begun): Promise<void> {
  await fleet.plane.json('migration', 'set', begun.id, '--max-bandwidth-mb', '1000');
  assert.equal(await inPostCopyMib(fleet, begun), 1000);
}
export const stateOf = (fleet: Fleet, host: string, vm: string): Promise<string> =>
  virsh(fleet.lab, host, ['domstate', '--reason', vm]).then(
    (said) => said.trim(),
    () => 'absent',
  );
export const untilSaid = (fleet: Fleet, host: string, vm: string, state: string) =>
  waitFor(`${vm} on ${host} to be ${state}`, async () => (await stateOf(fleet, host, vm)) === state || undefined, {
    timeoutMs: 60_000,
    intervalMs: 200,
  });

/** Both ends of QEMU's connection break at the target's next word, and no new one comes in. */
export const brokenData = `table ip broken {
  chain in { type filter hook input priority 0; tcp dport 49152-49215 tcp flags syn reject with tcp reset; }
  chain out { type filter hook output priority 0; tcp sport 49152-49215 tcp flags rst accept; tcp sport 49152-49215 reject with tcp reset; }
}`;
