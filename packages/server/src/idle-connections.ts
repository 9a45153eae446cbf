/**
 * Keeps connections that wait without a request from using up the descriptors: beyond a limit the one that waits
 * longest is ended for the next. Those with a request, and streams, are left alone.
 */
import { readFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

const mostIdle = 256;

/** A quarter of what the process may open: the rest is for requests, hosts and files. */
export function idleLimitOf(): number {
  try {
    const [, most] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return most === undefined ? mostIdle : Math.max(1, Math.min(mostIdle, Math.floor(Number(most) / 4)));
  } catch {
    return mostIdle;
  }
}

export function limitIdle(server: Server, limit: number): void {
  /** The one that waits longest comes first. */
  const idle = new Set<Socket>();
  const open = new Set<Socket>();
  const wait = (socket: Socket): void => {
    if (!open.has(socket) || socket.destroyed) return;
    idle.delete(socket);
    idle.add(socket);
    const [oldest] = idle;
    if (idle.size > limit) oldest?.destroy();
  };
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => {
      open.delete(socket);
      idle.delete(socket);
    });
    wait(socket);
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    idle.delete(socket);
    response.once('close', () => wait(socket));
  });
}
