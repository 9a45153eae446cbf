/**
 * Stands between a control plane and a host's daemon and knows frames: it can keep back the call or the answer of one
 * procedure, which is how a test gets between two steps of a migration. Source of the layout: libvirt's
 * virnetprotocol.x.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';

/** Offsets in a frame. */
const at = { procedure: 12, type: 16, serial: 20 };
const call = 0;
const reply = 1;

export interface Held {
  readonly drop: () => void;
  readonly release: () => void;
}

export interface Proxy extends AsyncDisposable {
  readonly uri: string;
  /** From now on the address leads to this host; open connections end. */
  lead(host: string): void;
  /** Those that came so far. */
  connections(): number;
  /** From now on each answer comes so much later. */
  delay(ms: number): void;
  /** The calls that were answered so far: when they came, and when their answer went. */
  readonly calls: readonly SeenCall[];
  /**
   * From now on this frame is kept back, once. Resolves when it came by; `drop` then closes both ends of its
   * connection, `release` sends it on.
   */
  hold(what: 'call' | 'answer', procedure: number): Promise<Held>;
}

export interface SeenCall {
  readonly procedure: number;
  readonly from: number;
  readonly until: number;
}

/** Cuts a stream into frames; gives what is whole. */
function frames(): (chunk: Buffer) => readonly Buffer[] {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    const whole: Buffer[] = [];
    while (rest.length >= 4 && rest.length >= rest.readUInt32BE(0)) {
      const length = rest.readUInt32BE(0);
      whole.push(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
    return whole;
  };
}

export async function proxyTo(first: string, port = 16_509): Promise<Proxy> {
  let host = first;
  let wanted:
    | {
        readonly what: 'call' | 'answer';
        readonly procedure: number;
        readonly seen: (held: Held) => void;
      }
    | undefined;
  const open = new Set<Socket>();
  let came = 0;
  let delayMs = 0;
  const calls: SeenCall[] = [];
  const server = createServer((client) => {
    came += 1;
    const daemon = connect({ host, port });
    for (const socket of [client, daemon]) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        open.delete(socket);
        client.destroy();
        daemon.destroy();
      });
    }
    const drop = (): void => {
      client.destroy();
      daemon.destroy();
    };
    const asked = new Map<number, number>();
    const deliver = (frame: Buffer, to: Socket, what: 'call' | 'answer'): void => {
      const serial = frame.readUInt32BE(at.serial);
      if (what === 'call') {
        asked.set(serial, performance.now());
        to.write(frame);
        return;
      }
      const from = asked.get(serial);
      if (frame.readUInt32BE(at.type) !== reply || from === undefined) return void to.write(frame);
      setTimeout(() => {
        calls.push({ procedure: frame.readUInt32BE(at.procedure), from, until: performance.now() });
        to.write(frame);
      }, delayMs);
    };
    const pass = (from: Socket, to: Socket, type: number, what: 'call' | 'answer'): void => {
      const cut = frames();
      from.on('data', (chunk: Buffer) => {
        for (const frame of cut(chunk)) {
          if (
            wanted?.what === what &&
            frame.readUInt32BE(at.procedure) === wanted.procedure &&
            frame.readUInt32BE(at.type) === type
          ) {
            const { seen } = wanted;
            wanted = undefined;
            seen({ drop, release: () => deliver(frame, to, what) });
          } else deliver(frame, to, what);
        }
      });
    };
    pass(client, daemon, call, 'call');
    pass(daemon, client, reply, 'answer');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    uri: `qemu+tcp://127.0.0.1:${(server.address() as AddressInfo).port}/system`,
    connections: () => came,
    delay: (ms) => {
      delayMs = ms;
    },
    calls,
    lead: (next) => {
      host = next;
      for (const socket of open) socket.destroy();
    },
    hold: (what, procedure) =>
      new Promise((resolve) => {
        wanted = { what, procedure, seen: resolve };
      }),
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
