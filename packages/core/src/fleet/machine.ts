/**
 * Which machine a host is. The machine that answers is compared with the one that was added, so an address that leads
 * elsewhere (swapped, a proxy, a reinstalled machine) never makes one machine look like two. A clone has its original's
 * UUID; it is recognised by another name together with other network cards. Pure.
 */
import type { Host, HostFacts, HostView } from '../model/host.ts';
import type { Reason, ReasonCode } from '../model/reasons.ts';

type Identity = Pick<HostFacts, 'machineUuid' | 'hostname' | 'cards'>;

/**
 * Why what answers at the address of `host` is not that host; undefined when it is. `others`: hosts of the fleet.
 * `before`: what the host itself reported last.
 */
export function otherMachine(
  host: Host,
  answers: Identity,
  others: readonly Host[],
  before?: Identity,
): string | undefined {
  const { machineUuid, hostname } = answers;
  if (machineUuid === host.machineUuid)
    return isClone(before, answers)
      ? `${host.uri} points to a machine with the UUID of ${host.name} (${machineUuid}) that calls itself ${hostname}, not ` +
          `${before?.hostname ?? ''}, and has none of its network cards: a clone of it, most likely.`
      : undefined;
  const known = others.find((each) => each.id !== host.id && each.machineUuid === machineUuid);
  const found =
    known === undefined
      ? `a machine that calls itself ${hostname} and has the UUID ${machineUuid}`
      : `${known.name} (machine UUID ${machineUuid}, added as ${known.uri})`;
  return `${host.uri} points to ${found}, not to the machine that was added as ${host.name} (machine UUID ${host.machineUuid}).`;
}

/** A machine that gets another name keeps its cards, and one that gets other cards its name. */
function isClone(before: Identity | undefined, { hostname, cards = [] }: Identity): boolean {
  const had = before?.cards ?? [];
  return (
    before !== undefined &&
    before.hostname !== hostname &&
    had.length > 0 &&
    cards.length > 0 &&
    !cards.some((card) => had.includes(card))
  );
}

/**
 * A new UUID comes with a new installation, and, where nothing gives the machine one, with each start of its daemon.
 */
export const otherMachineRemedy = ({ name, uri }: Host): string =>
  `Point the address to ${name}. If ${name} was reinstalled or its UUID has changed: ferry ` +
  `host remove ${name}, then ferry host add ${uri} --name ${name}. If its UUID changes at each start of ` +
  'its daemon, or a clone has the same one, set host_uuid in libvirtd.conf there first.';

/** Why nothing can be done on a host that is not connected, in a sentence. */
export const notConnected = ({ host, state, stateDetail }: Pick<HostView, 'host' | 'state' | 'stateDetail'>): string =>
  state === 'other-machine'
    ? (stateDetail ?? `${host.uri} does not point to ${host.name}.`)
    : `${host.name} does not answer${stateDetail ? `: ${stateDetail}` : '.'}`;

/** The same as a ground on which a move is refused; `remedy`: for a host that does not answer. */
export const notConnectedReason = (view: HostView, code: ReasonCode, remedy: string): Reason =>
  view.state === 'other-machine'
    ? {
        code: 'host-other-machine',
        host: view.host.name,
        message: notConnected(view),
        remedy: otherMachineRemedy(view.host),
      }
    : { code, host: view.host.name, message: notConnected(view), remedy };

/**
 * What is said of a machine UUID that a host of the fleet has already: it may be that machine, or one that was cloned
 * from it.
 */
export const machineTaken = (
  uri: string,
  { machineUuid, hostname }: Pick<HostFacts, 'machineUuid' | 'hostname'>,
  known: Host,
): string =>
  `${uri} points to a machine that calls itself ${hostname} and has the UUID ${machineUuid}, which is ` +
  `that of ${known.name} (added as ${known.uri}).`;
