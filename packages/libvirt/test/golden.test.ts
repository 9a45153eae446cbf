// Our bytes against libvirt's: frames recorded between its own client library and daemon (see golden/capture.ts).
// What the C client sent is decoded and encoded again, what the daemon sent likewise, and must be the same to the
// last byte.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  LibvirtError,
  VIR_DOMAIN_DIRTYRATE_MODE,
  VIR_DOMAIN_DIRTYRATE_STATUS,
  VIR_DOMAIN_EVENT,
  VIR_MIGRATE,
} from '../src/index.ts';
import { eventKinds } from '../src/events.ts';
import type { DomainEvent } from '../src/events.ts';
import { createFrameParser, FrameStatus, FrameType, Program } from '../src/frame.ts';
import type { Frame } from '../src/frame.ts';
import { checkMigratePeerToPeer, toMigrateWireParams } from '../src/migrate.ts';
import { procedures } from '../src/procedures.ts';
import { errorPayload, toTypedParams } from '../src/wire-types.ts';
import type { Codec } from '../src/xdr.ts';
import { decode, encode } from '../src/xdr.ts';
import { XdrReader } from '../src/xdr-bytes.ts';

interface Golden {
  readonly libvirt: string;
  readonly frames: readonly { readonly from: 'client' | 'server'; readonly what: string; readonly hex: string }[];
}
const golden = JSON.parse(readFileSync(join(import.meta.dirname, 'golden', 'frames.json'), 'utf8')) as Golden;
const frames = golden.frames.map(({ from, what, hex }) => ({ from, what, frame: parse(Buffer.from(hex, 'hex')) }));
const keyOf = (program: number, procedure: number): string => `${program}/${procedure}`;
const byNumber = new Map(
  Object.values(procedures).map((procedure) => [keyOf(procedure.program, procedure.number), procedure]),
);

/** One byte at a time. */
function parse(bytes: Buffer): Frame {
  const parser = createFrameParser();
  const parsed: Frame[] = [];
  for (let offset = 0; offset < bytes.length; offset++)
    parser.push(bytes.subarray(offset, offset + 1), (frame) => parsed.push(frame));
  const [frame, ...others] = parsed;
  assert.ok(frame !== undefined && others.length === 0 && parser.pendingBytes === 0);
  return frame;
}

function again<T>(codec: Codec<T>, { payload }: Frame): T {
  const value = decode(codec, payload);
  assert.equal(encode(codec, value).toString('hex'), payload.toString('hex'));
  return value;
}

function events(): readonly DomainEvent[] {
  return frames
    .filter(({ frame }) => frame.type === FrameType.MESSAGE)
    .map(({ frame }) => {
      const reader = new XdrReader(frame.payload);
      const event = eventKinds.find(({ procedure }) => procedure === frame.procedure)?.read(reader) ?? assert.fail();
      reader.end();
      assert.equal(frame.serial, 1, 'events bear the serial 1');
      return event;
    });
}

/** The first frame of this kind, read. */
function first<T>(from: 'client' | 'server', what: string, codec: Codec<T>): T {
  const found =
    frames.find((entry) => entry.from === from && entry.what === what) ??
    assert.fail(`no ${what} among the golden frames`);
  return again(codec, found.frame);
}

test('every call and reply is written byte for byte as libvirt does', () => {
  let checked = 0;
  for (const { from, what, frame } of frames) {
    assert.ok(frame.program === Program.REMOTE || frame.program === Program.QEMU);
    if (frame.type === FrameType.MESSAGE) continue;
    const procedure = byNumber.get(keyOf(frame.program, frame.procedure)) ?? assert.fail(what);
    assert.equal(what.split(' ')[0], procedure.name);
    // the calls of the table differ in their types; here only bytes matter
    const codec = (frame.type === FrameType.CALL ? procedure.args : procedure.ret) as Codec<unknown>;
    if (frame.status !== FrameStatus.ERROR) again(codec, frame);
    assert.equal(from, frame.type === FrameType.CALL ? 'client' : 'server');
    checked += 1;
  }
  assert.ok(checked > 100);
});

test(
  'every procedure of the table is among them, but for passwords and polkit, which its daemon does not ask ' +
    'for, and what only root may do with filters',
  () => {
    const called = new Set(
      frames.filter(({ from }) => from === 'client').map(({ frame }) => keyOf(frame.program, frame.procedure)),
    );
    const missing = Object.values(procedures).filter(({ program, number }) => !called.has(keyOf(program, number)));
    assert.deepEqual(
      missing.map(({ name }) => name),
      [
        'NWFILTER_GET_XML_DESC',
        'NWFILTER_UNDEFINE',
        'AUTH_SASL_INIT',
        'AUTH_SASL_START',
        'AUTH_SASL_STEP',
        'AUTH_POLKIT',
      ],
    );
  },
);

test('errors are read whole', () => {
  const errors = frames.filter(({ frame }) => frame.status === FrameStatus.ERROR);
  for (const { what, frame } of errors) {
    const error = new LibvirtError(what, decode(errorPayload, frame.payload));
    assert.ok(error.code > 0 && error.domain > 0 && error.level === 2 && error.message.length > 0, what);
  }
  const refused = first('server', 'DOMAIN_MIGRATE_PERFORM3_PARAMS error', errorPayload);
  assert.equal(refused.code, 38);
  assert.equal(refused.int1, 111, 'the errno: connection refused');
  assert.match(refused.message, /unable to connect to server at '127\.0\.0\.2:1'/);
});

test('a migration asked of virsh and one asked of this package are the same bytes', () => {
  const { dom, destinationUri, params, cookieIn, flags } = first(
    'client',
    'DOMAIN_MIGRATE_PERFORM3_PARAMS call',
    procedures.domainMigratePerform3Params.args,
  );
  assert.equal(dom.name, 'golden');
  assert.equal(cookieIn.length, 0);
  const ours = {
    migrateUri: 'tcp://127.0.0.2',
    bandwidthMiBPerSecond: 64,
    migrateDisks: ['vda', 'vdb'],
    parallelConnections: 2,
  };
  const byName = (list: readonly { readonly field: string }[]): unknown[] =>
    list.toSorted((a, b) => (a.field < b.field ? -1 : 1));
  assert.deepEqual(byName(toMigrateWireParams(ours)), byName(params));
  const { LIVE, PEER2PEER, PERSIST_DEST, PARALLEL, NON_SHARED_DISK } = VIR_MIGRATE;
  assert.equal(flags, LIVE | PEER2PEER | PERSIST_DEST | PARALLEL | NON_SHARED_DISK);
  assert.equal(checkMigratePeerToPeer(destinationUri ?? '', flags & ~PEER2PEER, ours), flags);
});

test('values with a meaning of their own', () => {
  assert.deepEqual(first('server', 'NODE_GET_INFO reply', procedures.nodeGetInfo.ret), {
    model: 'i686',
    memoryKiB: 3_145_728n,
    cpus: 16,
    mhz: 1400,
    nodes: 2,
    sockets: 2,
    cores: 2,
    threads: 2,
  });
  assert.equal(
    first('client', 'DOMAIN_LOOKUP_BY_UUID call', procedures.domainLookupByUuid.args).uuid,
    '01234567-89ab-4cde-8f01-23456789abcd',
  );
  assert.deepEqual(
    { ...first('client', 'DOMAIN_SET_TIME call', procedures.domainSetTime.args), dom: undefined },
    { dom: undefined, seconds: 1_700_000_000n, nanoseconds: 0, flags: 0 },
  );
  const asked = first('client', 'QEMU_DOMAIN_MONITOR_COMMAND call', procedures.qemuDomainMonitorCommand.args);
  assert.deepEqual([asked.dom.name, asked.command, asked.flags], ['golden', '{"execute":"query-name"}', 0]);
  const answers = frames
    .filter(({ what }) => what === 'QEMU_DOMAIN_MONITOR_COMMAND reply')
    .map(({ frame }) => JSON.parse(decode(procedures.qemuDomainMonitorCommand.ret, frame.payload).result) as object);
  assert.deepEqual(
    answers.map((answer) => ('return' in answer ? answer.return : 'error' in answer)),
    [{ name: 'golden' }, true],
    "QEMU's own no is an answer, too",
  );
  const stats = frames
    .filter(({ what }) => what === 'CONNECT_GET_ALL_DOMAIN_STATS reply')
    .flatMap(({ frame }) => decode(procedures.connectGetAllDomainStats.ret, frame.payload).records)
    .map(({ params }) => toTypedParams(params));
  assert.ok(stats.some((params) => params.get('balloon.maximum') === 65_536));
  const measuring = stats.find((params) => params.has('dirtyrate.calc_status'));
  assert.deepEqual(
    ['calc_status', 'calc_period', 'calc_mode'].map((name) => measuring?.get(`dirtyrate.${name}`)),
    [VIR_DOMAIN_DIRTYRATE_STATUS.MEASURING, 1, 'page-sampling'],
  );
  const { seconds, flags } = first(
    'client',
    'DOMAIN_START_DIRTY_RATE_CALC call',
    procedures.domainStartDirtyRateCalc.args,
  );
  assert.deepEqual([seconds, flags], [1, VIR_DOMAIN_DIRTYRATE_MODE.PAGE_SAMPLING]);
});

test('events: life cycle, iterations, metadata, device, and the statistics of a finished job', () => {
  const all = events();
  const of = <T extends DomainEvent['type']>(type: T): readonly Extract<DomainEvent, { readonly type: T }>[] =>
    all.filter((event): event is Extract<DomainEvent, { readonly type: T }> => event.type === type);
  const { DEFINED, STARTED, SUSPENDED, STOPPED } = VIR_DOMAIN_EVENT;
  for (const wanted of [DEFINED, STARTED, SUSPENDED, STOPPED])
    assert.ok(of('lifecycle').some(({ event }) => event === wanted));
  assert.deepEqual(
    of('migration-iteration').map(({ iteration }) => iteration),
    [1, 2],
  );
  assert.deepEqual(
    of('device-added').map(({ device }) => device),
    ['ua-rng'],
  );
  assert.ok(of('metadata-change').some(({ namespaceUri }) => namespaceUri === 'urn:example:marker'));
  assert.ok(all.every(({ domain }) => domain.name === 'golden'));
  const [job] = of('job-completed');
  assert.equal(job?.params.get('operation'), 2, 'a save');
  assert.equal(typeof job?.params.get('memory_total'), 'number');
});
