// Which processes of this machine belong to a lab, read from /proc. A PID alone is never trusted: PIDs are reused, so a
// process is known by PID and start time, or by a marker in its environment that only the lab's own processes carry. It
// finds and kills by PID only; it never goes by a program's name.

import { readFileSync, readdirSync } from 'node:fs';
import { waitFor } from './wait.ts';

export type ProcessIdentity = { readonly pid: number; readonly startTicks: string };

/** Carried by the lab's processes; its value is the state directory of the lab. */
export const MARKER = 'FERRY_LAB_PROCESS';

/** Undefined when there is no such process, or when it is a zombie and thus cannot do anything any more. */
export function identify(pid: number): ProcessIdentity | undefined {
  const fields = statFields(pid);
  const state = fields?.[0];
  const startTicks = fields?.[19];
  if (startTicks === undefined || state === 'Z' || state === 'X') return undefined;
  return { pid, startTicks };
}

export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTicks === process.startTicks;
}

/**
 * All processes that carry the lab's marker. Guests do not (libvirt cleans their environment): they end with their
 * host.
 */
export function markedProcesses(stateDirectory: string): readonly ProcessIdentity[] {
  const found: ProcessIdentity[] = [];
  const wanted = `${MARKER}=${stateDirectory}`;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const environment = readText(`/proc/${entry}/environ`);
    if (environment === undefined || !environment.split('\0').includes(wanted)) continue;
    const identity = identify(Number(entry));
    if (identity !== undefined) found.push(identity);
  }
  return found;
}

/**
 * The process, its children, theirs and so on, as they are now. A command in a host is among them, whatever PID it
 * has there.
 */
export function withDescendants(pid: number): readonly ProcessIdentity[] {
  const parents = new Map(
    readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry))
      .map((entry) => [Number(entry), Number(statFields(Number(entry))?.[1])]),
  );
  const found = [pid];
  for (const each of found) for (const [child, parent] of parents) if (parent === each) found.push(child);
  return found.flatMap((each) => identify(each) ?? []);
}

/** Kills exactly these processes and waits until they are gone. */
export async function killAndWait(processes: readonly ProcessIdentity[], signal?: AbortSignal): Promise<void> {
  for (const target of processes) {
    if (!isAlive(target)) continue;
    try {
      process.kill(target.pid, 'SIGKILL');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
  await waitFor(
    `The end of the processes ${processes.map((each) => each.pid).join(', ')}`,
    () => (processes.some((each) => isAlive(each)) ? undefined : true),
    { timeoutMs: 30_000, intervalMs: 10, signal },
  );
}

function statFields(pid: number): readonly string[] | undefined {
  const text = readText(`/proc/${pid}/stat`);
  // the program's name may hold spaces and parentheses; what follows the last one does not
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
