// Reads the disk of a guest from outside, running or not, and judges its records (disk-record.ts). It only reads;
// QEMU's image locks are not taken, so a running guest does not notice.

import { randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from './child.ts';
import { diskCopies } from './disk.ts';
import type { DiskCopy } from './disk.ts';
import { RECORD_BYTES, judge, parseBlock } from './disk-record.ts';
import type { CopyContent, DiskRecord, DiskVerdict } from './disk-record.ts';
import { LabError } from './errors.ts';
import { requireLab } from './lab.ts';
import type { LabRef } from './lab.ts';
import { requireVm } from './vm.ts';

const CHUNK_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

/**
 * What the guest's disk proves. Corruption and holes are checked twice: a running guest may write while its disk is
 * read.
 */
export async function vmCheck(lab: LabRef, name: string, signal?: AbortSignal): Promise<DiskVerdict> {
  const running = requireLab(lab);
  const vm = requireVm(lab, name);
  const copies = diskCopies(running, vm);
  if (copies.length === 0) throw new LabError(`The VM "${name}" has no disk to check; create it with --workload disk.`);
  const look = async (): Promise<DiskVerdict> =>
    judge(await Promise.all(copies.map((copy) => readCopy(copy, running.lab.directory, signal))));
  const verdict = await look();
  if (verdict.contiguous && verdict.corrupt === 0 && !verdict.duplicateWriters) return verdict;
  await sleep(200, undefined, signal === undefined ? {} : { signal });
  return await look();
}

async function readCopy(copy: DiskCopy, directory: string, signal: AbortSignal | undefined): Promise<CopyContent> {
  if (copy.format === 'raw') return { where: copy.where, ...(await readRaw(copy.path, signal)) };
  const raw = `${directory}/check-${randomUUID()}.raw`;
  try {
    await run(['qemu-img', 'convert', '--force-share', '-f', copy.format, '-O', 'raw', copy.path, raw], {
      signal,
      timeoutMs: 300_000,
    });
    return { where: copy.where, ...(await readRaw(raw, signal)) };
  } finally {
    rmSync(raw, { force: true });
  }
}

async function readRaw(
  path: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly records: readonly DiskRecord[]; readonly corrupt: number }> {
  const records: DiskRecord[] = [];
  let corrupt = 0;
  const file = await open(path, 'r');
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES);
      if (bytesRead < RECORD_BYTES) return { records, corrupt };
      if (chunk.compare(ZEROS, 0, bytesRead, 0, bytesRead) === 0) continue;
      for (let offset = 0; offset + RECORD_BYTES <= bytesRead; offset += RECORD_BYTES) {
        const block = parseBlock(chunk.subarray(offset, offset + RECORD_BYTES));
        if (block.kind === 'record') records.push(block.record);
        else if (block.kind === 'corrupt') corrupt += 1;
      }
    }
  } finally {
    await file.close();
  }
}
