import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createScriptedPeer, frameBytes, replyBytes, until } from '../test/scripted-peer.ts';
import type { ScriptedPeer } from '../test/scripted-peer.ts';
import { createConnection } from './connection.ts';
import { ConnectionLostError, LibvirtError } from './errors.ts';
import { openEventFeed } from './event-feed.ts';
import type { EventFeed } from './event-feed.ts';
import { eventKinds } from './events.ts';
import type { DomainEvent, EventGap } from './events.ts';
import { FrameType } from './frame.ts';
import { procedures as p } from './procedures.ts';
import { domain } from './wire-types.ts';
import { decode, encode, i32, optional, struct } from './xdr.ts';

const dom = { name: 'guest', uuid: '6695eb01-f6a4-8304-79aa-97f2502e193f', id: 1 };
const lifecycle = (callbackId: number, event: number): Buffer =>
  frameBytes(
    { type: FrameType.MESSAGE, serial: 1, procedure: 318 },
    encode(struct({ callbackId: i32, domain, event: i32, detail: i32 }), { callbackId, domain: dom, event, detail: 0 }),
  );
const noSuchEvent = {
  code: 1,
  domain: 7,
  level: 2,
  message: 'unsupported event ID',
  str1: undefined,
  str2: undefined,
  str3: undefined,
  int1: 0,
  int2: 0,
};
const register = p.connectDomainEventCallbackRegisterAny;

/** Answers every registration with 100 + its event id, but for those that `unlike` takes care of. */
async function answerAll(
  peer: ScriptedPeer,
  unlike: (eventId: number, index: number) => boolean = () => false,
): Promise<void> {
  for (let index = 0; index < eventKinds.length; index++) {
    await until(`registration ${index}`, () => peer.sent.length > index);
    const call = peer.sent[index];
    const { eventId } = decode(struct({ eventId: i32, dom: optional(domain) }), call?.payload ?? Buffer.alloc(0));
    if (!unlike(eventId, index)) peer.reply(call, register, { callbackId: 100 + eventId });
  }
}

function open(peer: ScriptedPeer): Promise<EventFeed> {
  return openEventFeed(
    (onMessage) => Promise.resolve(createConnection(peer.transport, { label: 'the peer', onMessage })),
    {},
  );
}

async function take(events: AsyncIterable<DomainEvent | EventGap>, count: number): Promise<(DomainEvent | EventGap)[]> {
  const taken: (DomainEvent | EventGap)[] = [];
  for await (const event of events) {
    taken.push(event);
    if (taken.length === count) break;
  }
  return taken;
}

test('an event before the answer to its registration, in one chunk with it, breaks nothing', async () => {
  const peer = createScriptedPeer();
  const opening = open(peer);
  await answerAll(peer, (eventId, index) => {
    if (eventId !== 0) return false;
    peer.deliver(
      Buffer.concat([
        lifecycle(100, 3),
        replyBytes(peer.sent[index]?.serial ?? 0, register, { callbackId: 100 }),
        lifecycle(100, 4),
      ]),
    );
    return true;
  });
  const feed = await opening;
  const events = feed.subscribe({ queueLimit: 10, signal: undefined });
  peer.deliver(Buffer.concat([frameBytes({ type: FrameType.MESSAGE, serial: 1, procedure: 171 }), lifecycle(100, 5)]));
  assert.deepEqual(
    await take(events, 1),
    [{ type: 'lifecycle', domain: dom, event: 5, detail: 0 }],
    'unknown messages are ignored',
  );
  peer.end();
});

test('kinds that an old daemon does not know are left out; without life cycles nothing works', async () => {
  const peer = createScriptedPeer();
  const opening = open(peer);
  await answerAll(peer, (eventId, index) => {
    if (eventId === 0) return false;
    peer.refuse(peer.sent[index], noSuchEvent);
    return true;
  });
  const feed = await opening;
  const events = feed.subscribe({ queueLimit: 10, signal: undefined });
  peer.deliver(lifecycle(100, 2));
  assert.equal((await take(events, 1)).length, 1);
  peer.end();

  const other = createScriptedPeer();
  const refused = assert.rejects(open(other), LibvirtError);
  await until('the registrations', () => other.sent.length > 0);
  other.refuse(other.sent[0], noSuchEvent); // the first is that of life cycles
  await refused;
  assert.ok(other.closed);
});

test('every subscriber sees all, a slow one a gap, a left one nothing', async () => {
  const peer = createScriptedPeer();
  const opening = open(peer);
  await answerAll(peer);
  const feed = await opening;
  const quick = feed.subscribe({ queueLimit: 10, signal: undefined });
  const slow = feed.subscribe({ queueLimit: 2, signal: undefined });
  const stop = new AbortController();
  const stopped = feed.subscribe({ queueLimit: 10, signal: stop.signal });
  stop.abort();
  for (let event = 0; event < 5; event++) peer.deliver(lifecycle(100, event));
  assert.deepEqual(
    (await take(quick, 5)).map((event) => ('event' in event ? event.event : event.type)),
    [0, 1, 2, 3, 4],
  );
  assert.deepEqual(
    (await take(slow, 3)).map((event) => ('event' in event ? event.event : event)),
    [0, 1, { type: 'gap', dropped: 3 }],
  );
  assert.deepEqual(await Array.fromAsync(stopped), []);
  peer.end();
});

test('a lost connection is an error to those who listen, not an end', async () => {
  const peer = createScriptedPeer();
  const opening = open(peer);
  await answerAll(peer);
  const feed = await opening;
  const events = feed.subscribe({ queueLimit: 10, signal: undefined });
  peer.deliver(lifecycle(100, 5));
  peer.end();
  const items = events[Symbol.asyncIterator]();
  assert.equal((await items.next()).done, false);
  await assert.rejects(items.next(), ConnectionLostError);
  const late = feed.subscribe({ queueLimit: 10, signal: undefined });
  await assert.rejects(Array.fromAsync(late), ConnectionLostError, 'nor does a late one wait for ever');
});

test('an event that cannot be read ends the connection', async () => {
  const peer = createScriptedPeer();
  const opening = open(peer);
  await answerAll(peer);
  const feed = await opening;
  peer.deliver(frameBytes({ type: FrameType.MESSAGE, serial: 1, procedure: 318 }, Buffer.alloc(8)));
  const reason = await feed.connection.closed;
  assert.ok(reason instanceof ConnectionLostError && reason.reason === 'protocol-error');
});
