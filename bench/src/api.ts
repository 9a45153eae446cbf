// Ferry's API as the benchmarks call it: no start of a command line in what is measured.
import { waitFor } from '@ferry/lab';
import type { ControlPlane } from '../../test/control-plane.ts';

export interface Migration {
  readonly id: string;
  readonly outcome?: string;
  readonly downtimeMs?: number;
  readonly error?: { readonly message: string };
}

/** Of `GET /vms`, as far as a benchmark looks at it. */
export interface PlacedVm {
  readonly host: string;
  readonly state: string;
  readonly instances: readonly unknown[];
}

/** It runs there, and Ferry has seen that the host it came from has nothing of it any more: the next move may begin. */
export const isSettledOn = ({ host, state, instances }: PlacedVm, on: string): boolean =>
  host === on && state === 'running' && instances.length === 1;

export async function call<T>(plane: ControlPlane, method: string, path: string, body?: object): Promise<T> {
  const headers = {
    authorization: `Bearer ${plane.token()}`,
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
  };
  const response = await fetch(`${plane.url()}/api/v1${path}`, {
    method,
    headers,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as T;
}

/** The migration as it is once it has ended. */
export async function untilEnded(plane: ControlPlane, id: string, signal?: AbortSignal): Promise<Migration> {
  const response = await fetch(`${plane.url()}/api/v1/migrations/${id}/watch`, {
    headers: { authorization: `Bearer ${plane.token()}` },
    ...(signal === undefined ? {} : { signal }),
  });
  const last = (await response.text())
    .trim()
    .split('\n')
    .findLast((line) => line.startsWith('data: '));
  return JSON.parse((last ?? 'data: {}').slice('data: '.length)) as Migration;
}

/** Resolves when Ferry shows the VM as running. */
export const seenRunning = (plane: ControlPlane, vm: string): Promise<true> =>
  waitFor(
    'Ferry to see the guest',
    async () =>
      (await call<{ state: string }>(plane, 'GET', `/vms/${vm}`).catch(() => undefined))?.state === 'running' ||
      undefined,
    { timeoutMs: 20_000 },
  );

/** A migration from the request to its verified end. Throws unless it succeeded. */
export async function migrate(plane: ControlPlane, body: object): Promise<Migration> {
  const { id } = await call<Migration>(plane, 'POST', '/migrations', body);
  const ended = await untilEnded(plane, id);
  if (ended.outcome !== 'succeeded') throw new Error(`migration ${id}: ${JSON.stringify(ended)}`);
  return ended;
}
