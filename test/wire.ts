/**
 * What travels into a host, counted in its own kernel: connections for migration data, how they begin, and calls of
 * the other host's daemon.
 */
import type { Fleet } from './fleet.ts';

export interface WireCount {
  /** Connections to the ports of migration data. */
  readonly data: number;
  /** The segments that begin with a TLS handshake. */
  readonly tls: number;
  /** Connections of the source's daemon to this one's. */
  readonly daemons: number;
  /** Connections to each of the ports asked for. */
  readonly ports: readonly number[];
}

/** Counts what `work` causes between the two; `ports` are others than those of migration data. */
export async function onTheWire<T>(
  { sh }: Fleet,
  host: string,
  fromAddress: string,
  work: () => Promise<T>,
  ports: readonly number[] = [],
): Promise<{ readonly result: T; readonly wire: WireCount }> {
  const opening = 'tcp flags & (syn | ack) == syn';
  const counters = ports.map((port) => `  counter port${port} { }\n`).join('');
  const rules = ports.map((port) => `    tcp dport ${port} ${opening} counter name port${port}\n`).join('');
  // TCP's header has 32 bytes once both sides send timestamps; a TLS record with a ClientHello begins with 16 03, a
  // byte of version, two of length, 01. Two bytes alone would match encrypted data by chance, once in 65,536 segments
  await sh(
    host,
    `nft -f - <<'RULES'
table inet wire {
  counter data { }
  counter tls { }
  counter daemons { }
${counters}  chain in {
    type filter hook input priority 0;
    tcp dport 49152-49215 ${opening} counter name data
    tcp dport 49152-49215 @th,256,16 0x1603 @th,296,8 0x01 counter name tls
${rules}    ip saddr ${fromAddress} tcp dport 16509 ${opening} counter name daemons
  }
}
RULES`,
  );
  try {
    const result = await work();
    const text = await sh(host, 'nft list counters table inet wire');
    const of = (name: string): number =>
      Number(new RegExp(`counter ${name} \\{\\s*packets (\\d+)`).exec(text)?.[1] ?? Number.NaN);
    return {
      result,
      wire: { data: of('data'), tls: of('tls'), daemons: of('daemons'), ports: ports.map((port) => of(`port${port}`)) },
    };
  } finally {
    await sh(host, 'nft delete table inet wire');
  }
}
