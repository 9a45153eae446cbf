/**
 * Life of the control plane in one process: folder, token, engine, HTTP, and all of it closed again in the reverse
 * order, also when the start fails half-way. What the engine is made of comes in as `parts`, so that tests need no
 * host.
 */
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createServer } from 'node:net';
import type { Engine, Log } from '@ferry/engine';
import { apiSocket, makeDataFolder, readOrMakeToken, removeServerNote, writeServerNote } from './data-folder.ts';
import { createHttpServer } from './http-server.ts';
import { listenError, loopbackAddress, urlOf } from './listen-address.ts';

export interface ServeOptions {
  readonly dataDir: string;
  /** A loopback address; 127.0.0.1 unless given. */
  readonly host?: string;
  /** 8790 unless given; 0 takes any free one. */
  readonly port?: number;
  readonly log: Log;
  /**
   * Aborts when the server is to be closed as soon as it has started: hosts that do not answer are waited for no
   * longer.
   */
  readonly hurry?: AbortSignal;
}

/** What is opened in the data folder. `close` releases the store; the engine is closed before. */
export interface Parts {
  openStores(dataDir: string): Promise<{ close(): Promise<void>; startEngine(hurry?: AbortSignal): Promise<Engine> }>;
}

export interface RunningServer {
  readonly url: string;
  /** Streams end, the engine stops following, the store is released. Running migrations go on without us. */
  close(): Promise<void>;
}

export const defaultPort = 8790;
export const serverVersion = '0.1.0';

/** Rejects with FerryError `listen-*` or `store-*`, with everything closed that had been opened. */
export const runControlPlane = async (parts: Parts, options: ServeOptions): Promise<RunningServer> => {
  const { dataDir, log } = options;
  const address = loopbackAddress(options.host ?? '127.0.0.1');
  const port = options.port ?? defaultPort;
  const opened: (() => Promise<void>)[] = [];
  const closeAll = async (): Promise<void> => {
    for (let close = opened.pop(); close !== undefined; close = opened.pop()) {
      try {
        await close();
      } catch (error) {
        log.error({ error }, 'closing failed');
      }
    }
  };
  try {
    await makeDataFolder(dataDir);
    const stores = await parts.openStores(dataDir);
    opened.push(() => stores.close());
    // Tried before the engine starts: a server that can not listen must not touch a host first.
    await tryPort(address, port);
    const token = await readOrMakeToken(dataDir);
    const engine = await stores.startEngine(options.hurry);
    opened.push(() => engine.close());
    const app = createHttpServer({ engine, token, version: serverVersion, log });
    opened.push(async () => app.close());
    try {
      await app.listen({ host: address, port });
    } catch (error) {
      throw listenError(error, address, port);
    }
    const bound = app.server.address();
    const url = urlOf(address, typeof bound === 'object' && bound !== null ? bound.port : port);
    const closeSocket = await listenInFolder(app.server, dataDir);
    opened.push(closeSocket);
    await writeServerNote(dataDir, { url, pid: process.pid });
    opened.push(() => removeServerNote(dataDir));
    let closed: Promise<void> | undefined;
    return { url, close: () => (closed ??= closeAll()) };
  } catch (error) {
    await closeAll();
    throw error;
  }
};

/**
 * The local command line uses a socket in the folder: only those who may write there can listen there, which a port
 * cannot prove.
 */
const listenInFolder = async (server: Server, dataDir: string): Promise<() => Promise<void>> => {
  const socket = await apiSocket(dataDir);
  // what a killed server left; the store's lock says that none runs
  await rm(socket.path, { force: true });
  const local = createServer((connection) => server.emit('connection', connection));
  try {
    local.listen(socket.path);
    await once(local, 'listening');
  } catch (error) {
    await socket.close();
    throw error;
  }
  return async () => {
    // its connections are the server's, which ends them
    local.close();
    await socket.close();
  };
};

const tryPort = async (address: string, port: number): Promise<void> => {
  const probe = createServer();
  try {
    probe.listen({ host: address, port });
    await once(probe, 'listening');
  } catch (error) {
    throw listenError(error, address, port);
  }
  probe.close();
  await once(probe, 'close');
};
