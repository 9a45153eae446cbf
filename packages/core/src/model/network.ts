/**
 * IP addresses and networks as text, without asking anybody: which is which, and whether one is in the other.
 */

interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

function parse(text: string): Address | undefined {
  if (text.includes(':')) return parse6(text);
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return { bits: 32, value: parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n) };
}

/** RFC 4291, 2.2, without a zone and without an IPv4 address at the end. */
function parse6(text: string): Address | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [front = [], back = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - front.length - back.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...front, ...Array.from({ length: missing }, () => '0'), ...back];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return { bits: 128, value: groups.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n) };
}

export const isAddress = (text: string): boolean => parse(text) !== undefined;

interface Network extends Address {
  readonly prefix: number;
}

function parseNetwork(text: string): Network | undefined {
  const [, address = '', prefixText = ''] = /^([^/]*)\/(\d{1,3})$/.exec(text) ?? [];
  const base = parse(address);
  const prefix = Number(prefixText);
  return base === undefined || prefix > base.bits ? undefined : { ...base, prefix };
}

/** Whether the text is a network as in 10.1.0.0/16 or fd00::/64. */
export const isNetwork = (text: string): boolean => parseNetwork(text) !== undefined;

/** False also for what is no address or no network. */
export function isInNetwork(address: string, network: string): boolean {
  const [one, of] = [parse(address), parseNetwork(network)];
  if (one === undefined || of === undefined || one.bits !== of.bits) return false;
  const host = BigInt(of.bits - of.prefix);
  return one.value >> host === of.value >> host;
}
