// Volumes streamed from and to a libvirtd of its own (qemu:///session, a directory pool): what is sparse stays so,
// memory stays bounded, a slow consumer does not cost the connection, and what fails says so.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { LibvirtError, openHostSession, VIR_ERR } from '../src/index.ts';
import type { HostSession, StreamPiece } from '../src/index.ts';
import { startPrivateLibvirtd } from './private-libvirtd.ts';
import type { PrivateLibvirtd } from './private-libvirtd.ts';

const MIB = 1024 * 1024;
const SIZE = 256 * MIB;
let daemon: PrivateLibvirtd;
let session: HostSession;
let folder: string;
before(async () => {
  daemon = await startPrivateLibvirtd();
  session = await openHostSession(`qemu+unix:///session?socket=${daemon.socket}`);
  folder = join(daemon.directory, 'pool');
  mkdirSync(folder);
  chmodSync(folder, 0o777);
});
after(async () => {
  await session?.close();
  await daemon?.stop();
});

async function poolOf(): Promise<Awaited<ReturnType<HostSession['poolCreateXml']>>> {
  const known = (await session.pools()).find(({ name }) => name === 'streams');
  return (
    known ??
    (await session.poolCreateXml(`<pool type='dir'><name>streams</name><target><path>${folder}</path></target></pool>`))
  );
}
const pathOf = (name: string): string => join(folder, name);
async function makeVolume(name: string, sizeBytes: number): Promise<Awaited<ReturnType<HostSession['volumeByName']>>> {
  return await session.volumeCreateXml(
    await poolOf(),
    `<volume><name>${name}</name><capacity>${sizeBytes}</capacity><allocation>0</allocation><target><format type='raw'/></target></volume>`,
  );
}
const hashOf = (name: string): string =>
  createHash('sha256')
    .update(readFileSync(pathOf(name)))
    .digest('hex');
/** A file with data here and there; beginning and end are holes. */
function fillSparsely(name: string): void {
  const file = openSync(pathOf(name), 'r+');
  for (let at = 1; at < 250; at += 12) {
    const bytes = Buffer.alloc(3 * 4096 + (at % 5) * 65_536, `data at ${at} `);
    writeSync(file, bytes, 0, bytes.length, at * MIB);
  }
  closeSync(file);
  truncateSync(pathOf(name), SIZE);
}

test('a sparse volume of 256 MiB goes out and in again: identical, still sparse, in bounded memory', async () => {
  const from = await makeVolume('from', SIZE);
  const to = await makeVolume('to', SIZE);
  fillSparsely('from');
  let data = 0;
  let holes = 0;
  let mostBytes = 0;
  const before = process.memoryUsage().arrayBuffers;
  async function* watched(): AsyncGenerator<StreamPiece> {
    for await (const piece of session.volumeDownload(from)) {
      if (piece.kind === 'data') data += piece.bytes.length;
      else holes += piece.lengthBytes;
      mostBytes = Math.max(mostBytes, process.memoryUsage().arrayBuffers - before);
      yield piece;
    }
  }
  await session.volumeUpload(to, watched());
  assert.equal(data + holes, SIZE);
  assert.ok(holes > 200 * MIB, `only ${holes} bytes came as holes`);
  assert.equal(hashOf('to'), hashOf('from'));
  assert.equal(statSync(pathOf('to')).size, SIZE);
  const [fromBlocks, toBlocks] = [statSync(pathOf('from')).blocks, statSync(pathOf('to')).blocks];
  assert.ok(toBlocks <= fromBlocks * 1.2 + 64, `${toBlocks} blocks instead of ${fromBlocks}`);
  assert.ok(mostBytes < 64 * MIB, `${mostBytes} bytes were in use`);
});

test('a full volume larger than what is buffered, with a consumer that stops longer than keepalive allows', async () => {
  // both sides would drop a silent peer after two seconds
  await using impatient = await startPrivateLibvirtd(['keepalive_interval = 1', 'keepalive_count = 1']);
  const place = join(impatient.directory, 'pool');
  mkdirSync(place);
  chmodSync(place, 0o777);
  await using host = await openHostSession(`qemu+unix:///session?socket=${impatient.socket}`, {
    keepalive: { intervalMs: 500, count: 1 },
  });
  const pool = await host.poolCreateXml(`<pool type='dir'><name>p</name><target><path>${place}</path></target></pool>`);
  const volume = await host.volumeCreateXml(
    pool,
    `<volume><name>v</name><capacity>${64 * MIB}</capacity><allocation>0</allocation><target><format type='raw'/></target></volume>`,
  );
  const file = openSync(join(place, 'v'), 'r+');
  for (let at = 0; at < 64; at += 1) writeSync(file, Buffer.alloc(MIB, at + 1), 0, MIB, at * MIB);
  closeSync(file);
  const hash = createHash('sha256');
  let pieces = 0;
  for await (const piece of host.volumeDownload(volume)) {
    assert.equal(piece.kind, 'data');
    if (piece.kind === 'data') hash.update(piece.bytes);
    pieces += 1;
    if (pieces === 3) await delay(5000); // the pause itself is what is tested
  }
  assert.equal(
    hash.digest('hex'),
    createHash('sha256')
      .update(readFileSync(join(place, 'v')))
      .digest('hex'),
  );
});

test('a volume that is not there is refused in both directions, and the session goes on', async () => {
  const missing = { ...(await makeVolume('small', MIB)), name: 'nosuch' };
  async function* some(): AsyncGenerator<StreamPiece> {
    yield { kind: 'data', bytes: Buffer.alloc(MIB, 1) };
  }
  const noVolume = (error: unknown): boolean => error instanceof LibvirtError && error.code === VIR_ERR.NO_STORAGE_VOL;
  await assert.rejects(session.volumeUpload(missing, some()), noVolume);
  await assert.rejects(Array.fromAsync(session.volumeDownload(missing)), noVolume);
  assert.match(await session.hostname(), /./);
});

test('a source that fails ends the upload with its own error; an early leave and a signal end a download', async () => {
  const volume = await makeVolume('half', 8 * MIB);
  async function* failing(): AsyncGenerator<StreamPiece> {
    yield { kind: 'data', bytes: Buffer.alloc(MIB, 7) };
    throw new RangeError('the source broke');
  }
  await assert.rejects(session.volumeUpload(volume, failing()), RangeError);
  fillSparsely('half');
  for await (const _ of session.volumeDownload(volume)) break;
  const stop = new AbortController();
  await assert.rejects(
    async () => {
      for await (const _ of session.volumeDownload(volume, { signal: stop.signal })) stop.abort(new Error('enough'));
    },
    { name: 'ConnectionLostError' },
  );
  assert.equal((await session.volumeInfo(volume)).type, 0);
});
