/** Why a move has to wait for others, in words: what they have now, and will give back. Pure. */
import type { Cluster } from '../model/host.ts';
import type { Reason } from '../model/reasons.ts';

export const mib = (bytes: number): number => Math.floor(bytes / 1_048_576);

/** `to`: names of the VMs to which it is promised, where they are known. */
export const promisedReason = (
  host: string,
  vm: string,
  memory: {
    readonly freeMemoryBytes: number;
    readonly promised: number;
    readonly needed: number;
    readonly to?: readonly string[];
  },
): Reason => {
  const to = memory.to === undefined ? 'incoming migrations' : namesOf(memory.to);
  const promised = memory.promised === 0 ? '' : `, of which ${mib(memory.promised)} MiB are promised to ${to}`;
  return {
    code: 'target-memory-promised',
    host,
    message: `${host} has ${mib(memory.freeMemoryBytes)} MiB free${promised}, and ${vm} needs ${mib(memory.needed)} MiB.`,
    remedy: 'Ferry tries again when one of them has ended.',
  };
};

export const portsTakenReason = (host: string, needed: number, range: Cluster['migrationPorts']): Reason => ({
  code: 'migration-ports',
  host,
  message:
    `This move needs ${needed === 1 ? 'a port' : `${needed} ports`} of ${host} from ` +
    `${range?.first ?? 0} to ${range?.last ?? 0}, and other migrations have ` +
    `${range === undefined || range.last === range.first ? 'it' : 'them'} or come first.`,
  remedy: 'It begins when one of them has ended. A wider range allows more at once.',
});

const shownNames = 3;

/** a, b, c and 5 more. */
export const namesOf = (names: readonly string[]): string => {
  const shown = names.length > shownNames + 1 ? names.slice(0, shownNames) : names;
  const all = names.length > shown.length ? [...shown, `${names.length - shown.length} more`] : shown;
  return all.length < 2 ? all.join('') : `${all.slice(0, -1).join(', ')} and ${all.at(-1) ?? ''}`;
};
