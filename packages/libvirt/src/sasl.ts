// SASL as libvirt carries it: SCRAM (RFC 5802, 7677), which proves both sides know the password without sending it, or
// PLAIN if the connection is already safe. On plain TCP libvirt requires SASL to encrypt all that follows; this package
// does not: use TLS or SSH.
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { ConnectError } from './errors.ts';

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** A client's half of one exchange: what to send for what came. `finished` once the server has proved itself. */
export interface Mechanism {
  readonly name: string;
  first(): string;
  /** Undefined: nothing is left to say. Rejects when the server is not who it should be. */
  next(fromServer: string): Promise<string | undefined>;
  readonly finished: boolean;
}

/** The best that both know, of a comma-separated list. */
export function chooseMechanism(offered: string, { user, password }: Credentials): Mechanism | undefined {
  const names = offered.split(',').map((name) => name.trim().toUpperCase());
  for (const [name, hash] of [
    ['SCRAM-SHA-512', 'sha512'],
    ['SCRAM-SHA-256', 'sha256'],
    ['SCRAM-SHA-1', 'sha1'],
  ] as const) {
    if (names.includes(name)) return scram(name, hash, { user, password }, randomBytes(24).toString('base64'));
  }
  return names.includes('PLAIN') ? plain({ user, password }) : undefined;
}

const plain = ({ user, password }: Credentials): Mechanism => ({
  name: 'PLAIN',
  first: () => `\0${user}\0${password}`,
  next: async () => undefined,
  finished: true,
});

/** `nonce` is random, and an argument so that the RFC's example can be followed. */
export function scram(name: string, hash: string, { user, password }: Credentials, nonce: string): Mechanism {
  const clientFirst = `n=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
  let signature: Buffer | undefined;
  let finished = false;
  const fields = (text: string): ReadonlyMap<string, string> =>
    new Map(text.split(',').map((part) => [part.slice(0, 1), part.slice(2)]));
  const hmac = (key: Buffer, text: string): Buffer => createHmac(hash, key).update(text).digest();
  return {
    name,
    first: () => `n,,${clientFirst}`,
    async next(fromServer) {
      const given = fields(fromServer);
      if (signature !== undefined) {
        const proof = Buffer.from(given.get('v') ?? '', 'base64');
        if (proof.length !== signature.length || !timingSafeEqual(proof, signature))
          throw new Error(
            given.get('e') === undefined
              ? 'the server refuses the password'
              : `the server says ${given.get('e') ?? ''}`,
          );
        finished = true;
        return undefined;
      }
      const [both = '', salt = '', iterations] = [given.get('r'), given.get('s'), Number(given.get('i'))];
      // below, a listener could guess passwords; above, the server would keep us busy, if not this thread
      if (!both.startsWith(nonce) || both === nonce || salt === '' || !(iterations >= 4096 && iterations <= 1_000_000))
        throw new Error('the server does not speak SCRAM as it should');
      const salted = await promisify(pbkdf2)(
        password.normalize('NFKC'),
        Buffer.from(salt, 'base64'),
        iterations,
        createHash(hash).digest().length,
        hash,
      );
      const clientKey = hmac(salted, 'Client Key');
      const withoutProof = `c=biws,r=${both}`;
      const signed = `${clientFirst},${fromServer},${withoutProof}`;
      const mask = hmac(createHash(hash).update(clientKey).digest(), signed);
      signature = hmac(hmac(salted, 'Server Key'), signed);
      return `${withoutProof},p=${Buffer.from(clientKey.map((byte, index) => byte ^ (mask[index] ?? 0))).toString('base64')}`;
    },
    get finished() {
      return finished;
    },
  };
}

/**
 * Name and password for a host, out of a file as libvirt's own clients read it (auth.conf: `[credentials-NAME]`,
 * `[auth-libvirt-HOST]` or `[auth-libvirt-default]`). Undefined when it has none for this host. Throws ConnectError
 * when it cannot be read.
 */
export function credentialsFor(host: string, file: string): Credentials | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConnectError(
      'auth',
      `The file ${file} with names and passwords cannot be read ` +
        `(${error instanceof Error && 'code' in error ? String(error.code) : 'unknown'}).`,
      { cause: error },
    );
  }
  const groups = new Map<string, Map<string, string>>();
  let group = new Map<string, string>();
  for (const line of text.split('\n').map((each) => each.trim())) {
    const [, title] = /^\[(.+)\]$/.exec(line) ?? [];
    const [, key, value] = /^([\w-]+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (title !== undefined) groups.set(title, (group = new Map()));
    else if (key !== undefined && value !== undefined) group.set(key, value);
  }
  const named = groups.get(`auth-libvirt-${host}`) ?? groups.get('auth-libvirt-default');
  const credentials = groups.get(`credentials-${named?.get('credentials') ?? ''}`);
  const [user, password] = [credentials?.get('authname') ?? credentials?.get('username'), credentials?.get('password')];
  return user === undefined || password === undefined ? undefined : { user, password };
}
