/** The queue as people see it: who begins after whom, and what each of them waits for, in words. Pure. */
import type { HostView } from '../model/host.ts';
import type { HostId, TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import type { RoomNeeded } from '../model/plan.ts';
import type { ReasonCode } from '../model/reasons.ts';
import { type MigrationOrigin, migrationOrigins } from '../model/request.ts';
import { hostKey, type Ledger, memoryPromised, promisedTo } from '../planning/ledger.ts';
import { roomOn } from '../planning/room.ts';
import { fleetSlots, slotReasons, sourceSlots, targetWaits } from '../planning/slots.ts';
import { portsTakenReason, promisedReason } from '../planning/wait-reasons.ts';
import { inTurn, priorityOf, waitedMs } from './priority.ts';

export interface WaitsFor {
  /** `next-attempt`: a time; `turn`: nothing that others hold. */
  readonly code: ReasonCode | 'next-attempt' | 'turn';
  readonly message: string;
}

export interface QueuedMigration {
  readonly migration: Migration;
  /** 1 begins first. */
  readonly place: number;
  /** Of what it was asked for as, or of what it has aged to. */
  readonly priority: MigrationOrigin;
  readonly waitedMs: number;
  readonly waitsFor: readonly WaitsFor[];
}

export interface QueueInput {
  /** Migrations that have not ended. */
  readonly active: readonly Migration[];
  readonly ledger: Ledger;
  readonly viewOf: (id: HostId) => HostView | undefined;
}

export function queueOf({ active, ...known }: QueueInput, now: TimeMs): readonly QueuedMigration[] {
  const queued = inTurn(
    active.filter(({ phase }) => phase === 'queued'),
    now,
  );
  return queued.map((migration, index) => ({
    migration,
    place: index + 1,
    priority: migrationOrigins[priorityOf(migration, now)] ?? migration.origin,
    waitedMs: waitedMs(migration, now),
    waitsFor: waitsFor(migration, known, now),
  }));
}

function waitsFor(
  migration: Migration,
  known: Pick<QueueInput, 'ledger' | 'viewOf'>,
  now: TimeMs,
): readonly WaitsFor[] {
  const { from, request, waitsFor: hosts = [], notBefore = 0, attempts } = migration;
  const { ledger } = known;
  const short = hosts.map((needed) => shortOn(migration, needed, known));
  const held = [
    ...(request.rescue === undefined ? slotReasons(sourceSlots(ledger, from)) : []),
    ...slotReasons(fleetSlots(ledger)),
    // one host with room is enough
    ...(short.some((reasons) => reasons.length === 0) ? [] : short.flat()),
  ].map(({ code, message }) => ({ code, message }));
  if (held.length > 0) return unique(held);
  if (notBefore > now && attempts !== undefined)
    return [{ code: 'next-attempt', message: `The next attempt begins in ${Math.ceil((notBefore - now) / 1_000)} s.` }];
  return [{ code: 'turn', message: 'What it needs is free: it begins in its turn.' }];
}

/** What the host lacks for it now; empty where it has room, or is not known to have none. */
function shortOn(
  { vm }: Migration,
  { host: id, ports, memoryBytes, travels }: RoomNeeded,
  { ledger, viewOf }: Pick<QueueInput, 'ledger' | 'viewOf'>,
): readonly WaitsFor[] {
  const view = viewOf(id);
  if (view === undefined) return [];
  const { host, freeMemoryBytes } = view;
  const room = roomOn(view, ledger);
  const reserved = ledger.of(hostKey(id));
  return [
    ...targetWaits(ledger, host, travels),
    ...(room.memoryBytes < memoryBytes && freeMemoryBytes !== undefined
      ? [
          promisedReason(host.name, vm.name, {
            freeMemoryBytes,
            promised: memoryPromised(reserved),
            needed: memoryBytes,
            to: promisedTo(reserved),
          }),
        ]
      : []),
    ...(room.ports < ports ? [portsTakenReason(host.name, ports, ledger.clusterOf(id).migrationPorts)] : []),
  ];
}

/** Several hosts of one network give its reason each. */
const unique = (reasons: readonly WaitsFor[]): readonly WaitsFor[] =>
  reasons.filter(({ message }, index) => reasons.findIndex((each) => each.message === message) === index);
