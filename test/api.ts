/**
 * The control plane's API as a program uses it, for what must happen at one moment: a command line takes too long to
 * start for that.
 */
import type { MigrationJson } from './answers.ts';
import type { ControlPlane } from './control-plane.ts';

interface Answer {
  readonly status: number;
  readonly body: { readonly code?: string; readonly id?: string; readonly detail?: string };
}

const authorized = (plane: ControlPlane) => ({
  authorization: `Bearer ${plane.token()}`,
  'content-type': 'application/json',
});

/** Below /api/v1. */
export async function post(
  plane: ControlPlane,
  path: string,
  body: object = {},
  headers: object = {},
): Promise<Answer> {
  const answer = await fetch(`${plane.url()}/api/v1/${path}`, {
    method: 'POST',
    headers: { ...authorized(plane), ...headers },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: (await answer.json()) as Answer['body'] };
}

/** Below /api/v1; undefined where there is no such thing, or several. */
export async function read<T>(plane: ControlPlane, path: string): Promise<T | undefined> {
  const answer = await fetch(`${plane.url()}/api/v1/${path}`, { headers: authorized(plane) });
  return answer.ok ? ((await answer.json()) as T) : undefined;
}

/** Calls `seen` with each change of a migration. Resolves once no later migration can be missed. */
export async function watchMigrations(
  plane: ControlPlane,
  seen: (migration: MigrationJson) => void,
): Promise<Disposable> {
  const over = new AbortController();
  const { body } = await fetch(`${plane.url()}/api/v1/events`, { headers: authorized(plane), signal: over.signal });
  const read = async (): Promise<void> => {
    let rest = '';
    for await (const text of (body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines.filter((each) => each.startsWith('data: '))) {
        const event = JSON.parse(line.slice('data: '.length)) as {
          readonly type: string;
          readonly migration: MigrationJson;
        };
        if (event.type === 'migration') seen(event.migration);
      }
    }
  };
  // ends with an error when the control plane is killed, or by our own signal
  read().catch(() => undefined);
  return { [Symbol.dispose]: () => over.abort() };
}
