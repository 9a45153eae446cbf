/** Follows a drain or a rollout until it rests: a line for each part that has changed. Ctrl-C leaves it running. */
import type { FerryEvent } from '@ferry/api';
import type { Client } from '@ferry/api/client';
import type { ExitCode } from '@ferry/api/errors';
import type { Context } from './context.ts';
import { followEvents } from './watch-list.ts';

interface Followable {
  readonly id: string;
  readonly name: string;
  readonly attention?: string | undefined;
}

export interface Followed<T extends Followable> {
  /** As in `ferry drain watch`. */
  readonly kind: 'drain' | 'rollout';
  /** The place in the events from which they go on. */
  readonly eventsNow: (client: Client) => Promise<string>;
  readonly read: (client: Client, id: string) => Promise<T>;
  /** What the event shows; undefined: it is about another kind. */
  readonly ofEvent: (event: FerryEvent) => T | undefined;
  /** What is said of each part. */
  readonly parts: (it: T) => readonly { readonly key: string; readonly title: string; readonly says: string }[];
  readonly rests: (it: T) => boolean;
  readonly text: (it: T) => string;
  readonly exitOf: (it: T) => ExitCode;
}

export async function followObject<T extends Followable>(
  { client, output }: Context,
  start: T,
  { kind, eventsNow, read, ofEvent, parts, rests, text, exitOf }: Followed<T>,
): Promise<void> {
  const leaving = new AbortController();
  const leave = (): void => leaving.abort();
  process.once('SIGINT', leave);
  const shown = new Map<string, string>();
  let attention = '';
  const show = (it: T): void => {
    if (output.json) return output.line(it, () => '');
    for (const { key, title, says } of parts(it)) {
      if (shown.get(key) === says) continue;
      shown.set(key, says);
      output.note(`${title}: ${says}`);
    }
    if (it.attention !== undefined && it.attention !== attention) output.note(it.attention);
    attention = it.attention ?? '';
  };
  let last = start;
  show(last);
  try {
    const events = followEvents(client(), { after: await eventsNow(client()), signal: leaving.signal });
    last = await read(client(), start.id);
    show(last);
    if (!rests(last))
      for await (const { data } of events) {
        const now = data.type === 'reset' ? await read(client(), start.id) : ofEvent(data);
        if (now?.id !== start.id) continue;
        last = now;
        show(last);
        if (rests(last)) break;
      }
  } finally {
    process.off('SIGINT', leave);
  }
  if (!rests(last)) output.note(`detached: ${last.name} goes on. Watch it with "ferry ${kind} watch ${last.id}".`);
  else if (!output.json) output.result(last, (safe) => text(safe));
  process.exitCode = exitOf(last);
}

/** As it is shown for one part. */
export const stateText = ({ state, note }: { readonly state: string; readonly note?: string | undefined }): string =>
  `${state}${note === undefined ? '' : `: ${note}`}`;
