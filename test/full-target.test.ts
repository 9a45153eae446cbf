/**
 * A target whose daemon accepts no more clients: the check refuses it. If the last place is taken just before libvirt
 * connects, Ferry says what libvirt waits for and who can end it, and reports the true state until then.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTicks, vmCreate, vmLog, waitFor } from '@ferry/lab';
import { onlyFull } from './fault-fixture.ts';
import type { MigrationJson } from './answers.ts';
import { withFleet, type Fleet } from './fleet.ts';
import { proxyTo } from './rpc-proxy.ts';

const perform = 305;
let fleet: Fleet;
withFleet(async (made) => {
  fleet = made;
  await vmCreate(made.lab, { name: 'web', host: 'host1' });
});

/** The daemon of host2 allows as many clients as it has now. */
const fill = () =>
  fleet.sh(
    'host2',
    `n=$(virt-admin server-clients-info libvirtd | awk '$1 == "nclients" { print $3 }')
    virt-admin server-clients-set libvirtd --max-unauth-clients 1 --max-clients $n`,
  );

test(
  'a target that takes no more clients: refused at the check; later the wait is named with the command that ends it',
  { timeout: 180_000, skip: onlyFull('Ferry names the wait only after a quarter of a minute') },
  async () => {
    const { lab, plane, temporary } = fleet;
    await fleet.seen('web', 'running');
    fleet.accept(/host2 does not answer/, 'its daemon takes nobody else, the test included');
    await fill();
    const refused = await plane.ferry('vm', 'migrate', 'web', '--to', 'host2');
    assert.equal(refused.code, 4);
    assert.match(refused.stderr + refused.stdout, /host2 accepts no further .*max_clients/s);
    await fleet.sh('host2', 'virt-admin server-clients-set libvirtd --max-clients 50');

    // the last place goes between the check and libvirt's own connection
    const { address } = temporary.status.hosts[0] ?? assert.fail();
    await using way = await proxyTo(address);
    await plane.json('host', 'remove', 'host1');
    await plane.json('host', 'add', way.uri, '--name', 'host1');
    await fleet.seen('web', 'running');
    const held = way.hold('call', perform);
    const { id } = await plane.json<MigrationJson>('vm', 'migrate', 'web', '--to', 'host2', '--detach');
    const { release } = await held;
    await fill();
    release();

    const saying = (what: RegExp): Promise<string> =>
      waitFor(
        `the migration to say ${what.source}`,
        async () => {
          const { outcome, attention = '' } = await fleet.migration(id);
          assert.equal(outcome, undefined);
          return what.test(attention) ? attention : undefined;
        },
        { timeoutMs: 60_000 },
      );
    await saying(
      /libvirt has not begun to send: .* host2.*max_clients.*web stays running on host1\. An abort does not end/,
    );
    const aborted = await plane.json<MigrationJson>('migration', 'abort', id);
    assert.equal(aborted.outcome, undefined, 'it is not said to have ended before it has');
    const told = await saying(/libvirt keeps the abort until that connection is made/);
    assert.deepEqual([await fleet.state('host1', 'web'), await fleet.state('host2', 'web')], ['running', 'absent']);
    const before = readTicks(vmLog(lab, 'web')).last;
    await waitFor('the guest to count on', () => readTicks(vmLog(lab, 'web')).last > before || undefined, {
      timeoutMs: 20_000,
    });

    const [command] = /virt-admin server-clients-set [^"]*/.exec(told) ?? assert.fail(told);
    await fleet.sh('host2', command);
    const ended = await fleet.ended(id);
    assert.deepEqual(
      [ended.outcome, ended.vmIsNow, ended.attention],
      ['cancelled', { host: 'host1', state: 'running' }, undefined],
      JSON.stringify(ended),
    );
    assert.deepEqual([await fleet.state('host1', 'web'), await fleet.state('host2', 'web')], ['running', 'absent']);
    const again = await fleet.move('web', '--to', 'host2');
    assert.deepEqual(
      [again.outcome, again.transfer?.mode, again.vmIsNow],
      ['succeeded', 'peer-to-peer', { host: 'host2', state: 'running' }],
    );
    assert.equal(readTicks(vmLog(lab, 'web')).boots.length, 1);
  },
);
