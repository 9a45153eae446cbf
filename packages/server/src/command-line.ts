/** The options of `ferry serve`, and the report of a failed start. It starts nothing. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { errorTable, exitCodes, FerryError } from '@ferry/core';
import { defaultDataDir } from './data-folder.ts';

export const help = `Usage: ferry serve [--data-dir DIR] [--listen ADDRESS] [--port N]
                   [--pki-path DIR] [--ssh-config FILE] [--auth-file FILE]
                   [--hook-dir DIR]

Runs the control plane in the foreground until SIGINT or SIGTERM.
Running migrations go on without it; the next start takes them over.

  --data-dir DIR     folder for hosts, migrations and the token
                     (default: FERRY_DATA_DIR, else /var/lib/ferry for root,
                     else $XDG_STATE_HOME/ferry or ~/.local/state/ferry)
  --listen ADDRESS   loopback address to listen on (default: 127.0.0.1)
  --port N           port to listen on, 0 for any free one (default: 8790)
  --pki-path DIR     folder of cacert.pem, clientcert.pem and clientkey.pem for
                     qemu+tls:// hosts (default: libvirt's: ~/.pki/libvirt, or
                     /etc/pki/CA and /etc/pki/libvirt)
  --ssh-config FILE  configuration of ssh for qemu+ssh:// hosts: keys, agent,
                     known_hosts, jump hosts (default: ~/.ssh/config)
  --auth-file FILE   user names and passwords for hosts that require them
                     (SASL), in the format of libvirt's auth.conf (default:
                     libvirt's own)
  --hook-dir DIR     folder of the programs and keys that hooks may name
                     (default: /etc/ferry/hooks)
  --help             print this text

Log lines go to stderr as JSON. Exit codes: 0 stopped by a signal, 1 the start
failed, 2 wrong usage, 10 the data folder cannot be used.
`;

export interface ServeArguments {
  readonly dataDir: string;
  readonly host?: string;
  readonly port?: number;
  readonly pkiPath?: string;
  readonly sshConfig?: string;
  readonly authFile?: string;
  readonly hookDir?: string;
}

/** `help` for --help. Throws FerryError `request-invalid`. */
export const parseServeArguments = (args: readonly string[]): ServeArguments | 'help' => {
  const values = read(args);
  if (values.help === true) return 'help';
  const {
    'data-dir': dataDir,
    listen,
    port,
    'pki-path': pkiPath,
    'ssh-config': sshConfig,
    'auth-file': authFile,
    'hook-dir': hookDir,
  } = values;
  if (dataDir === '') throw usage('--data-dir needs a folder.');
  if (pkiPath !== undefined && !isThere(pkiPath)) throw usage(`--pki-path: there is no folder "${pkiPath}".`);
  if (sshConfig !== undefined && !isThere(sshConfig)) throw usage(`--ssh-config: there is no file "${sshConfig}".`);
  if (authFile !== undefined && !isThere(authFile)) throw usage(`--auth-file: there is no file "${authFile}".`);
  if (hookDir !== undefined && !isThere(hookDir)) throw usage(`--hook-dir: there is no folder "${hookDir}".`);
  if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) <= 65_535))
    throw usage(`--port must be a number from 0 to 65535, not "${port}".`);
  return {
    dataDir: defaultDataDir(dataDir === undefined ? process.env : { FERRY_DATA_DIR: dataDir }),
    ...(listen === undefined ? {} : { host: listen }),
    ...(port === undefined ? {} : { port: Number(port) }),
    ...(pkiPath === undefined ? {} : { pkiPath: resolve(pkiPath) }),
    ...(authFile === undefined ? {} : { authFile: resolve(authFile) }),
    ...(sshConfig === undefined ? {} : { sshConfig: resolve(sshConfig) }),
    ...(hookDir === undefined ? {} : { hookDir: resolve(hookDir) }),
  };
};

const isThere = (path: string): boolean => path !== '' && existsSync(path);

const read = (args: readonly string[]) => {
  try {
    return parseArgs({
      args: [...args],
      options: {
        'data-dir': { type: 'string' },
        listen: { type: 'string' },
        port: { type: 'string' },
        'pki-path': { type: 'string' },
        'ssh-config': { type: 'string' },
        'auth-file': { type: 'string' },
        'hook-dir': { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw usage(error instanceof Error ? error.message.replace(/\. To specify.*$/s, '.') : String(error));
  }
};

class UsageError extends FerryError {
  override get remedy(): string {
    return 'See "ferry serve --help".';
  }
}
const usage = (message: string): FerryError => new UsageError('request-invalid', message);

/** The two lines for stderr, and the exit code. */
export const failureOf = (error: unknown): { readonly text: string; readonly exit: number } => {
  if (error instanceof FerryError)
    return { text: `ferry: ${error.message}\n${error.remedy}\n`, exit: errorTable[error.code].exit };
  return {
    text:
      'ferry: the control plane could not start: ' +
      `${error instanceof Error ? error.message : String(error)}.\n${errorTable.internal.remedy}\n`,
    exit: exitCodes.failed,
  };
};
