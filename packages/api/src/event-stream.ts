/**
 * Parser of text/event-stream: bytes in, events out, for the client. It knows the fields id, event and data; comments
 * and every other field are skipped. An event larger than the cap ends the stream with an error: what sends that is
 * not our server. It keeps no "last event id" across events: an event without an id line has none.
 */
export interface RawEvent {
  readonly id?: string;
  readonly event: string;
  readonly data: string;
}

/** Characters that one event may have. */
export const maxEventLength = 4 * 1024 * 1024;

export async function* parseEvents(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<RawEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  let id: string | undefined;
  let event = 'message';
  let data: string[] = [];
  let length = 0;
  for await (const chunk of bytes) {
    rest += decoder.decode(chunk, { stream: true });
    // A CR at the very end may be the first half of CR LF: it stays until more comes.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      length += line.length;
      if (line === '') {
        if (data.length > 0) yield { ...(id === undefined ? {} : { id }), event, data: data.join('\n') };
        id = undefined;
        event = 'message';
        data = [];
        length = 0;
        continue;
      }
      const colon = line.indexOf(':');
      const field = colon === -1 ? line : line.slice(0, colon);
      const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (field === 'id') id = value;
      else if (field === 'event') event = value;
      else if (field === 'data') data.push(value);
    }
    if (length + rest.length > maxEventLength) throw new Error('an event of the stream is larger than 4 MiB');
  }
}
