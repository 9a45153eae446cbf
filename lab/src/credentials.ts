// What the lab's hosts and its control plane prove themselves with: an own certificate authority with a certificate per
// host and one for the client, and SSH keys. Made with the machine's openssl and ssh-keygen, kept in the lab's folder,
// worth nothing outside of it.

import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './child.ts';
import { hostPaths, labPaths, makeDirectories } from './lab.ts';
import type { HostDocument, LabRef } from './lab.ts';

const DAYS = '30';

export type Credentials = {
  /**
   * cacert.pem, clientcert.pem and clientkey.pem, as libvirt's pkipath has them; also cakey.pem, for tests that issue
   * more.
   */
  readonly pki: string;
  /** For `ssh -F`: knows every host by name and address, and has the key. */
  readonly sshConfig: string;
};

export function credentialsOf(lab: LabRef): Credentials {
  const directory = labPaths(lab).credentials;
  return { pki: join(directory, 'pki'), sshConfig: join(directory, 'ssh', 'config') };
}

export type CertificateWish = {
  /** File name without ending: NAMEcert.pem and NAMEkey.pem. */
  readonly name: string;
  readonly commonName: string;
  /** As openssl writes it: DNS:host1,IP:10.213.1.3. */
  readonly alternativeNames?: string;
  /** Days until it ends; negative for one that has ended already. */
  readonly days?: number;
};

/** Makes NAMEcert.pem and NAMEkey.pem in `directory`, signed by the cacert.pem and cakey.pem there. */
export async function issueCertificate(
  directory: string,
  { name, commonName, alternativeNames, days }: CertificateWish,
): Promise<void> {
  const at = (file: string): string => join(directory, file);
  const extensions = [
    'basicConstraints=critical,CA:FALSE',
    // GnuTLS requires keyEncipherment for EC keys too
    'keyUsage=critical,digitalSignature,keyEncipherment',
    'extendedKeyUsage=serverAuth,clientAuth',
    ...(alternativeNames === undefined ? [] : [`subjectAltName=${alternativeNames}`]),
  ];
  writeFileSync(at(`${name}.ext`), `${extensions.join('\n')}\n`);
  await run([
    'openssl',
    'req',
    '-new',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-subj',
    `/CN=${commonName}`,
    '-keyout',
    at(`${name}key.pem`),
    '-out',
    at(`${name}.csr`),
  ]);
  const until = days !== undefined && days < 0 ? ['-days', '0'] : ['-days', String(days ?? DAYS)];
  await run([
    'openssl',
    'x509',
    '-req',
    '-in',
    at(`${name}.csr`),
    '-CA',
    at('cacert.pem'),
    '-CAkey',
    at('cakey.pem'),
    '-CAserial',
    at(`${name}.srl`),
    '-CAcreateserial',
    ...until,
    '-extfile',
    at(`${name}.ext`),
    '-out',
    at(`${name}cert.pem`),
  ]);
}

export async function makeAuthority(directory: string, commonName: string): Promise<void> {
  makeDirectories(directory);
  const at = (file: string): string => join(directory, file);
  await run([
    'openssl',
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    DAYS,
    '-subj',
    `/CN=${commonName}`,
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign',
    '-keyout',
    at('cakey.pem'),
    '-out',
    at('cacert.pem'),
  ]);
}

/** Makes the lab's authority and keys, and gives each host its own. The hosts must have no power. */
export async function makeCredentials(lab: LabRef, hosts: readonly HostDocument[]): Promise<void> {
  const { pki, sshConfig } = credentialsOf(lab);
  const ssh = join(sshConfig, '..');
  makeDirectories(ssh);
  await makeAuthority(pki, `Ferry lab ${lab.name}`);
  const keygen = (file: string, comment: string): Promise<string> =>
    run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', file]);
  await Promise.all([
    issueCertificate(pki, { name: 'client', commonName: 'control-plane' }),
    keygen(join(ssh, 'id_ed25519'), 'control-plane'),
    ...hosts.map((host) =>
      issueCertificate(pki, {
        name: host.name,
        commonName: host.name,
        alternativeNames: `DNS:${host.name},IP:${host.address},IP:${host.address6}`,
      }),
    ),
    ...hosts.map((host) => keygen(join(ssh, `${host.name}_key`), host.name)),
  ]);
  const publicKey = (name: string): string => readFileSync(join(ssh, `${name}.pub`), 'utf8').trim();
  const knownHosts = hosts.flatMap((host) =>
    [host.name, host.address, host.address6].map((name) => `${name} ${publicKey(`${host.name}_key`)}`),
  );
  writeFileSync(join(ssh, 'known_hosts'), `${knownHosts.join('\n')}\n`);
  // the names are known on the hosts only; the machine goes by their addresses
  const aliases = hosts.map((host) => `Host ${host.name}\n  HostName ${host.address}\n`);
  writeFileSync(
    sshConfig,
    [
      ...aliases,
      `Host *\n  User root\n  IdentityFile ${join(ssh, 'id_ed25519')}\n  IdentitiesOnly yes\n  ` +
        `UserKnownHostsFile ${join(ssh, 'known_hosts')}\n  GlobalKnownHostsFile /dev/null\n  ` +
        'StrictHostKeyChecking yes\n',
    ].join('\n'),
  );
  const authorized = [publicKey('id_ed25519'), ...hosts.map((host) => publicKey(`${host.name}_key`))];
  for (const host of hosts) equip(lab, host, { pki, ssh, authorized });
}

/** Puts the host's own credentials where libvirt, QEMU, sshd and ssh look for them. */
function equip(
  lab: LabRef,
  host: HostDocument,
  { pki, ssh, authorized }: { readonly pki: string; readonly ssh: string; readonly authorized: readonly string[] },
): void {
  const { etc, root } = hostPaths(lab, host.name);
  const [certificate, key, authority] = [
    join(pki, `${host.name}cert.pem`),
    join(pki, `${host.name}key.pem`),
    join(pki, 'cacert.pem'),
  ];
  const folders = {
    ca: join(etc, 'pki', 'CA'),
    libvirt: join(etc, 'pki', 'libvirt'),
    keys: join(etc, 'pki', 'libvirt', 'private'),
    qemu: join(etc, 'pki', 'qemu'),
    ssh: join(root, '.ssh'),
    sshd: join(etc, 'ssh-lab'),
  };
  makeDirectories(...Object.values(folders));
  copyFileSync(authority, join(folders.ca, 'cacert.pem'));
  copyFileSync(authority, join(folders.qemu, 'ca-cert.pem'));
  for (const role of ['server', 'client']) {
    copyFileSync(certificate, join(folders.libvirt, `${role}cert.pem`));
    copyFileSync(key, join(folders.keys, `${role}key.pem`));
    copyFileSync(certificate, join(folders.qemu, `${role}-cert.pem`));
    copyFileSync(key, join(folders.qemu, `${role}-key.pem`));
  }
  copyFileSync(join(ssh, `${host.name}_key`), join(folders.sshd, 'host_key'));
  copyFileSync(join(ssh, `${host.name}_key`), join(folders.ssh, 'id_ed25519'));
  copyFileSync(join(ssh, 'known_hosts'), join(folders.ssh, 'known_hosts'));
  writeFileSync(join(folders.ssh, 'authorized_keys'), `${authorized.join('\n')}\n`, { mode: 0o600 });
  writeFileSync(
    join(folders.sshd, 'sshd_config'),
    [
      'Port 22',
      'HostKey /etc/ssh-lab/host_key',
      'PermitRootLogin prohibit-password',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'UsePAM no',
      'StrictModes no',
      'Subsystem sftp internal-sftp',
      'PidFile /run/sshd.pid',
      'MaxStartups 100',
      '',
    ].join('\n'),
  );
}
