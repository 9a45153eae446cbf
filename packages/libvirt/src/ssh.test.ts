import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { explainSsh, remoteCommand, sshArguments } from './ssh.ts';
import type { SshUri } from './uri.ts';
import { parseUri } from './uri.ts';

const ssh = (text: string): SshUri => {
  const uri = parseUri(text);
  return uri.transport === 'ssh' ? uri : assert.fail(text);
};

test('what the host runs is a shell command line that any POSIX shell reads', () => {
  for (const text of ['qemu+ssh://h/system', 'qemu+ssh://h/system?socket=/run/x']) {
    for (const readOnly of [false, true]) {
      const command = remoteCommand(ssh(text), readOnly);
      assert.equal(command.split("'").length, 3, 'quotes inside would end the one around the whole');
      // -n reads the commands and runs none
      execFileSync('sh', ['-n', '-c', command]);
      execFileSync('sh', ['-n', '-c', /^sh -c '(.*)'$/s.exec(command)?.[1] ?? assert.fail('no script')]);
    }
  }
});

test('host and command come after --, so that neither is taken for an option', () => {
  const args = sshArguments(
    ssh('qemu+ssh://root@[fd00::1]:2222/system'),
    { configFile: '/c', controlDirectory: '/d' },
    { readOnly: false, timeoutMs: 1500 },
  );
  assert.equal(args.at(-3), '--');
  assert.equal(args.at(-2), 'fd00::1');
  assert.deepEqual(args.slice(0, 2), ['-F', '/c']);
  assert.ok(args.includes('ControlPath=/d/%C') && args.includes('BatchMode=yes') && args.includes('ConnectTimeout=2'));
  assert.deepEqual(args.slice(args.indexOf('-p'), args.indexOf('-p') + 4), ['-p', '2222', '-l', 'root']);
});

const complaints: readonly (readonly [said: string, kind: string, sentence: RegExp])[] = [
  [
    '@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.',
    'auth',
    /not the one that known_hosts has.*ssh-keygen -R/,
  ],
  [
    'No ED25519 host key is known for h and you have requested strict checking.\r\nHost key verification failed.',
    'auth',
    /host key is not known/,
  ],
  [
    'ssh: Could not resolve hostname jump: Name or service not known\nkex_exchange_identification: Connection closed by remote host',
    'not-found',
    /"jump" is unknown/,
  ],
  [
    'ssh: connect to host jump port 22: Connection refused\r\nkex_exchange_identification: Connection ' +
      'closed by remote host\nConnection closed by UNKNOWN port 65535',
    'refused',
    /jump port 22: connection refused/,
  ],
  [
    'channel 0: open failed: connect failed: No route to host\nstdio forwarding failed',
    'unreachable',
    /jump host does not reach it/,
  ],
  ['root@h: Permission denied (publickey).', 'auth', /no key that ssh offers for root@h \(publickey\).*ssh-agent/],
  [
    "virt-ssh-helper: cannot connect to '/run/libvirt/libvirt-sock': Failed to connect socket",
    'refused',
    /daemon does not listen/,
  ],
  ['', 'other', /said nothing/],
];
for (const [said, kind, sentence] of complaints) {
  test(`ssh says ${JSON.stringify(said.slice(0, 50))}: ${kind}`, () => {
    const error = explainSsh(said, 'h (ssh)');
    assert.equal(error.kind, kind);
    assert.match(error.message, sentence);
    assert.match(error.message, /^h \(ssh\): [^\n]*\.$/);
  });
}
