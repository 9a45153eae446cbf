/**
 * A guest with QEMU's agent that stood still while it moved: its clock is right afterwards, without anybody's doing.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { virsh, vmCreate, waitFor } from '@ferry/lab';
import { withFleet, type Fleet } from './fleet.ts';

let fleet: Fleet;
withFleet(async (made) => {
  fleet = made;
  await vmCreate(made.lab, { name: 'clock', host: 'host1', agent: true });
  await fleet.seen('clock', 'running');
});

/** How far the guest's clock is behind this machine's, ms; undefined while its agent does not answer. */
async function lagMs(host: string): Promise<number | undefined> {
  const asked = Date.now();
  const said = await virsh(fleet.lab, host, ['qemu-agent-command', 'clock', '{"execute":"guest-get-time"}']).catch(
    () => undefined,
  );
  return said === undefined ? undefined : asked - (JSON.parse(said) as { readonly return: number }).return / 1e6;
}

test('moved suspended: its clock goes right again', { timeout: 180_000 }, async () => {
  const before = (await waitFor('the agent', () => lagMs('host1'), { timeoutMs: 60_000 })) ?? assert.fail('no agent');
  const done = await fleet.move('clock', '--to', 'host2', '--kind', 'suspended', '--max-bandwidth-mb', '8');
  assert.equal(done.outcome, 'succeeded', JSON.stringify(done.error));
  const pausedMs = done.downtimeMs ?? assert.fail('no pause is told');
  assert.ok(pausedMs > 4_000, `${pausedMs} ms: too short to tell anything`);
  const after = (await waitFor('the agent', () => lagMs('host2'), { timeoutMs: 60_000 })) ?? assert.fail('no agent');
  assert.ok(after - before < pausedMs / 2, `${after} ms behind after a pause of ${pausedMs} ms, ${before} ms before`);
});
