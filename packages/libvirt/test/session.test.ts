// The whole client against a libvirtd of its own that serves test:///default.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, test } from 'node:test';
import {
  ConnectError,
  ConnectionLostError,
  LibvirtError,
  openHostSession,
  VIR_DOMAIN_AFFECT,
  VIR_DOMAIN_EVENT,
  VIR_DOMAIN_METADATA,
  VIR_DOMAIN_STATE,
  VIR_DOMAIN_UNDEFINE,
  VIR_ERR,
  VIR_MIGRATE,
} from '../src/index.ts';
import type { DomainEvent, EventGap, HostSession } from '../src/index.ts';
import { startPrivateLibvirtd } from './private-libvirtd.ts';
import type { PrivateLibvirtd } from './private-libvirtd.ts';
import { until } from './scripted-peer.ts';

let daemon: PrivateLibvirtd;
let session: HostSession;
let uri: string;

before(async () => {
  daemon = await startPrivateLibvirtd();
  uri = `test+unix:///default?socket=${daemon.socket}`;
  session = await openHostSession(uri);
});
after(async () => {
  await session?.close();
  await daemon?.stop();
});

let names = 0;
const xmlOf = (name: string): string =>
  `<domain type='test'><name>${name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>`;
const freshName = (): string => `guest-${++names}`;

test('facts about the host', async () => {
  assert.match(await session.hostname(), /^[\w.-]+$/);
  assert.match(await session.libvirtVersion(), /^\d+\.\d+\.\d+$/);
  assert.match(await session.hypervisorVersion(), /^\d+\.\d+\.\d+$/);
  assert.match(await session.capabilities(), /^<capabilities>/);
  const node = await session.nodeInfo();
  assert.deepEqual(node, {
    model: 'i686',
    memoryBytes: 3072 * 1024 ** 2,
    cpus: 16,
    mhz: 1400,
    nodes: 2,
    sockets: 2,
    cores: 2,
    threads: 2,
  });
  assert.ok((await session.freeMemoryBytes()) > 0);
});

test('a domain from its definition to its end', async () => {
  const name = freshName();
  const defined = await session.domainDefine(xmlOf(name));
  assert.match(defined.uuid, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.deepEqual({ name: defined.name, id: defined.id }, { name, id: -1 });
  assert.deepEqual(await session.domainByName(name), defined);
  assert.deepEqual(await session.domainByUuid(defined.uuid), defined);
  assert.deepEqual(await session.domainByUuid(defined.uuid.toUpperCase()), defined);
  assert.ok((await session.domains()).some(({ uuid }) => uuid === defined.uuid));
  assert.equal((await session.domainState(defined)).state, VIR_DOMAIN_STATE.SHUTOFF);
  assert.deepEqual([await session.domainIsActive(defined), await session.domainIsPersistent(defined)], [false, true]);

  const started = await session.domainCreate(defined);
  assert.ok(started.id > 0);
  const state = async (): Promise<number> => (await session.domainState(started)).state;
  assert.equal(await state(), VIR_DOMAIN_STATE.RUNNING);
  await session.domainSuspend(started);
  assert.equal(await state(), VIR_DOMAIN_STATE.PAUSED);
  await session.domainResume(started);
  const info = await session.domainInfo(started);
  assert.deepEqual(
    { ...info, cpuTimeNs: typeof info.cpuTimeNs },
    {
      state: VIR_DOMAIN_STATE.RUNNING,
      maxMemoryBytes: 64 * 1024 ** 2,
      memoryBytes: 64 * 1024 ** 2,
      vcpus: 1,
      cpuTimeNs: 'bigint',
    },
  );
  assert.match(await session.domainXml(started), new RegExp(`<name>${name}</name>`));
  await session.domainShutdown(started);
  assert.equal(await state(), VIR_DOMAIN_STATE.SHUTOFF);
  await session.domainUndefine(defined, VIR_DOMAIN_UNDEFINE.MANAGED_SAVE);
  await assert.rejects(
    session.domainByUuid(defined.uuid),
    (error) => error instanceof LibvirtError && error.code === VIR_ERR.NO_DOMAIN,
  );
});

test('a transient domain vanishes when it is destroyed', async () => {
  const created = await session.domainCreateXml(xmlOf(freshName()));
  assert.equal(await session.domainIsPersistent(created), false);
  await session.domainDestroy(created);
  await assert.rejects(session.domainState(created), LibvirtError);
});

test('metadata is kept, read back and removed', async () => {
  const dom = await session.domainDefine(xmlOf(freshName()));
  const place = { type: VIR_DOMAIN_METADATA.ELEMENT, uri: 'urn:example:marker', flags: VIR_DOMAIN_AFFECT.CONFIG };
  await session.domainSetMetadata(dom, { ...place, metadata: "<marker id='1'/>", key: 'm' });
  assert.match(await session.domainGetMetadata(dom, place), /^<marker id=['"]1['"]\/>$/);
  await session.domainSetMetadata(dom, { ...place, key: 'm' });
  await assert.rejects(
    session.domainGetMetadata(dom, place),
    (error) => error instanceof LibvirtError && error.code === VIR_ERR.NO_DOMAIN_METADATA,
  );
  await session.domainUndefine(dom);
});

test('bulk statistics, of all and of some', async () => {
  const dom = await session.domainCreateXml(xmlOf(freshName()));
  const all = await session.domainStats();
  assert.equal(all.length, (await session.domains()).length);
  const [one, ...others] = await session.domainStats({ doms: [dom] });
  assert.equal(others.length, 0);
  assert.equal(one?.domain.uuid, dom.uuid);
  assert.equal(one?.params.get('state.state'), VIR_DOMAIN_STATE.RUNNING);
  assert.deepEqual(await session.domainStats({ doms: [] }), []);
  await session.domainDestroy(dom);
});

test('what the test driver cannot do is said so by the server', async () => {
  const dom = await session.domainCreateXml(xmlOf(freshName()));
  const migration = {
    destinationUri: 'qemu+tcp://192.0.2.1/system',
    flags: VIR_MIGRATE.LIVE,
    params: { bandwidthMiBPerSecond: 5 },
  };
  const attempts = [
    session.domainJobStats(dom),
    session.domainAbortJob(dom, 1),
    session.domainSetMaxDowntime(dom, 300),
    session.domainMaxDowntimeMs(dom),
    session.domainSetMaxSpeed(dom, 10),
    session.domainMaxSpeedMiBPerSecond(dom),
    session.domainStartDirtyRate(dom, 1),
    session.domainMigratePeerToPeer(dom, migration),
  ];
  for (const attempt of await Promise.allSettled(attempts)) {
    assert.ok(attempt.status === 'rejected' && attempt.reason instanceof LibvirtError, attempt.status);
    assert.equal(attempt.reason.code, VIR_ERR.NO_SUPPORT, attempt.reason.procedure);
  }
  await session.domainDestroy(dom);
});

test('events are seen from the moment subscribe returns', async () => {
  const { events } = await session.subscribe();
  const name = freshName();
  const dom = await session.domainDefine(xmlOf(name));
  await session.domainCreate(dom);
  await session.domainSetMetadata(dom, {
    type: VIR_DOMAIN_METADATA.TITLE,
    metadata: 'a title',
    flags: VIR_DOMAIN_AFFECT.CURRENT,
  });
  await session.domainDestroy(dom);
  await session.domainUndefine(dom);
  const seen: string[] = [];
  for await (const event of events) {
    if (event.type === 'gap' || event.domain.name !== name) continue;
    seen.push(event.type === 'lifecycle' ? `lifecycle ${event.event}` : event.type);
    if (event.type === 'lifecycle' && event.event === VIR_DOMAIN_EVENT.UNDEFINED) break;
  }
  const { DEFINED, STARTED, STOPPED, UNDEFINED } = VIR_DOMAIN_EVENT;
  assert.deepEqual(
    seen.filter((event) => event.startsWith('lifecycle')),
    [DEFINED, STARTED, STOPPED, UNDEFINED].map((event) => `lifecycle ${event}`),
  );
  assert.ok(seen.includes('metadata-change'));
});

test('a consumer that is behind gets a gap with the number of what it missed', async () => {
  const { events } = await session.subscribe({ queueLimit: 3 });
  const other = await session.subscribe();
  const dom = await session.domainCreateXml(xmlOf(freshName()));
  for (let round = 0; round < 5; round++) {
    await session.domainSuspend(dom);
    await session.domainResume(dom);
  }
  await session.domainDestroy(dom);
  let total = 0;
  for await (const event of other.events) {
    if (event.type !== 'lifecycle') continue;
    total += 1;
    if (event.event === VIR_DOMAIN_EVENT.STOPPED) break;
  }
  const seen: (DomainEvent | EventGap)[] = [];
  for await (const event of events) {
    seen.push(event);
    if (event.type === 'gap') break;
  }
  assert.deepEqual(
    seen.map(({ type }) => type),
    ['lifecycle', 'lifecycle', 'lifecycle', 'gap'],
  );
  assert.deepEqual(seen.at(-1), { type: 'gap', dropped: total - 3 });
});

test('hundreds of calls at once all come back to their callers', async () => {
  const doms = await Promise.all(Array.from({ length: 200 }, () => session.domainDefine(xmlOf(freshName()))));
  const xmls = await Promise.all(doms.map((dom) => session.domainXml(dom, 0)));
  doms.forEach(({ name, uuid }, index) => {
    assert.match(xmls[index] ?? '', new RegExp(`<name>${name}</name>\\s*<uuid>${uuid}</uuid>`));
  });
  await Promise.all(doms.map((dom) => session.domainUndefine(dom)));
});

test('TCP works like the socket', async () => {
  await using other = await openHostSession(`test+tcp://127.0.0.1:${daemon.tcpPort}/default`);
  assert.equal(await other.hostname(), await session.hostname());
  assert.equal(other.uri, `test+tcp://127.0.0.1:${daemon.tcpPort}/default`);
});

test('a read-only session may look but not touch', async () => {
  await using other = await openHostSession(uri, { readOnly: true });
  const [dom] = await other.domains();
  assert.ok(dom !== undefined);
  await assert.rejects(
    other.domainDestroy(dom),
    (error) => error instanceof LibvirtError && error.code === VIR_ERR.OPERATION_DENIED,
  );
});

test('a driver that the daemon does not have', async () => {
  const wrong = `qemu+unix:///system?socket=${daemon.socket}`;
  await assert.rejects(
    openHostSession(wrong),
    (error) => error instanceof ConnectError && error.kind === 'open-refused',
  );
});

test('a session that was closed is over for its events and calls', async () => {
  const other = await openHostSession(uri);
  const { events } = await other.subscribe();
  await other.close();
  await other.close();
  assert.equal(await other.closed, undefined);
  assert.deepEqual(await Array.fromAsync(events), []);
  await assert.rejects(
    other.hostname(),
    (error) => error instanceof ConnectionLostError && error.outcome === 'not-started',
  );
  await assert.rejects(other.subscribe(), ConnectionLostError);
});

test('a daemon that hangs is noticed by keepalive, and pauses shorter than that are not', async () => {
  const other = await openHostSession(uri, { keepalive: { intervalMs: 50, count: 2 } });
  try {
    daemon.signal('SIGSTOP');
    await assert.rejects(
      other.hostname(),
      (error) =>
        error instanceof ConnectionLostError && error.outcome === 'unknown' && error.reason === 'keepalive-timeout',
    );
    const reason = await other.closed;
    assert.ok(reason instanceof ConnectionLostError && reason.reason === 'keepalive-timeout');
  } finally {
    daemon.signal('SIGCONT');
  }
  assert.match(await session.hostname(), /./, 'the session with the usual 30 s lives on');
});

test('a connection cut in the middle of calls: the session is over, and says so', async () => {
  const links: Socket[] = [];
  const proxy = createServer((near) => {
    const far = connect(daemon.socket);
    links.push(near, far);
    near.on('error', () => {});
    far.on('error', () => {});
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => {
    proxy.listen(0, '127.0.0.1', resolve);
  });
  try {
    const other = await openHostSession(`test+tcp://127.0.0.1:${(proxy.address() as AddressInfo).port}/default`);
    const { events } = await other.subscribe();
    assert.equal(links.length, 4, 'one connection for commands, one for events');
    // cutting the event connection alone ends the session, commands included
    for (const link of links.slice(2)) link.destroy();
    const items = events[Symbol.asyncIterator]();
    await assert.rejects(items.next(), ConnectionLostError);
    const reason = await other.closed;
    assert.ok(reason instanceof ConnectionLostError && reason.reason !== 'closed');
    await assert.rejects(
      other.hostname(),
      (error) => error instanceof ConnectionLostError && error.outcome === 'not-started',
    );
    await until('the command connection is closed too', () => links.every((link) => link.destroyed));
  } finally {
    for (const link of links) link.destroy();
    proxy.close();
  }
});
