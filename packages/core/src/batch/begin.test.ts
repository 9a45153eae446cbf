import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostView } from '../model/host.ts';
import { hostId } from '../model/ids.ts';
import { refuseDrain, refuseTooMany, remaining } from './begin.ts';
import { mostMembers } from './step.ts';

const view = (name: string, more: Partial<HostView> = {}, cluster = 'default'): HostView => ({
  host: { id: hostId(name), name, uri: name, cluster, machineUuid: name, addedAt: 0 },
  state: 'connected',
  ...more,
});

test('a drain that one transaction cannot begin, or one document cannot hold, is refused before it begins', () => {
  const many = Array.from({ length: 60 }, (_, index) => view(`h${index}`));
  const wish = { hosts: many, force: true };
  assert.throws(() => refuseDrain(wish, many, 1), /60 hosts are named, and one drain takes 59 of them at most/);
  assert.doesNotThrow(() => refuseDrain({ ...wish, hosts: many.slice(1) }, many, 1));
  assert.throws(() => refuseTooMany(mostMembers + 1), /2001 VMs would leave, and one drain takes 2000 at most/);
  assert.doesNotThrow(() => refuseTooMany(mostMembers));
});

test('of a drain that begins later, the hosts are looked at then', () => {
  const gone = view('h1', { state: 'unreachable', stateDetail: 'h1 does not answer.' });
  const wish = { hosts: [gone], force: false };
  const fleet = [gone, view('h2')];
  assert.throws(() => refuseDrain(wish, fleet, 1), /h1 does not answer/);
  assert.doesNotThrow(() => refuseDrain({ ...wish, beginsAt: 9 }, fleet, 1));
  assert.throws(() => refuseDrain({ ...wish, beginsAt: 9 }, [gone], 1), /no host for the VMs of h1/);
});

test('what remains of a cluster are the hosts that answer and take VMs', () => {
  const cordoned = view('h3');
  const held = { ...cordoned, host: { ...cordoned.host, service: { state: 'cordoned' as const, since: 0 } } };
  const fleet = [view('h1'), view('h2', { state: 'unreachable' }), held, view('h4'), view('x1', {}, 'racks')];
  const drained = [view('h1').host, view('x1', {}, 'racks').host];
  assert.deepEqual(
    remaining(drained, fleet).map(({ cluster, hosts }) => [cluster, hosts.map(({ name }) => name)]),
    [
      ['default', ['h4']],
      ['racks', []],
    ],
  );
});
