import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConnectError } from './errors.ts';
import { chooseMechanism, credentialsFor, scram } from './sasl.ts';

const pencil = { user: 'user', password: 'pencil' };

test('SCRAM-SHA-256 as in the example of RFC 7677, section 3', async () => {
  const mechanism = scram('SCRAM-SHA-256', 'sha256', pencil, 'rOprNGfwEbeRWgbNEkqO');
  assert.equal(mechanism.first(), 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO');
  const proof = await mechanism.next(
    'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
  );
  assert.equal(
    proof,
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  );
  assert.equal(mechanism.finished, false);
  assert.equal(await mechanism.next('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='), undefined);
  assert.ok(mechanism.finished);
});

test('a server that does not know the password, or does not answer our nonce, is refused', async () => {
  const first = 'r=abcdef,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096';
  const begun = () => scram('SCRAM-SHA-256', 'sha256', pencil, 'abc');
  const mechanism = begun();
  await mechanism.next(first);
  await assert.rejects(() => mechanism.next(`v=${Buffer.alloc(32).toString('base64')}`), /refuses the password/);
  await assert.rejects(() => begun().next(first.replace('abcdef', 'xyz')), /as it should/);
  await assert.rejects(() => begun().next(first.replace('4096', '10')), /as it should/);
  await assert.rejects(() => begun().next(first.replace('4096', '999999999')), /as it should/);
});

test('the strongest mechanism that both know', () => {
  assert.equal(chooseMechanism('PLAIN,SCRAM-SHA-1,SCRAM-SHA-256', pencil)?.name, 'SCRAM-SHA-256');
  assert.equal(chooseMechanism('plain, gssapi', pencil)?.name, 'PLAIN');
  assert.equal(chooseMechanism('plain, gssapi', pencil)?.first(), '\0user\0pencil');
  assert.equal(chooseMechanism('GSSAPI,DIGEST-MD5', pencil), undefined);
});

test("names and passwords of libvirt's auth.conf", () => {
  const folder = mkdtempSync(join(tmpdir(), 'ferry-auth-'));
  try {
    const file = join(folder, 'auth.conf');
    writeFileSync(
      file,
      '# comment\n[credentials-one]\nauthname=ann\npassword = a ' +
        'b=c\n[credentials-two]\nauthname=bob\npassword=x\n[auth-libvirt-h1]\ncredentials=one\n[auth-libvirt-default]\ncredentials=two\n',
    );
    assert.deepEqual(credentialsFor('h1', file), { user: 'ann', password: 'a b=c' });
    assert.deepEqual(credentialsFor('h2', file), { user: 'bob', password: 'x' });
    writeFileSync(file, '[auth-libvirt-h1]\ncredentials=none\n');
    assert.equal(credentialsFor('h1', file), undefined);
    assert.throws(() => credentialsFor('h1', join(folder, 'none')), ConnectError);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
