/** The fleet of a seed, and what is done on its day: thrown with dice. Pure data. */
import type { GuestSpec } from '../fleet.ts';
import { dice, type Dice } from './dice.ts';
import { fates } from './life.ts';
import { dayMs, type DayPlan, type Deed, type Step } from './steps.ts';
import { withTheme } from './themes.ts';

const mib = 1_048_576;

const guestsOf = (cast: Dice, hosts: readonly string[]): readonly GuestSpec[] =>
  ['web', 'db', 'mail', 'batch'].map((name, index): GuestSpec => {
    const disk = (path: string) => ({
      target: 'vda',
      path,
      capacityBytes: 400 * mib,
      bytes: cast.between(20, 300) * mib,
      writeBytesPerSecond: cast.between(0, 4) * mib,
    });
    const busy = cast.chance(0.4);
    return {
      uuid: `aaaaaaaa-0000-4000-8000-00000000000${index + 1}`,
      name,
      host: cast.pick(hosts),
      memory: {
        totalBytes: cast.between(200, 2_000) * mib,
        sets: [{ bytes: (busy ? 180 : 20) * mib, dirtyBytesPerSecond: (busy ? 400 : 10) * mib }],
      },
      disks: cast.chance(0.2) ? [] : [disk(`${cast.chance(0.5) ? '/shared' : '/pool'}/${name}.img`)],
      state: cast.pick(['running', 'running', 'running', 'running', 'paused', 'shut-off'] as const),
    };
  });

const optionsOf = (cast: Dice): Readonly<Record<string, unknown>> => ({
  ...(cast.chance(0.2) ? { mode: 'direct' } : {}),
  ...(cast.chance(0.15) ? { keepSource: true } : {}),
  ...(cast.chance(0.2) ? { deleteSourceDisks: true } : {}),
  ...(cast.chance(0.1) ? { kind: 'suspended' } : cast.chance(0.1) ? { kind: 'cold' } : {}),
  ...(cast.chance(0.2) ? { postCopy: true } : {}),
  ...(cast.chance(0.1) ? { maxBandwidthMiBPerSecond: cast.between(20, 80) } : {}),
  ...(cast.chance(0.15) ? { policy: cast.pick(['kubevirt', 'cloudpods', 'handover', 'proxmox']) } : {}),
});

function deedOf(cast: Dice, hosts: readonly string[], vms: readonly string[]): Deed {
  const vm = cast.pick(vms);
  const host = cast.pick(hosts);
  const other = cast.pick(hosts.filter((each) => each !== host));
  const briefly = cast.pick([2_000, 8_000, 20_000, 45_000, 120_000]);
  const roll = cast.next();
  const kinds: readonly (readonly [share: number, deed: () => Deed])[] = [
    [0.42, () => ({ do: 'migrate', vm, ...(cast.chance(0.7) ? { to: host } : {}), options: optionsOf(cast) })],
    [0.05, () => ({ do: 'abort', vm })],
    [0.05, () => ({ do: 'post-copy', vm })],
    [0.02, () => ({ do: 'pause', vm })],
    [0.03, () => ({ do: 'tune', vm })],
    [0.01, () => ({ do: 'cleanup', vm })],
    [0.02, () => ({ do: cast.chance(0.5) ? 'guest-off' : 'guest-on', vm })],
    [0.01, () => ({ do: 'remove-host', host, forMs: briefly })],
    [0.03, () => ({ do: 'power-cut', host, forMs: briefly })],
    [0.05, () => ({ do: 'daemon-dies', host, forMs: briefly })],
    [0.04, () => ({ do: 'cut-off', host, forMs: briefly })],
    [0.02, () => ({ do: 'disk-full', host, forMs: briefly })],
    [0.05, () => ({ do: 'link-cut', from: host, to: other, bothWays: cast.chance(0.5), forMs: briefly })],
    [0.08, () => ({ do: 'call-meets', host, fate: cast.pick(fates), calls: cast.chance(0.8) ? 'changing' : 'any' })],
    [0.03, () => ({ do: 'word-lost' })],
    [0.03, () => ({ do: 'store-refuses', forMs: briefly })],
    [0.02, () => ({ do: 'store-loses', fate: cast.chance(0.5) ? 'lost-before' : 'lost-after' })],
    [
      0.06,
      () => ({
        do: 'kill',
        calls: cast.between(1, 60),
        after: cast.chance(0.5),
        forMs: cast.pick([100, 3_000, 15_000, 60_000]),
      }),
    ],
  ];
  let sum = 0;
  const found = kinds.find(([share]) => (sum += share) > roll) ?? kinds[0];
  if (found === undefined) throw new Error('no deed');
  return found[1]();
}

/** The fleet of this seed, and its day. */
export function planOf(seed: number): DayPlan {
  const cast = dice(seed);
  const names = ['h1', 'h2', 'h3'];
  // dice of their own: what they add moves nothing else
  const others = dice(seed ^ 0x5a45);
  const guests = guestsOf(cast, names).map((guest) => ({
    ...guest,
    ...(others.chance(0.2) ? { snapshots: ['before-upgrade', 'after-upgrade'] } : {}),
  }));
  const vms = guests.map(({ name }) => name);
  const count = cast.between(15, 45);
  const steps = Array.from({ length: count }, (): Step => ({
    ...deedOf(cast, names, vms),
    atMs: cast.between(0, dayMs),
  }));
  const day = {
    hosts: names.map((name) => ({ name, sharedFolders: ['/shared'] })),
    guests,
    mibPerSecond: cast.pick([60, 100, 300]),
    steps,
  };
  const themed = withTheme(day, dice(seed ^ 0x7e3e));
  return { ...themed, steps: themed.steps.toSorted((a, b) => a.atMs - b.atMs) };
}
