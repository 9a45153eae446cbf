/**
 * Faults after the switch to post-copy, when the guest runs on the target and its pages are on both hosts: nothing goes
 * back, and neither half is ever destroyed, for each holds pages that the other lacks.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { changeLink, powerOff, powerOn, vmDelete } from '@ferry/lab';
import { intact, onlyFull, shortPatience } from './fault-fixture.ts';
import { withFleet, type Fleet } from './fleet.ts';
import { brokenData, inPostCopy, stateOf, unpaced, untilSaid } from './post-copy-fixture.ts';

let fleet: Fleet;
withFleet((made) => {
  fleet = made;
});
let impatient: Promise<void> | undefined;
/** Once: the first test needs the patience that daemons have by themselves. */
const loseHopeSoon = (): Promise<void> => (impatient ??= shortPatience(fleet));

test(
  'post-copy with the link cut for 8 s: it goes on and finishes on the target',
  { timeout: 180_000, skip: onlyFull('pages that follow slowly take long') },
  async () => {
    const begun = await inPostCopy(fleet, 'waiting');
    await changeLink(fleet.lab, begun.to, false);
    await sleep(8_000);
    await changeLink(fleet.lab, begun.to, true);
    await unpaced(fleet, begun);
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
    await vmDelete(fleet.lab, 'waiting');
  },
);

test(
  'post-copy with the link cut until the daemons give up: it is shown, and it finishes when the link is back',
  { timeout: 240_000, skip: onlyFull('pages that follow slowly take long') },
  async () => {
    await loseHopeSoon();
    const begun = await inPostCopy(fleet, 'torn');
    await changeLink(fleet.lab, begun.to, false);
    await untilSaid(fleet, begun.from, 'torn', 'paused (post-copy failed)');
    await changeLink(fleet.lab, begun.to, true);
    await unpaced(fleet, begun);
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded' });
    await vmDelete(fleet.lab, 'torn');
  },
);

test(
  "post-copy with QEMU's connection broken: both halves stay, it is resumed, and it finishes on the target",
  { timeout: 240_000 },
  async () => {
    await loseHopeSoon();
    const begun = await inPostCopy(fleet, 'broken');
    await fleet.sh(begun.to, `nft -f - <<'RULES'\n${brokenData}\nRULES`);
    await untilSaid(fleet, begun.from, 'broken', 'paused (post-copy failed)');
    await untilSaid(fleet, begun.to, 'broken', 'running (post-copy failed)');
    assert.equal((await fleet.migration(begun.id)).outcome, undefined, 'both halves are needed');
    await unpaced(fleet, begun);
    await fleet.sh(begun.to, 'nft delete table ip broken');
    // tries to resume come up to 30 s apart, and the first after the link is back may still hear of the one before
    await intact(fleet, begun, { at: begun.to, outcome: 'succeeded', timeoutMs: 150_000 });
    await vmDelete(fleet.lab, 'broken');
  },
);

test(
  'post-copy with the target killed: the source is neither resumed nor destroyed, and the loss is reported',
  { timeout: 240_000, skip: onlyFull('a broken connection is in every run') },
  async () => {
    await loseHopeSoon();
    const begun = await inPostCopy(fleet, 'lost');
    fleet.accept(/it did not move, and is on host\d/, 'it ran there, so libvirt keeps its definition');
    await powerOff(fleet.lab, begun.to);
    await untilSaid(fleet, begun.from, 'lost', 'paused (post-copy failed)');
    await powerOn(fleet.lab, begun.to);
    const ended = await fleet.ended(begun.id);
    assert.deepEqual([ended.outcome, ended.error?.code], ['failed', 'post-copy-lost'], JSON.stringify(ended));
    assert.deepEqual(ended.vmIsNow, { host: begun.from, state: 'paused' });
    assert.equal(await stateOf(fleet, begun.from, 'lost'), 'paused (post-copy failed)');
  },
);
