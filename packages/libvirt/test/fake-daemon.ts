// A daemon played by a test on a real TCP port, for what needs real connections: answers are bytes chosen by the test.
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createFrameParser } from '../src/frame.ts';
import type { Frame } from '../src/frame.ts';
import { procedures as p } from '../src/procedures.ts';
import { frameBytes } from './scripted-peer.ts';

export interface Server extends AsyncDisposable {
  readonly port: number;
}

/** Listens on a free port of the loopback. */
export async function serve(onConnection: (socket: Socket) => void): Promise<Server> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

/** A daemon that answers each frame with the result of `answer`. */
export function answering(answer: (call: Frame) => Buffer | undefined): (socket: Socket) => void {
  return (socket) => {
    const parser = createFrameParser();
    socket.on('data', (chunk) => {
      parser.push(chunk, (frame) => {
        const bytes = answer(frame);
        if (bytes !== undefined) socket.write(bytes);
      });
    });
  };
}

export const ok = (call: Frame, payload?: Buffer): Buffer =>
  frameBytes({ procedure: call.procedure, serial: call.serial }, payload);

/** Opens like libvirtd; anything else is the test's. */
export function opening(answer: (call: Frame) => Buffer | undefined): (call: Frame) => Buffer | undefined {
  return (call) => {
    switch (call.procedure) {
      case p.authList.number:
        return ok(call, Buffer.from('0000000100000000', 'hex'));
      case p.connectSupportsFeature.number:
        return ok(call, Buffer.from('00000001', 'hex'));
      case p.connectOpen.number:
      case p.connectClose.number:
        return ok(call);
      default:
        return answer(call);
    }
  };
}
