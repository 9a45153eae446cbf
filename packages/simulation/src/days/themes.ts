/**
 * What some days have more of than chance alone would bring: drains, cold moves, handovers, moves that are taken back.
 * A theme adds steps of its own dice, and what it adds moves nothing else of the day. Pure data.
 */
import type { MaintenanceWay } from '@ferry/core';
import type { GuestSpec } from '../fleet.ts';
import type { Dice } from './dice.ts';
import { dayMs, type DayPlan, type Step } from './steps.ts';

const mib = 1_048_576;
const downMs = [100, 3_000, 15_000, 60_000] as const;

/** The day with its theme; most have none. */
export function withTheme(day: DayPlan, cast: Dice): DayPlan {
  const roll = cast.next();
  if (roll < 0.3) return drained(day, cast);
  if (roll < 0.4) return { ...day, steps: [...day.steps, ...handovers(day, cast)] };
  if (roll < 0.55) return { ...day, steps: [...day.steps, ...coldMoves(day, cast)] };
  if (roll < 0.65) return { ...day, steps: [...day.steps, ...takenBack(day, cast)] };
  return day;
}

const times = (cast: Dice, count: number): readonly number[] =>
  Array.from({ length: count }, () => cast.between(0, dayMs - 60_000));
const nameOf = ({ name }: { readonly name: string }): string => name;

/** More VMs than may move at once, on hosts that are not large, and hosts that are taken out of service. */
function drained(day: DayPlan, cast: Dice): DayPlan {
  const hosts = day.hosts.map(nameOf);
  const more = Array.from({ length: cast.between(1, 5) }, (_, index): GuestSpec => ({
    uuid: `bbbbbbbb-0000-4000-8000-00000000000${index + 1}`,
    name: `app${index + 1}`,
    host: cast.pick(hosts),
    memory: { totalBytes: cast.between(200, 1_500) * mib, sets: [{ bytes: 20 * mib, dirtyBytesPerSecond: 10 * mib }] },
    disks: [],
  }));
  const [late, guests] = cast.chance(0.4) ? [more.slice(0, 1), more.slice(1)] : [[], more];
  const all = [...day.guests, ...more];
  const vms = all.map(nameOf);
  const ways = Object.fromEntries(
    vms.flatMap((name): readonly [string, MaintenanceWay][] =>
      cast.chance(0.2) ? [[name, cast.pick(['cold', 'shutdown', 'suspend', 'never', 'leave-running'])]] : [],
    ),
  );
  // on two of three hosts there is room for all, and little more
  const bytes = all.reduce((sum, { memory }) => sum + memory.totalBytes, 0);
  const memoryBytes = Math.max(bytes * cast.pick([0.6, 0.8, 3]), ...all.map(({ memory }) => memory.totalBytes * 2));
  const onOneHost = (host: string): number =>
    all.filter((guest) => guest.host === host).reduce((sum, { memory }) => sum + memory.totalBytes, 0);
  const roomy = Math.ceil(Math.max(memoryBytes, ...hosts.map(onOneHost)));
  const drains = times(cast, cast.between(2, 4)).flatMap((atMs): readonly Step[] => {
    const host = cast.pick(hosts);
    const other = cast.pick(hosts.filter((each) => each !== host));
    const vm = cast.pick(vms);
    const afterMs = cast.between(0, 40_000);
    const begun: Step = {
      atMs,
      do: 'drain',
      hosts: cast.chance(0.15) ? [host, other] : [host],
      ...(cast.chance(0.1) ? { deadlineMs: cast.pick([5_000, 30_000]) } : {}),
    };
    const meanwhile: readonly (() => Step)[] = [
      () => ({ atMs: atMs + afterMs, do: 'cancel-drain', host, abort: cast.chance(0.5) }),
      () => ({ atMs: atMs + afterMs, do: 'uncordon', host: cast.chance(0.5) ? host : other }),
      () => ({ atMs: atMs + afterMs, do: 'cordon', host: other }),
      () => ({ atMs: atMs + afterMs, do: 'drain', hosts: [other] }),
      () => ({ atMs: atMs + afterMs, do: 'migrate', vm, to: host, options: {} }),
      () => ({ atMs: atMs + afterMs, do: 'guest-deleted', vm }),
      () => ({ atMs: atMs + afterMs, do: 'moved-by-hand', vm, to: other }),
      () => ({ atMs, when: { phase: 'transferring' }, do: 'power-cut', host: other, forMs: 45_000 }),
      () => ({
        atMs,
        when: { phase: 'transferring' },
        do: 'kill',
        calls: cast.between(1, 30),
        after: true,
        forMs: 3_000,
      }),
      () => ({ atMs: atMs + afterMs, do: 'store-refuses', forMs: 8_000 }),
    ];
    const after: readonly Step[] = [
      { atMs: atMs + 60_000, do: cast.chance(0.5) ? 'retry-drain' : 'restore', host },
      { atMs: atMs + 90_000, do: 'uncordon', host },
    ];
    return [begun, cast.pick(meanwhile)(), cast.pick(meanwhile)(), ...after.filter(() => cast.chance(0.6))];
  });
  const made = late.map(({ name }): Step => ({ atMs: cast.between(0, dayMs), do: 'guest-made', vm: name }));
  return {
    ...day,
    hosts: day.hosts.map((host) => ({ ...host, memoryBytes: roomy })),
    guests: [...day.guests, ...guests],
    later: late,
    ways,
    limits: { outgoing: cast.between(1, 3), incoming: cast.between(1, 3) },
    steps: [...day.steps, ...drains, ...made],
  };
}

/** The target waits for the source's end, and Ferry is not there to see it. */
const handovers = (day: DayPlan, cast: Dice): readonly Step[] =>
  times(cast, 4).flatMap((atMs): readonly Step[] => {
    const vm = cast.pick(day.guests).name;
    const when = { phase: 'switching', vm } as const;
    return [
      { atMs, do: 'migrate', vm, options: { policy: 'handover' } },
      { atMs: atMs + 1, do: 'word-lost', vm },
      cast.chance(0.7)
        ? { atMs, when, do: 'kill', calls: cast.between(1, 12), after: cast.chance(0.5), forMs: cast.pick(downMs) }
        : { atMs, when, do: 'cut-off', host: cast.pick(day.hosts).name, forMs: 8_000 },
    ];
  });

/** VMs that are shut off, or are shut down by their policy, and somebody else starts one meanwhile. */
function coldMoves(day: DayPlan, cast: Dice): readonly Step[] {
  const off = day.guests.filter(({ state }) => state === 'shut-off');
  const busy = day.guests.filter(
    ({ state = 'running', memory }) => state === 'running' && memory.sets.some((set) => set.dirtyBytesPerSecond > 1e8),
  );
  const cold = times(cast, off.length === 0 ? 0 : 4).flatMap((atMs): readonly Step[] => {
    const vm = cast.pick(off).name;
    const when = { phase: cast.pick(['preparing', 'cleaning'] as const), vm };
    return [
      { atMs, do: 'migrate', vm, options: {} },
      { atMs, when, do: 'kill', calls: cast.between(1, 6), after: cast.chance(0.5), forMs: cast.pick([3_000, 15_000]) },
      { atMs, when: { ...when, afterMs: cast.pick([0, 500, 2_000]) }, do: 'guest-on', vm },
      { atMs: atMs + 40_000, do: 'guest-off', vm },
    ];
  });
  const shutDown = times(cast, busy.length === 0 ? 0 : 2).flatMap((atMs): readonly Step[] => {
    const vm = cast.pick(busy).name;
    const others = day.hosts.map(nameOf);
    return [
      { atMs, do: 'migrate', vm, options: { policy: 'vmmanager' } },
      ...others.map((host): Step => ({ atMs, when: { phase: 'transferring', vm }, do: 'cordon', host })),
      ...others.map((host): Step => ({ atMs: atMs + 150_000, do: 'uncordon', host })),
    ];
  });
  return [...cold, ...shutDown];
}

/** What was made for a move is taken back, and Ferry is not there for all of it. */
const takenBack = (day: DayPlan, cast: Dice): readonly Step[] =>
  times(cast, 4).flatMap((atMs): readonly Step[] => {
    const { name: vm, host } = cast.pick(day.guests);
    const forMs = cast.pick(downMs);
    const isSlow = cast.chance(0.4);
    if (isSlow)
      return [
        { atMs, do: 'call-meets', host, fate: 'slow', calls: 'transfer.perform' },
        { atMs: atMs + 1, do: 'migrate', vm, options: {} },
      ];
    return [
      { atMs, do: 'migrate', vm, options: {} },
      { atMs, when: { phase: 'transferring', vm, afterMs: 500 }, do: 'abort', vm },
      { atMs, when: { phase: 'cleaning', vm }, do: 'kill', calls: cast.between(1, 4), after: cast.chance(0.5), forMs },
      ...(cast.chance(0.5)
        ? [{ atMs, do: 'call-meets', host: cast.pick(day.hosts).name, fate: 'slow', calls: 'changing' } as const]
        : []),
    ];
  });
