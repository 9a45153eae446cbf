import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { LibvirtUriError } from './errors.ts';
import { parseUri } from './uri.ts';

const accepted: readonly (readonly [string, object])[] = [
  [
    'qemu:///system',
    { transport: 'unix', text: 'qemu:///system', serverUri: 'qemu:///system', driver: 'qemu', socket: undefined },
  ],
  [
    'qemu+unix:///system',
    { transport: 'unix', text: 'qemu+unix:///system', serverUri: 'qemu:///system', driver: 'qemu', socket: undefined },
  ],
  [
    'qemu+unix:///session?socket=/run/user/1/libvirt/libvirt-sock',
    {
      transport: 'unix',
      text: 'qemu+unix:///session?socket=/run/user/1/libvirt/libvirt-sock',
      serverUri: 'qemu:///session',
      driver: 'qemu',
      socket: '/run/user/1/libvirt/libvirt-sock',
    },
  ],
  [
    'test+unix:///default?socket=%2Ftmp%2Fa%20b',
    {
      transport: 'unix',
      text: 'test+unix:///default?socket=/tmp/a%20b',
      serverUri: 'test:///default',
      driver: 'test',
      socket: '/tmp/a b',
    },
  ],
  [
    'qemu+tcp://X1.Example/system',
    {
      transport: 'tcp',
      text: 'qemu+tcp://x1.example/system',
      serverUri: 'qemu:///system',
      driver: 'qemu',
      host: 'x1.example',
      port: 16509,
    },
  ],
  [
    'qemu+tcp://10.0.0.1:16510/system',
    {
      transport: 'tcp',
      text: 'qemu+tcp://10.0.0.1:16510/system',
      serverUri: 'qemu:///system',
      driver: 'qemu',
      host: '10.0.0.1',
      port: 16510,
    },
  ],
  [
    'qemu+tcp://[fd00::1]/system',
    {
      transport: 'tcp',
      text: 'qemu+tcp://[fd00::1]/system',
      serverUri: 'qemu:///system',
      driver: 'qemu',
      host: 'fd00::1',
      port: 16509,
    },
  ],
  [
    'qemu+tls://X1.example/system',
    {
      transport: 'tls',
      text: 'qemu+tls://x1.example/system',
      serverUri: 'qemu:///system',
      driver: 'qemu',
      host: 'x1.example',
      port: 16514,
    },
  ],
  [
    'qemu://x1/system',
    {
      transport: 'tls',
      text: 'qemu+tls://x1/system',
      serverUri: 'qemu:///system',
      driver: 'qemu',
      host: 'x1',
      port: 16514,
    },
  ],
  [
    'qemu+ssh://root@x1/system',
    {
      transport: 'ssh',
      text: 'qemu+ssh://root@x1/system',
      serverUri: 'qemu:///system',
      driver: 'qemu',
      host: 'x1',
      port: undefined,
      user: 'root',
      socket: undefined,
    },
  ],
  [
    'qemu+ssh://[fd00::1]:2222/system?socket=/run/x-sock',
    {
      transport: 'ssh',
      text: 'qemu+ssh://[fd00::1]:2222/system?socket=/run/x-sock',
      serverUri: 'qemu:///system',
      driver: 'qemu',
      host: 'fd00::1',
      port: 2222,
      user: undefined,
      socket: '/run/x-sock',
    },
  ],
  [
    'qemu+tcp://[fd00::1]:17/system',
    {
      transport: 'tcp',
      text: 'qemu+tcp://[fd00::1]:17/system',
      serverUri: 'qemu:///system',
      driver: 'qemu',
      host: 'fd00::1',
      port: 17,
    },
  ],
];

for (const [text, expected] of accepted) {
  test(`${text} is understood, and its normal form means the same`, () => {
    const uri = parseUri(text);
    assert.deepEqual({ ...uri }, expected);
    assert.deepEqual(parseUri(uri.text), uri);
  });
}

const refused: readonly (readonly [string, RegExp])[] = [
  ['', /has not the shape/],
  ['system', /has not the shape/],
  ['QEMU:///system', /has not the shape/],
  ['xen:///system', /driver "xen" is not supported/],
  ['qemu:///', /path must be \/system/],
  ['qemu://', /path must be/],
  ['qemu:///embed?root=/tmp', /path must be/],
  ['test:///etc/shadow', /path must be \/default/],
  ['qemu:///session', /the socket must be given/],
  ['qemu+libssh2://root@host/system', /libssh2 is not supported; write qemu\+ssh/],
  ['qemu+ssh://-oProxyCommand=x/system', /no host name/],
  ['qemu+ssh://-l@host/system', /no user name/],
  ['qemu+ssh://a$b@host/system', /no user name/],
  ['qemu+ssh://root:secret@host/system', /password does not belong/],
  ['qemu+ssh://root@host/system?command=/bin/sh', /"command" is not accepted with ssh; use ssh's configuration/],
  ['qemu+ssh://root@host/system?keyfile=/root/key', /IdentityFile/],
  ['qemu+ssh://root@host/system?no_verify=1', /"no_verify" is not accepted/],
  ['qemu+ssh://root@host/system?socket=/run/$(reboot)', /over ssh its socket must be/],
  ['qemu+ssh://root@host/system?socket=/run/%27;reboot;%27', /over ssh its socket must be/],
  ['qemu+ssh://host/session', /the socket must be given/],
  ['qemu+tls://host/system?no_verify=1', /"no_verify" is not accepted with tls; issue a certificate/],
  [
    'qemu+tls://host/system?pkipath=/tmp',
    /"pkipath" is not accepted with tls; start the control plane with --pki-path/,
  ],
  ['qemu+tls://user@host/system', /user name does not go with tls/],
  ['qemu+ext:///system?command=/bin/sh', /transport "ext" is unknown/],
  ['qemu+unix://host/system', /no host/],
  ['qemu+unix:///system?socket=relative', /absolute path/],
  ['qemu+unix:///system?socket=', /absolute path/],
  ['qemu+unix:///system?socket=/a%00b', /NUL/],
  ['qemu+unix:///system?socket=/a&socket=/b', /given twice/],
  ['qemu+unix:///system?socket=/%zz', /broken %/],
  [`qemu+unix:///system?socket=/${'x'.repeat(120)}`, /longer than the 107/],
  ['qemu+unix:///system?command=/bin/sh', /option "command" is not accepted/],
  ['qemu+tcp://host/system?no_verify=1', /option "no_verify" is not accepted/],
  ['qemu+tcp://host/system?pkipath=/tmp', /option "pkipath" is not accepted/],
  ['qemu+tcp://host/system?socket=/tmp/x', /does not go with tcp/],
  ['qemu+tcp://host/system#part', /has not the shape/],
  ['qemu+tcp:///system', /no host/],
  ['qemu+tcp://user@host/system', /user name/],
  ['qemu+tcp://-oProxyCommand=x/system', /no host name/],
  ['qemu+tcp://ho$t/system', /no host name/],
  ['qemu+tcp://fd00::1/system', /no host name|no port|malformed/],
  ['qemu+tcp://[fd00::zz]/system', /no host name/],
  ['qemu+tcp://host:0/system', /no port/],
  ['qemu+tcp://host:65536/system', /no port/],
  ['qemu+tcp://host:1e3/system', /no port/],
  ['qemu+tcp://ho st/system', /a space/],
  ['qemu+tcp://host/system\n', /control/],
  ['qemu+tcp://h\u00f6st/system', /non-ASCII/],
];

for (const [text, says] of refused) {
  test(`${JSON.stringify(text.slice(0, 60))} is refused with a sentence`, () => {
    assert.throws(
      () => parseUri(text),
      (error) => {
        assert.ok(error instanceof LibvirtUriError);
        assert.match(error.message, says);
        assert.match(error.message, /^"[^\n]*" cannot be used as a libvirt URI: [^\n]*\.$/);
        return true;
      },
    );
  });
}

test('any text is a URI in normal form or a LibvirtUriError', () => {
  const piece = fc.constantFrom(
    'qemu',
    'test',
    '+unix',
    '+tcp',
    '+ssh',
    '+tls',
    'root@',
    '://',
    '/system',
    '/default',
    '?socket=',
    '/x',
    ':',
    '[',
    ']',
    '@',
    '&',
    '%2f',
    'host',
    '1',
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(piece, { maxLength: 10 }).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(text, (value) => {
      try {
        const uri = parseUri(value);
        assert.deepEqual(parseUri(uri.text), uri);
      } catch (error) {
        assert.ok(error instanceof LibvirtUriError, String(error));
      }
    }),
    { numRuns: 1000 },
  );
});
