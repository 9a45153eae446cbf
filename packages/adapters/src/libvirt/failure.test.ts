/** Failures of the libvirt client: each kind its code, and what is no such failure stays what it is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorTable, FerryError, type ErrorCode } from '@ferry/core';
import {
  ConnectError,
  ConnectionLostError,
  InvalidArgumentError,
  LibvirtError,
  LibvirtUriError,
  parseXml,
  ProtocolError,
  VIR_ERR,
} from '@ferry/libvirt';
import { hostFailure, translated } from './failure.ts';

const libvirt = (code: number): LibvirtError =>
  new LibvirtError('DOMAIN_X', {
    code,
    domain: 10,
    message: 'Requested operation is not valid: domain is not running',
    level: 2,
    str1: undefined,
    str2: undefined,
    str3: undefined,
    int1: -1,
    int2: -1,
  });
const lost = (
  reason: ConstructorParameters<typeof ConnectionLostError>[1],
  outcome: 'unknown' | 'not-started' = 'unknown',
  cause?: unknown,
) => new ConnectionLostError(outcome, reason, 'h1:16509: it was lost', 'X', { cause });
const timeout = new DOMException('late', 'TimeoutError');
function xmlError(): unknown {
  try {
    return parseXml('<a>'.repeat(1000));
  } catch (error) {
    return error;
  }
}

const cases: readonly (readonly [string, unknown, ErrorCode, RegExp])[] = [
  [
    'a plain no',
    libvirt(VIR_ERR.OPERATION_INVALID),
    'host-refused',
    /^h1: Requested operation is not valid: domain is not running\.$/,
  ],
  ['an inner error of the daemon', libvirt(VIR_ERR.INTERNAL_ERROR), 'host-refused', /^h1: /],
  ['a call that the daemon does not know', libvirt(VIR_ERR.NO_SUPPORT), 'host-unsupported', /^h1: /],
  ['a feature that QEMU lacks', libvirt(VIR_ERR.CONFIG_UNSUPPORTED), 'host-unsupported', /^h1: /],
  ['a VM that went', libvirt(VIR_ERR.NO_DOMAIN), 'vm-unknown', /^h1: /],
  ['no right', libvirt(VIR_ERR.ACCESS_DENIED), 'host-auth-refused', /^h1: /],
  ['a lock that is not free in time', libvirt(VIR_ERR.OPERATION_TIMEOUT), 'host-timed-out', /^h1: /],
  [
    'no way to the host',
    new ConnectError('unreachable', 'h1:16509 cannot be reached: no route.'),
    'host-unreachable',
    /^h1:16509 cannot/,
  ],
  ['a bad URI', new LibvirtUriError('no URI'), 'uri-invalid', /^no URI\.$/],
  ['a connection lost in a call', lost('peer-closed'), 'host-connection-lost', /^h1:16509: it was lost\.$/],
  ['a connection lost before it', lost('closed', 'not-started'), 'host-unreachable', /^h1:16509: it was lost\.$/],
  ['a call without an answer', lost('timeout'), 'host-timed-out', /lost/],
  ["a caller's own bound", lost('cancelled', 'unknown', timeout), 'host-timed-out', /lost/],
  ['the bound alone', timeout, 'host-timed-out', /^h1 did not answer in time\.$/],
  ['bytes that are no protocol', lost('protocol-error'), 'host-answer-invalid', /lost/],
  [
    'a number that cannot be',
    new ProtocolError("the host's memory is 18446744073709550592, more than can be true"),
    'host-answer-invalid',
    /^What h1 answers is not readable: the host's memory/,
  ],
  [
    'XML that goes too deep',
    xmlError(),
    'host-answer-invalid',
    /^What h1 answers is not readable: elements are nested too deeply/,
  ],
  [
    'a request that libvirt has no place for',
    new InvalidArgumentError('a text must not have a NUL'),
    'request-invalid',
    /^h1: a text/,
  ],
];
for (const [name, error, code, message] of cases) {
  test(`${name} is ${code}`, () => {
    const seen = hostFailure('h1', error);
    assert.ok(seen instanceof FerryError, String(seen));
    assert.equal(seen.code, code);
    assert.match(seen.message, message);
    assert.equal(seen.cause, error);
    assert.notEqual(errorTable[seen.code].status, 500);
  });
}

test('a stop of the control plane is reported as that, and a defect stays a defect', () => {
  const stopping = new FerryError('server-stopping', 'It stops.');
  assert.equal(hostFailure('h1', lost('cancelled', 'unknown', stopping)), stopping);
  const defect = new TypeError('x is not a function');
  assert.equal(hostFailure('h1', defect), defect);
});

test('every call of a port fails so: at once, later, and in a stream', async () => {
  const no = libvirt(VIR_ERR.OPERATION_INVALID);
  const port = translated('h1', {
    fixed: 7,
    sync: (): number => {
      throw no;
    },
    later: async (fail: boolean) => {
      if (fail) throw no;
      return 'well';
    },
    async *stream() {
      yield 1;
      throw no;
    },
    async watch() {
      return this.stream();
    },
  });
  const refused = { name: 'FerryError', code: 'host-refused' };
  assert.equal(port.fixed, 7);
  assert.throws(() => port.sync(), refused);
  assert.equal(await port.later(false), 'well');
  await assert.rejects(port.later(true), refused);
  for (const stream of [port.stream(), await port.watch()]) {
    const seen: number[] = [];
    await assert.rejects(async () => {
      for await (const each of stream) seen.push(each);
    }, refused);
    assert.deepEqual(seen, [1]);
  }
});

test('only a call that may still take effect is unanswered: not one that libvirt refused, nor one never sent', () => {
  const unanswered = (error: unknown): unknown => {
    const failure = hostFailure('h1', error);
    return failure instanceof FerryError && failure.unanswered;
  };
  for (const error of [timeout, lost('timeout'), lost('peer-closed'), lost('cancelled', 'unknown', timeout)])
    assert.equal(unanswered(error), true);
  for (const error of [libvirt(VIR_ERR.OPERATION_TIMEOUT), lost('closed', 'not-started')])
    assert.equal(unanswered(error), false);
});
