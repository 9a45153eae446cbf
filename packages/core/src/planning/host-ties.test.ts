import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planPaths, tieReasons, type HostPath } from './host-ties.ts';
import { planSecrets, type SecretFacts } from './secrets.ts';

test('folders and memory that a guest shares with its host hold it there while it runs; memory of its own does not', () => {
  const reasons = tieReasons('web', [
    { kind: '9p', name: '/srv' },
    { kind: 'virtiofs', name: '/data' },
    { kind: 'shmem', name: 'old', model: 'ivshmem', role: '' },
    { kind: 'shmem', name: 'peer', model: 'ivshmem-plain', role: 'peer' },
    { kind: 'shmem', name: 'own', model: 'ivshmem-plain', role: 'master' },
  ]);
  assert.deepEqual(
    reasons.map(({ code }) => code),
    ['vm-shared-folder', 'vm-shared-folder', 'vm-shared-memory', 'vm-shared-memory'],
  );
  assert.match(reasons[0]?.message ?? '', /web has a folder of its host \(\/srv, by 9p\)/);
});

test('what the target lacks is a reason each; what nobody can look at is said', () => {
  const paths: readonly HostPath[] = [
    { path: '/boot/vmlinuz', kind: 'file', what: 'kernel' },
    { path: '/srv', kind: 'folder', what: 'folder shared as data' },
    { path: '/dev/hwrng', kind: 'device', what: 'source of randomness' },
    { path: '/x/fw', kind: 'file', what: 'firmware' },
    { path: '/var/log/s', kind: 'folder', what: 'where its serial output goes' },
  ];
  const lacking = planPaths(
    'web',
    paths,
    new Map([
      ['/boot/vmlinuz', 'missing'],
      ['/srv', 'missing'],
      ['/x/fw', 'unknown'],
      ['/var/log/s', 'there'],
    ]),
    'h2',
  );
  assert.deepEqual(
    lacking.reasons.map(({ code, host }) => `${host} ${code}`),
    ['h2 file-missing', 'h2 folder-missing'],
  );
  assert.deepEqual(
    lacking.doubts.map(({ message }) => message),
    [
      'Ferry cannot tell whether h2 has /dev/hwrng (source of randomness).',
      'Ferry cannot tell whether h2 has /x/fw (firmware).',
    ],
  );
  const there = planPaths(
    'web',
    paths,
    new Map([
      ['/boot/vmlinuz', 'there'],
      ['/srv', 'there'],
      ['/x/fw', 'there'],
      ['/var/log/s', 'there'],
    ]),
    'h2',
  );
  assert.deepEqual(
    [there.reasons, there.doubts.map(({ message }) => message)],
    [
      [],
      [
        'Ferry cannot tell whether /srv on h2 holds the same (folder shared as data).',
        'Ferry cannot tell whether h2 has /dev/hwrng (source of randomness).',
      ],
    ],
  );
});

test('a secret: there with a value, without one, private, with its usage taken; made there only where it can be read', () => {
  const secret = (value: SecretFacts['value'], uuid = 'u1', usage = 'volume:/x'): ReadonlyMap<string, SecretFacts> =>
    new Map([
      [`uuid:${uuid}`, { uuid, usage, value }],
      [usage, { uuid, usage, value }],
    ]);
  const plan = (
    here: SecretFacts['value'] | 'absent',
    there: ReadonlyMap<string, SecretFacts>,
    createMissing = false,
  ) => {
    const { reasons, creates, doubts } = planSecrets({
      vm: 'web',
      needed: ['uuid:u1'],
      source: 'h1',
      target: 'h2',
      here: here === 'absent' ? new Map() : secret(here),
      there,
      createMissing,
    });
    return [
      ...reasons.map(({ code }) => code),
      ...creates.map((name) => `makes ${name}`),
      ...doubts.map(({ message }) => message),
    ];
  };
  const none = new Map<string, SecretFacts>();
  assert.deepEqual(plan('there', secret('there')), []);
  assert.deepEqual(plan('there', secret('none'), true), ['secret-no-value']);
  assert.deepEqual(plan('there', secret('private')), [
    'Ferry cannot tell whether the secret uuid:u1 on h2 has the right value: it is private there.',
  ]);
  assert.deepEqual([plan('there', none), plan('there', none, true)], [['secret-missing'], ['makes uuid:u1']]);
  assert.deepEqual(
    [plan('private', none), plan('private', none, true), plan('none', none, true), plan('absent', none, true)],
    [['secret-missing'], ['secret-private'], ['secret-no-value'], ['secret-no-value']],
  );
  for (const create of [true, false])
    assert.deepEqual(plan('there', secret('there', 'u2'), create), ['secret-usage-taken']);
});
