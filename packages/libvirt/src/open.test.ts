import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { answering, ok, serve } from '../test/fake-daemon.ts';
import type { Server } from '../test/fake-daemon.ts';
import { frameBytes } from '../test/scripted-peer.ts';
import { ConnectError, LibvirtError } from './errors.ts';
import type { ConnectErrorKind } from './errors.ts';
import { FrameStatus } from './frame.ts';
import { procedures as p } from './procedures.ts';
import { openHostSession } from './session.ts';
import { errorPayload } from './wire-types.ts';
import { encode } from './xdr.ts';

async function kindOf(
  uri: string,
  options: Parameters<typeof openHostSession>[1],
  says: RegExp,
): Promise<ConnectErrorKind> {
  try {
    const session = await openHostSession(uri, options);
    await session.close();
  } catch (error) {
    assert.ok(error instanceof ConnectError, String(error));
    assert.match(error.message, says);
    assert.doesNotMatch(error.message, /\n/);
    return error.kind;
  }
  return assert.fail('it was opened');
}

const uriOf = ({ port }: Server): string => `qemu+tcp://127.0.0.1:${port}/system`;

test('nobody listens on the port', async () => {
  const server = await serve(() => {});
  await server[Symbol.asyncDispose]();
  assert.equal(
    await kindOf(uriOf(server), {}, /^127\.0\.0\.1:\d+ cannot be reached: nothing listens there/),
    'refused',
  );
});

test('the socket does not exist, is a file, or has no listener', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ferry-open-'));
  try {
    const path = join(directory, 'socket');
    const uri = `qemu+unix:///system?socket=${path}`;
    assert.equal(await kindOf(uri, {}, /no such socket/), 'not-found');
    writeFileSync(path, '');
    assert.ok(['not-found', 'refused'].includes(await kindOf(uri, {}, new RegExp(`^${path} cannot be reached`))));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a host name that does not exist', async () => {
  assert.equal(
    await kindOf('qemu+tcp://no-such-host.invalid/system', {}, /no-such-host\.invalid:16509 cannot be reached/),
    'not-found',
  );
});

for (const [name, greeting] of [
  ['ssh', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ['http', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
  ['a very short frame', '\0\0\0\u0004'],
] as const) {
  test(`something else answers: ${name}`, async () => {
    await using server = await serve((socket) => socket.write(greeting));
    assert.equal(await kindOf(uriOf(server), {}, /^127\.0\.0\.1:\d+ does not speak libvirt's protocol/), 'not-libvirt');
  });
}

test('something takes the connection and says nothing', async () => {
  await using server = await serve(() => {});
  assert.equal(await kindOf(uriOf(server), { handshakeTimeoutMs: 100 }, /said nothing within 100 ms/), 'not-libvirt');
});

test('something takes the connection and closes it', async () => {
  await using server = await serve((socket) => socket.end());
  assert.equal(await kindOf(uriOf(server), {}, /closed the connection without an answer/), 'not-libvirt');
});

test('a daemon that wants a password', async () => {
  await using server = await serve(answering((call) => ok(call, Buffer.from('0000000100000001', 'hex'))));
  assert.equal(await kindOf(uriOf(server), {}, /SASL/), 'auth');
});

test('a daemon that does not open the hypervisor', async () => {
  const refusal = {
    code: 38,
    domain: 0,
    level: 2,
    message: 'no driver',
    str1: undefined,
    str2: undefined,
    str3: undefined,
    int1: 0,
    int2: 0,
  };
  await using server = await serve(
    answering((call) => {
      if (call.procedure === p.authList.number) return ok(call, Buffer.from('0000000100000000', 'hex'));
      if (call.procedure === p.connectSupportsFeature.number) return ok(call, Buffer.from('00000001', 'hex'));
      const header = { procedure: call.procedure, serial: call.serial, status: FrameStatus.ERROR };
      return frameBytes(header, encode(errorPayload, refusal));
    }),
  );
  await assert.rejects(openHostSession(uriOf(server)), (error) => {
    assert.ok(error instanceof ConnectError);
    assert.equal(error.kind, 'open-refused');
    assert.ok(error.cause instanceof LibvirtError && error.cause.code === 38);
    assert.match(error.message, /would not open qemu:\/\/\/system: no driver/);
    return true;
  });
});

test('a daemon that hangs while opening', async () => {
  await using server = await serve(
    answering((call) =>
      call.procedure === p.authList.number ? ok(call, Buffer.from('0000000100000000', 'hex')) : undefined,
    ),
  );
  assert.equal(await kindOf(uriOf(server), { handshakeTimeoutMs: 100 }, /did not finish opening/), 'timeout');
});

test('the caller cancels, before and during', async () => {
  await using server = await serve(() => {});
  assert.equal(await kindOf(uriOf(server), { signal: AbortSignal.abort() }, /was cancelled/), 'cancelled');
  assert.equal(await kindOf(uriOf(server), { signal: AbortSignal.timeout(20) }, /was cancelled/), 'cancelled');
});
