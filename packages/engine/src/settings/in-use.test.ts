/** Policies and clusters that something begins to use while somebody removes them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FerryError, hostId, presets, type Cluster, type Host } from '@ferry/core';
import { silentLog } from '../fake/fleet.ts';
import { memoryStores } from '../fake/stores.ts';
import { collection, document } from '../state/collection.ts';
import { openClusters } from './clusters.ts';
import { openPolicies } from './policies.ts';

const refusedAs = (code: string) => (error: unknown) => error instanceof FerryError && error.code === code;
const content = () => {
  const { name: _name, version: _version, changedAt: _at, ...rest } = presets.get('default') ?? assert.fail('none');
  return rest;
};
const ofHosts = document<Host>({ id: 'string' });

/** `overtake` runs once, just before the next commit. */
async function settings() {
  let overtake: (() => Promise<unknown>) | undefined;
  const { intents } = memoryStores({
    beforeCommit: async () => {
      const go = overtake;
      overtake = undefined;
      await go?.();
    },
  });
  const following = {
    clock: { sleep: async () => {}, now: () => 7 } as never,
    log: silentLog,
    signal: new AbortController().signal,
  };
  const policies = await openPolicies(intents, following, { policy() {}, binding() {}, labels() {} });
  const clusters = await openClusters(intents, policies, following);
  const hosts = collection(intents, 'hosts/', ofHosts);
  await policies.put('night', content());
  await clusters.change('racks', () => ({ name: 'racks', tls: true }));
  return {
    policies,
    clusters,
    removePolicy: () => policies.remove('night', async () => clusters.stored()),
    removeCluster: () => clusters.remove('racks', async () => (await hosts.list()).items.map(({ value }) => value)),
    addHost: async () => {
      const host: Host = {
        id: hostId('h1'),
        name: 'h1',
        uri: 'qemu+tcp://h1/system',
        cluster: 'racks',
        machineUuid: 'm',
        addedAt: 0,
      };
      return hosts.commit([hosts.put('h1', host, 0), ...(await clusters.use('racks'))]);
    },
    beforeNextCommit: (what: () => Promise<unknown>) => {
      overtake = what;
    },
  };
}

test('whoever begins to use a policy or a cluster leaves its revision as it is', async () => {
  const { policies, clusters, addHost } = await settings();
  const before = [policies.revisionOf('night'), clusters.revisionOf('racks')];
  await policies.bind('tier=db', 'night');
  await policies.bind('tier=web', 'night');
  await clusters.change('other', (): Cluster => ({ name: 'other', policy: 'night' }));
  assert.ok('revision' in (await addHost()));
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([policies.revisionOf('night'), clusters.revisionOf('racks')], before);
});

test('a policy that a label or a cluster begins to use just before its removal stays', async () => {
  for (const use of ['label', 'cluster'] as const) {
    const { policies, clusters, removePolicy, beforeNextCommit } = await settings();
    beforeNextCommit(() =>
      use === 'label'
        ? policies.bind('tier=db', 'night')
        : clusters.change('racks', (now) => ({ ...now, policy: 'night' })),
    );
    await assert.rejects(removePolicy(), refusedAs('policy-in-use'));
    assert.equal(policies.find('night').version, 1);
    if (use === 'cluster') continue;
    await policies.bind('tier=db', undefined);
    await removePolicy();
  }
});

test('a policy that is removed just before a label begins to use it is not used, also if it is made again', async () => {
  const { policies, removePolicy, beforeNextCommit } = await settings();
  beforeNextCommit(removePolicy);
  await assert.rejects(policies.bind('tier=db', 'night'), refusedAs('policy-unknown'));
  assert.deepEqual(policies.bindings(), []);
  await policies.put('night', content());
  await policies.bind('tier=db', 'night');
  assert.deepEqual(policies.bindings(), [{ label: 'tier=db', policy: 'night' }]);
});

test('a cluster that a host joins just before its removal keeps its settings', async () => {
  const { clusters, removeCluster, addHost, beforeNextCommit } = await settings();
  beforeNextCommit(addHost);
  await assert.rejects(removeCluster(), refusedAs('cluster-in-use'));
  assert.deepEqual(clusters.all([]).get('racks'), { name: 'racks', tls: true });
});
