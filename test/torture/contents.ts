/**
 * What a VM's disks hold, read from inside out: each disk of both definitions opened on its host as the definition
 * says, chain and all, and every byte of it read. What the definition leaves out the images themselves say, as with
 * libvirt.
 */
import { execCommand, run, type LabRef } from '@ferry/lab';
import { disksOf, type DefinedDisk } from '../definitions.ts';
import type { Domain } from '../world.ts';
import { folders, mediumKib, nbdPort, passphrase, pathOf, poolOf, type HostName, type TorturedVm } from './scenario.ts';
import { createHash } from 'node:crypto';

/** By disk, `vda (inactive)`: a hash of all bytes, or why they could not be read. */
export type Contents = ReadonlyMap<string, string>;

/** Read on the VM's first host, before anything moved; no definition is believed in it but the images. */
export async function expectedContents(lab: LabRef, vm: TorturedVm): Promise<Contents> {
  const read = await readAll(
    lab,
    vm.host,
    vm.disks.map(({ target, image }) => ({
      name: target,
      node: node(image.format, pathOf(image), image.luks === true),
    })),
  );
  const media = vm.media.map(
    ({ device, byte }) =>
      [
        device === 'cdrom' ? 'sdz' : 'fda',
        createHash('sha256')
          .update(Buffer.alloc(mediumKib * 1024, byte))
          .digest('hex')
          .slice(0, 16),
      ] as const,
  );
  return new Map([...read, ...media]);
}

export async function contentsOf(
  lab: LabRef,
  host: HostName,
  domain: Pick<Domain, 'live' | 'inactive'>,
): Promise<Contents> {
  const disks = [
    ...(domain.live === undefined ? [] : disksOf(domain.live).map((disk) => ({ disk, which: 'live' }))),
    ...disksOf(domain.inactive).map((disk) => ({ disk, which: 'inactive' })),
  ].filter(({ disk }) => disk.source !== undefined);
  return readAll(
    lab,
    host,
    disks.map(({ disk, which }) => ({ name: `${disk.target} (${which})`, node: nodeOf(disk) })),
  );
}

/** An image as QEMU is to open it; the key of an encrypted one is the secret `key`. */
const node = (format: string, filename: string, encrypted: boolean, backing?: object | null): object => ({
  driver: encrypted && format === 'raw' ? 'luks' : format,
  ...(backing === undefined ? {} : { backing }),
  ...(!encrypted
    ? {}
    : format === 'raw'
      ? { 'key-secret': 'key' }
      : { encrypt: { format: 'luks', 'key-secret': 'key' } }),
  file: { driver: 'file', filename },
});
/** What `node` names. */
const keyObject = `secret,id=key,data=${passphrase}`;

function nodeOf({ type, source = '', format, encrypted, chain }: DefinedDisk): object {
  if (type === 'network')
    return {
      driver: format,
      file: { driver: 'nbd', server: { type: 'inet', host: 'host1', port: String(nbdPort) }, export: source },
    };
  if (type === 'block') return { driver: format, file: { driver: 'host_device', filename: source } };
  return node(
    format,
    type === 'volume' ? ofPool(source) : source,
    encrypted,
    format === 'qcow2' ? backingOf(chain ?? []) : undefined,
  );
}

function backingOf([first, ...rest]: NonNullable<DefinedDisk['chain']>): object | null | undefined {
  if (first === undefined) return undefined;
  return first === 'end'
    ? null
    : node(first.format, first.source, false, first.format === 'qcow2' ? backingOf(rest) : undefined);
}

function ofPool(source: string): string {
  const at = source.indexOf('/');
  const folder = Object.entries(poolOf).find(([, pool]) => pool === source.slice(0, at))?.[0] as
    | keyof typeof folders
    | undefined;
  return `${folder === undefined ? '' : folders[folder]}/${source.slice(at + 1)}`;
}

async function readAll(
  lab: LabRef,
  host: HostName,
  disks: readonly { readonly name: string; readonly node: object }[],
): Promise<Contents> {
  if (disks.length === 0) return new Map();
  const lines = disks.map(
    ({ node: description }, index) =>
      `if qemu-img convert -U --object ${keyObject} -O raw ${quoted(`json:${JSON.stringify(description)}`)} $t 2>$t.error; ` +
      `then echo "${index} $(sha256sum <$t | cut -c1-16)"; else echo "${index} $(tr '\\n' ' ' ` +
      '<$t.error)"; fi; rm -f $t',
  );
  const text = await run(
    execCommand(lab, host, [
      'bash',
      '--norc',
      '-uc',
      ['t=$(mktemp -u /var/tmp/torture-XXXXXX)', ...lines, 'rm -f $t.error'].join('\n'),
    ]),
  );
  return new Map(
    text.split('\n').flatMap((line) => {
      const [, index, said] = /^(\d+) (.*)$/.exec(line) ?? [];
      return index === undefined || said === undefined ? [] : [[disks[Number(index)]?.name ?? '', said] as const];
    }),
  );
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
