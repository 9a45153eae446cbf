/**
 * Hosts as people reach them: by TLS, SSH, TCP, IPv4 and IPv6, on real daemons; and each way to be refused, with its
 * own sentence.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  credentialsOf,
  issueCertificate,
  makeAuthority,
  restartDaemon,
  run,
  temporaryLab,
  virsh,
  vmCreate,
  waitFor,
  type HostStatus,
  type TemporaryLab,
} from '@ferry/lab';
import { controlPlane, type ControlPlane } from './control-plane.ts';
import { accessTo, onHostOf, type MigrationJson, type VmJson } from './fleet.ts';
import { proxyTo } from './rpc-proxy.ts';

let temporary: TemporaryLab;
let hosts: readonly HostStatus[] = [];
let pki = '';
let scratch = '';

before(async () => {
  temporary = await temporaryLab({ hosts: 2 });
  ({ hosts } = temporary.status);
  pki = credentialsOf(temporary.lab).pki;
  scratch = join(temporary.status.directory, 'scratch');
  mkdirSync(scratch);
  await vmCreate(temporary.lab, { name: 'traveller', host: 'host1' });
});
after(() => temporary[Symbol.asyncDispose]());

const hostAt = (index: number): HostStatus => hosts[index] ?? assert.fail('no such host');
const sh = (host: string, command: string): Promise<string> => onHostOf(temporary.lab, host, command);

const ways: readonly (readonly [way: string, uri: (host: HostStatus) => string])[] = [
  ['TLS', ({ address }) => `qemu+tls://${address}/system`],
  ['SSH', ({ address }) => `qemu+ssh://root@${address}/system`],
  ['TCP over IPv6', ({ address6 }) => `qemu+tcp://[${address6}]/system`],
];
let at = 0;
for (const [way, uri] of ways) {
  test(`${way}: hosts are added, a guest moves between them, a change is seen`, async () => {
    await using plane = await controlPlane(...accessTo(temporary));
    for (const host of hosts) {
      const added = await plane.json<{ state: string }>('host', 'add', uri(host), '--name', host.name);
      assert.equal(added.state, 'connected');
    }
    const target = hostAt(1 - at).name;
    const moved = await plane.json<MigrationJson>('vm', 'migrate', 'traveller', '--to', target);
    assert.equal(moved.outcome, 'succeeded');
    assert.deepEqual(moved.vmIsNow, { host: target, state: 'running' });
    at = 1 - at;
    if (way === 'SSH') {
      const sessions = (await sh('host1', "ss -Htn state established '( sport = :22 )' | wc -l")).trim();
      assert.equal(sessions, '1', 'connections to one host share one ssh');
    }
  });
}

test('a host without virt-ssh-helper is reached through its socket', async () => {
  await sh('host1', 'mount --bind /dev/null /usr/bin/virt-ssh-helper');
  try {
    await using plane = await controlPlane(...accessTo(temporary));
    assert.equal(
      (await plane.json<{ state: string }>('host', 'add', `qemu+ssh://root@${hostAt(0).address}/system`)).state,
      'connected',
    );
  } finally {
    await sh('host1', 'umount /usr/bin/virt-ssh-helper');
  }
});

/** Adds host1 with this access, which does not work, and gives what is said. */
async function refusal(uri: string, options: readonly string[]): Promise<string> {
  await using plane = await controlPlane(...options);
  const ran = await plane.ferry('host', 'add', uri);
  assert.notEqual(ran.code, 0, `${uri} was added`);
  assert.doesNotMatch(ran.stderr, /\n\s+at /, 'a stack is no sentence');
  return ran.stderr;
}

/** A folder like the lab's own, with something else in the place of some files. */
function pkiWith(name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(scratch, name);
  mkdirSync(folder, { recursive: true });
  for (const file of ['cacert.pem', 'clientcert.pem', 'clientkey.pem']) {
    const from = files[file] ?? join(pki, file);
    if (from !== '') copyFileSync(from, join(folder, file));
  }
  return folder;
}

test('TLS: each certificate that does not fit has its own sentence', async (t) => {
  const other = join(scratch, 'other');
  await makeAuthority(other, 'another authority');
  await issueCertificate(other, { name: 'client', commonName: 'stranger' });
  await issueCertificate(pki, { name: 'expired', commonName: 'late', days: -1 });
  const uri = `qemu+tls://${hostAt(0).address}/system`;
  const cases: readonly (readonly [what: string, folder: string, sentence: RegExp])[] = [
    [
      'missing client certificate',
      pkiWith('missing', { 'clientcert.pem': '' }),
      /this side's certificate is missing: .*clientcert\.pem/,
    ],
    [
      'unknown authority of the host',
      pkiWith('authority', { 'cacert.pem': join(other, 'cacert.pem') }),
      /comes from an authority that is not known here/,
    ],
    [
      'client certificate of another authority',
      pkiWith('stranger', {
        'clientcert.pem': join(other, 'clientcert.pem'),
        'clientkey.pem': join(other, 'clientkey.pem'),
      }),
      /does not take the certificate of this side .*does not come from the authority/,
    ],
    [
      'expired client certificate',
      pkiWith('expired', {
        'clientcert.pem': join(pki, 'expiredcert.pem'),
        'clientkey.pem': join(pki, 'expiredkey.pem'),
      }),
      /does not take the certificate of this side .*has expired on/,
    ],
    ['key of another certificate', pkiWith('key', { 'clientkey.pem': join(other, 'clientkey.pem') }), /cannot be used/],
  ];
  for (const [what, folder, sentence] of cases) {
    await t.test(what, async () => assert.match(await refusal(uri, ['--pki-path', folder]), sentence));
  }
  const serverCertificate = async (name: string): Promise<void> => {
    copyFileSync(join(pki, `${name}cert.pem`), join(temporary.status.directory, 'serial', 'cert.pem'));
    copyFileSync(join(pki, `${name}key.pem`), join(temporary.status.directory, 'serial', 'key.pem'));
    // the serial folder is the one that hosts and machine have in common
    await sh(
      'host1',
      'cp /var/log/libvirt/serial/cert.pem /etc/pki/libvirt/servercert.pem; cp ' +
        '/var/log/libvirt/serial/key.pem /etc/pki/libvirt/private/serverkey.pem; virt-admin -q ' +
        'server-update-tls libvirtd',
    );
  };
  await t.test('host certificate for another name', async () => {
    await issueCertificate(pki, { name: 'wrong', commonName: 'wrong', alternativeNames: 'DNS:somebody.else' });
    await serverCertificate('wrong');
    assert.match(await refusal(uri, ['--pki-path', pki]), /made out for another name/);
  });
  await t.test('the host has its own again', async () => {
    await serverCertificate('host1');
    await using plane = await controlPlane('--pki-path', pki);
    await plane.json('host', 'add', uri);
  });
  await t.test('a port that does not speak TLS', async () => {
    assert.match(await refusal(`qemu+tls://${hostAt(0).address}:22/system`, ['--pki-path', pki]), /does not speak TLS/);
  });
});

test('SSH: each key that does not fit has its own sentence', async (t) => {
  const { address } = hostAt(0);
  const ssh = join(credentialsOf(temporary.lab).sshConfig, '..');
  const config = (name: string, lines: Readonly<Record<string, string>>): readonly string[] => {
    const { ProxyJump, ...rest } = lines;
    const all = {
      User: 'root',
      IdentityFile: join(ssh, 'id_ed25519'),
      IdentitiesOnly: 'yes',
      IdentityAgent: 'none',
      UserKnownHostsFile: join(ssh, 'known_hosts'),
      GlobalKnownHostsFile: '/dev/null',
      ...rest,
    };
    const file = join(scratch, `${name}.config`);
    const jump = ProxyJump === undefined ? '' : `Host ${address}\n  ProxyJump ${ProxyJump}\nHost *\n`;
    writeFileSync(
      file,
      jump +
        Object.entries(all)
          .map(([key, value]) => `${key} ${value}\n`)
          .join(''),
    );
    return ['--ssh-config', file];
  };
  const changed = join(scratch, 'changed');
  const own = readFileSync(join(ssh, 'known_hosts'), 'utf8');
  const keyOf = (name: string): string =>
    own
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length + 1) ?? assert.fail(name);
  writeFileSync(changed, `${address} ${keyOf(hostAt(1).address)}\n`);
  const empty = join(scratch, 'empty');
  writeFileSync(empty, '');
  await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', 'a secret', '-f', join(scratch, 'locked')]);
  const open = join(ssh, 'id_ed25519');
  copyFileSync(open, join(scratch, 'lockedone'));
  await run(['chmod', '600', join(scratch, 'lockedone')]);
  await run(['ssh-keygen', '-q', '-p', '-N', 'a secret', '-P', '', '-f', join(scratch, 'lockedone')]);
  const uri = `qemu+ssh://${address}/system`;
  const cases: readonly (readonly [what: string, uri: string, options: readonly string[], sentence: RegExp])[] = [
    ['unknown host key', uri, config('unknown', { UserKnownHostsFile: empty }), /host key is not known/],
    [
      'changed host key',
      uri,
      config('changed', { UserKnownHostsFile: changed }),
      /host key is not the one that known_hosts has/,
    ],
    [
      'a key that the host does not take',
      uri,
      config('stranger', { IdentityFile: join(scratch, 'locked') }),
      /accepts no key that ssh offers for root@/,
    ],
    ['a key with a passphrase', uri, config('locked', { IdentityFile: join(scratch, 'lockedone') }), /passphrase/],
    [
      'a jump host that is down',
      uri,
      config('jump', { ProxyJump: 'root@127.0.0.1:9' }),
      /ssh cannot connect to 127\.0\.0\.1 port 9: connection refused/,
    ],
    [
      'an unknown name',
      'qemu+ssh://no-such-host.invalid/system',
      config('name', {}),
      /host name "no-such-host\.invalid" is unknown/,
    ],
    ['options in the URI', `${uri}?command=/bin/sh`, config('uri', {}), /"command" is not accepted with ssh/],
    [
      'an option for a host',
      'qemu+ssh://-oProxyCommand=reboot/system',
      config('option', {}),
      /no host name or address/,
    ],
    [
      'no daemon at the socket',
      `${uri}?socket=/run/libvirt/none`,
      config('socket', {}),
      /no libvirt socket at \/run\/libvirt\/none/,
    ],
  ];
  for (const [what, to, options, sentence] of cases)
    await t.test(what, async () => assert.match(await refusal(to, options), sentence));
  await t.test('through a jump host that is up', async () => {
    await using plane = await controlPlane(...config('through', { ProxyJump: `root@${hostAt(1).address}` }));
    await plane.json('host', 'add', uri);
    const peers = await sh('host1', "ss -Htn state established '( sport = :22 )'");
    assert.match(
      peers,
      new RegExp(`${hostAt(1).address.replaceAll('.', '\\.')}\\]?:\\d+`),
      'the connection comes from the jump host',
    );
  });
});

const untilState = (plane: ControlPlane, host: string, state: string) =>
  waitFor(
    `${host} to be ${state}`,
    async () => {
      const shown = await plane.json<{ state: string; stateDetail?: string; stateRemedy?: string }>(
        'host',
        'show',
        host,
      );
      return shown.state === state ? shown : undefined;
    },
    { timeoutMs: 20_000 },
  );

test(
  'an address that comes to lead to another host: that host is unusable and says why, and the only running ' +
    'copy there is neither ended nor paused',
  async () => {
    await using plane = await controlPlane(...accessTo(temporary));
    const [here, there] = [hostAt(at), hostAt(1 - at)];
    await using way = await proxyTo(there.address);
    await plane.json('host', 'add', here.uri, '--name', here.name);
    await plane.json('host', 'add', way.uri, '--name', there.name);
    const policy = join(scratch, 'both.json');
    writeFileSync(
      policy,
      JSON.stringify({ ...(await plane.json<object>('policy', 'show', 'default')), twoCopies: 'suspend-both' }),
    );
    await plane.json('policy', 'set', 'both', policy);
    await plane.json('cluster', 'set', 'default', '--policy', 'both');
    const process = await virsh(temporary.lab, here.name, ['domid', 'traveller']);
    const same = async (): Promise<void> =>
      assert.deepEqual(
        [
          await virsh(temporary.lab, here.name, ['domid', 'traveller']),
          (await virsh(temporary.lab, here.name, ['domstate', 'traveller'])).trim(),
        ],
        [process, 'running'],
      );

    way.lead(here.address);
    const shown = await untilState(plane, there.name, 'other-machine');
    assert.match(
      shown.stateDetail ?? '',
      new RegExp(`points to ${here.name} .* not to the machine that was added as ${there.name}`),
    );
    assert.match(shown.stateRemedy ?? '', new RegExp(`ferry host remove ${there.name}`));
    assert.deepEqual(
      (await plane.json<VmJson>('vm', 'show', 'traveller')).instances.map(({ host, role }) => [host, role]),
      [[here.name, 'authoritative']],
    );
    assert.match(
      (await plane.ferry('vm', 'settle', 'traveller', '--keep', here.name)).stderr,
      /has one copy that counts, on/,
    );
    assert.match(
      (await plane.ferry('vm', 'migrate', 'traveller', '--to', there.name)).stderr,
      /host-other-machine|not to the machine that was added/,
    );
    // looked at again and again, further apart each time: longer in all than two running copies are watched before they
    // are paused
    const before = way.connections();
    await waitFor('Ferry to look at that address again', () => way.connections() >= before + 5 || undefined, {
      timeoutMs: 60_000,
    });
    await same();
    way.lead(there.address);
    await untilState(plane, there.name, 'connected');
    await same();
  },
);

test('a machine with another UUID is not the host that was added; one with the UUID of another is told as that', async () => {
  await using plane = await controlPlane(...accessTo(temporary));
  const [here, there] = [hostAt(at), hostAt(1 - at)];
  await plane.json('host', 'add', there.uri, '--name', there.name);
  const uuidOf = async (host: string): Promise<string> =>
    /<uuid>(.*?)<\/uuid>/.exec(await virsh(temporary.lab, host, ['capabilities']))?.[1] ?? assert.fail(host);
  const own = await uuidOf(there.name);
  const name = async (uuid: string): Promise<void> => {
    await sh(there.name, `sed -i 's/^host_uuid.*/host_uuid = "${uuid}"/' /etc/libvirt/libvirtd.conf`);
    await restartDaemon(temporary.lab, there.name);
  };
  try {
    await name('12345678-0000-4000-8000-000000000001');
    await untilState(plane, there.name, 'other-machine');
    await plane.ferry('host', 'remove', there.name);
    assert.equal(
      (await plane.json<{ state: string }>('host', 'add', there.uri, '--name', there.name)).state,
      'connected',
    );
    await name(await uuidOf(here.name));
    await plane.ferry('host', 'remove', there.name);
    await plane.json('host', 'add', here.uri, '--name', here.name);
    const refused = await plane.ferry('host', 'add', there.uri);
    assert.match(
      refused.stderr,
      new RegExp(`calls itself ${there.name} and has the UUID .*, which is that of ${here.name}[\\s\\S]*host_uuid`),
    );
  } finally {
    await name(own);
  }
});

test('a password (SASL): taken when it is right, refused otherwise, and never sent over a connection that is not encrypted', async () => {
  const { address } = hostAt(1);
  const authFile = (password: string): readonly string[] => {
    const file = join(scratch, `auth-${password}`);
    writeFileSync(
      file,
      `[credentials-lab]\nauthname=ann@libvirt\npassword=${password}\n[auth-libvirt-${address}]\ncredentials=lab\n`,
    );
    return ['--pki-path', pki, '--auth-file', file];
  };
  await sh(
    'host2',
    `mkdir -p /etc/sasl2
    printf 'mech_list: scram-sha-256\nsasldb_path: /etc/libvirt/passwd.db\n' >/etc/sasl2/libvirt.conf
    printf hush | saslpasswd2 -p -a libvirt -u libvirt -f /etc/libvirt/passwd.db ann
    sed -i 's/^auth_tcp.*/auth_tcp = "sasl"/' /etc/libvirt/libvirtd.conf; echo 'auth_tls = "sasl"' >>/etc/libvirt/libvirtd.conf`,
  );
  await restartDaemon(temporary.lab, 'host2');
  {
    await using plane = await controlPlane(...authFile('hush'));
    assert.equal(
      (await plane.json<{ state: string }>('host', 'add', `qemu+tls://${address}/system`)).state,
      'connected',
    );
  }
  assert.match(
    await refusal(`qemu+tls://${address}/system`, authFile('wrong')),
    /does not take the password of ann@libvirt \(SCRAM-SHA-256\)/,
  );
  assert.match(
    await refusal(`qemu+tls://${hostAt(1).address}/system`, [
      '--pki-path',
      pki,
      '--auth-file',
      join(credentialsOf(temporary.lab).sshConfig),
    ]),
    /has none for/,
  );
  assert.match(
    await refusal(`qemu+tcp://${address}/system`, authFile('hush')),
    /wants a password \(SASL\) on a connection that is not encrypted/,
  );
});
