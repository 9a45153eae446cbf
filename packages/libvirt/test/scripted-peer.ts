// The other end of a connection, played by a test: a Transport in memory whose sent frames are parsed and kept, and
// which delivers exactly the bytes the test wants, in the chunks the test wants.
import { createFrameParser, beginFrame, endFrame, FrameStatus, FrameType, Program } from '../src/frame.ts';
import type { Frame, FrameHeader } from '../src/frame.ts';
import type { Procedure } from '../src/procedure.ts';
import type { Transport } from '../src/transport.ts';
import { errorPayload } from '../src/wire-types.ts';
import type { LibvirtErrorFields } from '../src/errors.ts';
import { encode } from '../src/xdr.ts';
import { XdrWriter } from '../src/xdr-bytes.ts';

export interface ScriptedPeer {
  readonly transport: Transport;
  /** What the connection has sent. */
  readonly sent: readonly Frame[];
  readonly sends: number;
  /** Items delivered that the connection has not taken yet. */
  readonly unread: number;
  readonly closed: boolean;
  /** It takes nothing of what is sent from now on; false: it takes all of it. */
  jam(jammed: boolean): void;
  deliver(bytes: Uint8Array): void;
  reply<A, R>(call: Frame | undefined, procedure: Procedure<A, R>, result: R): void;
  refuse(call: Frame | undefined, fields: LibvirtErrorFields): void;
  end(): void;
  break(error: Error): void;
}

export function frameBytes(header: Partial<FrameHeader>, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const writer = new XdrWriter();
  const start = beginFrame(writer, {
    program: Program.REMOTE,
    version: 1,
    procedure: 0,
    type: FrameType.REPLY,
    serial: 0,
    status: FrameStatus.OK,
    ...header,
  });
  writer.raw(payload);
  endFrame(writer, start);
  return writer.take();
}

export function replyBytes<A, R>(serial: number, procedure: Procedure<A, R>, result: R): Buffer {
  return frameBytes({ program: procedure.program, procedure: procedure.number, serial }, encode(procedure.ret, result));
}

export function createScriptedPeer(): ScriptedPeer {
  const incoming: (Uint8Array | Error | 'end')[] = [];
  const sent: Frame[] = [];
  const parser = createFrameParser();
  let sends = 0;
  let closed = false;
  let jammed = false;
  let drained: (() => void)[] = [];
  const relieve = (): void => {
    for (const each of drained) each();
    drained = [];
  };
  let wake: (() => void) | undefined;
  const add = (item: Uint8Array | Error | 'end'): void => {
    incoming.push(item);
    wake?.();
  };
  async function* read(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const item = incoming.shift();
      if (closed || item === 'end') return;
      if (item instanceof Error) throw item;
      if (item === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      } else {
        yield item;
      }
    }
  }
  const known = (call: Frame | undefined): Frame => {
    if (call === undefined) throw new Error('there is no such call to answer');
    return call;
  };
  return {
    transport: {
      [Symbol.asyncIterator]: read,
      send: (bytes) => {
        sends += 1;
        parser.push(Buffer.from(bytes), (frame) => sent.push(frame));
      },
      get congested() {
        return jammed && !closed;
      },
      drained: () =>
        jammed && !closed
          ? new Promise<void>((resolve) => {
              drained.push(resolve);
            })
          : Promise.resolve(),
      close: () => {
        closed = true;
        relieve();
        wake?.();
      },
    },
    sent,
    get unread() {
      return incoming.length;
    },
    get sends() {
      return sends;
    },
    get closed() {
      return closed;
    },
    jam: (now) => {
      jammed = now;
      if (!now) relieve();
    },
    deliver: add,
    reply: (call, procedure, result) => add(replyBytes(known(call).serial, procedure, result)),
    refuse: (call, fields) => {
      const { serial, procedure } = known(call);
      add(frameBytes({ serial, procedure, status: FrameStatus.ERROR }, encode(errorPayload, fields)));
    },
    end: () => add('end'),
    break: add,
  };
}

/** Waits until `condition` holds; fails with its text otherwise. */
export async function until(what: string, condition: () => boolean, timeoutMs = 5000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`this did not come about within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}
