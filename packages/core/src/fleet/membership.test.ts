/** Who may be a host of the fleet, and when it may leave. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fresh } from '../migration/step-fixture.ts';
import { FerryError } from '../model/errors.ts';
import type { Host } from '../model/host.ts';
import { hostId } from '../model/ids.ts';
import { refuseAddress, refuseClusterInUse, refuseName, refuseRemoval } from './membership.ts';

const host: Host = {
  id: hostId('h1'),
  name: 'alpha',
  uri: 'qemu+tcp://alpha/system',
  cluster: 'racks',
  machineUuid: 'm1',
  addedAt: 0,
};
const refused = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof FerryError && error.code === code && message.test(error.message);

test('a name that is taken, or is none; only the beginning of a long one is repeated', () => {
  refuseName(host, false);
  assert.throws(() => refuseName(host, true), refused('host-name-taken', /already a host named alpha\.$/));
  const long = { ...host, name: `../${'x'.repeat(10_000)}` };
  assert.throws(() => refuseName(long, false), refused('host-name-invalid', /^.{1,160}$/));
});

test('an address outside the migration network of the cluster; none, and none to be in, is fine', () => {
  const racks = { name: 'racks', migrationNetwork: '10.1.0.0/16' };
  for (const [address, cluster] of [
    ['10.1.2.3', racks],
    ['', racks],
    [undefined, racks],
    ['192.0.2.1', { name: 'racks' }],
  ] as const)
    refuseAddress(address, cluster);
  assert.throws(
    () => refuseAddress('192.0.2.1', racks),
    refused(
      'request-invalid',
      /^192\.0\.2\.1 is not in 10\.1\.0\.0\/16, the migration network of the cluster racks\.$/,
    ),
  );
});

test('a host leaves when no migration needs it and it is not being drained', () => {
  refuseRemoval(host, [{ ...fresh, from: { id: hostId('h9'), name: 'h9' } }]);
  const busy = { ...fresh, from: { id: host.id, name: host.name } };
  assert.throws(() => refuseRemoval(host, [busy]), refused('host-in-use', new RegExp(`: ${busy.id}\\.$`)));
  const draining: Host = { ...host, service: { state: 'draining', since: 1 } };
  assert.throws(() => refuseRemoval(draining, []), refused('host-draining', /^alpha is being drained\.$/));
  refuseClusterInUse('racks', []);
  assert.throws(() => refuseClusterInUse('racks', [host]), refused('cluster-in-use', /^1 host\(s\) .*: alpha\.$/));
});
