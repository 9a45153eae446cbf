// The initial file system of guests with QEMU's guest agent: that of all guests, followed by a second archive that the
// kernel unpacks over the first. Debian's package of the agent is unpacked, never installed. Its libraries are the
// machine's own, which QEMU needs too. It is created for the first guest that needs it.

import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from './child.ts';
import { cpioArchive } from './cpio.ts';
import type { CpioEntry } from './cpio.ts';
import { LabError } from './errors.ts';
import { CACHE, ensureKernel, inNewFolder, modulesIn, unpackPackage } from './guest-image.ts';
import type { ImageOptions } from './guest-image.ts';
import { makeDirectories } from './lab.ts';

const PACKAGE = 'qemu-guest-agent';
const CHANNEL_MODULE = 'virtio_console';

/** The file's name in the folder of the guest image. */
export async function ensureAgentInitrd(image: string, options: ImageOptions): Promise<string> {
  const key = createHash('sha256')
    .update(readFileSync(import.meta.filename))
    .digest('hex')
    .slice(0, 12);
  const name = `initrd-agent-${key}`;
  if (existsSync(join(image, name))) return name;
  const agent = join(CACHE, 'agent');
  if (!existsSync(agent)) {
    options.onStep('fetching the guest agent');
    await inNewFolder(agent, options, (folder) => unpackPackage(folder, PACKAGE, options.signal));
  }
  const temporary = join(image, `${name}.${randomUUID()}.new`);
  try {
    writeFileSync(temporary, Buffer.concat([readFileSync(join(image, 'initrd')), await agentArchive(agent, options)]));
    renameSync(temporary, join(image, name));
  } finally {
    rmSync(temporary, { force: true });
  }
  return name;
}

async function agentArchive(agent: string, options: ImageOptions): Promise<Buffer> {
  const program = join(agent, 'usr', 'sbin', 'qemu-ga');
  const files: CpioEntry[] = [
    { path: 'usr/sbin/qemu-ga', content: readFileSync(program), executable: true },
    // the agent lets this program write the time that it has set to the hardware clock, and fails without it
    { path: 'sbin/hwclock', content: readFileSync('/bin/busybox'), executable: true },
    ...(await librariesOf(program, options.signal)).map((path) => ({
      path: path.slice(1),
      content: readFileSync(path),
      executable: true,
    })),
    ...(await channelModules(options)),
  ];
  const folders = new Set(['run']);
  for (const { path } of files)
    for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) folders.add(folder);
  return cpioArchive([...[...folders].sort().map((path) => ({ path })), ...files]);
}

async function librariesOf(program: string, signal: AbortSignal | undefined): Promise<readonly string[]> {
  const lines = (await run(['ldd', program], { signal })).split('\n');
  const missing = lines.find((line) => line.includes('not found'));
  if (missing !== undefined)
    throw new LabError(`QEMU's guest agent needs a library that this machine does not have: ${missing.trim()}`);
  return lines.flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? []);
}

async function channelModules(options: ImageOptions): Promise<readonly CpioEntry[]> {
  const kernel = await ensureKernel(options);
  const folder = join(CACHE, `modules.${randomUUID()}`);
  makeDirectories(folder);
  try {
    const common = (await modulesIn(folder, kernel, [], options.signal)).map(({ path }) => path);
    return (await modulesIn(folder, kernel, [CHANNEL_MODULE], options.signal)).filter(
      ({ path }) => !common.includes(path),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
