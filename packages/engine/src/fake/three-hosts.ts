/** For tests: an engine over three simulated hosts h1, h2 and h3, in virtual time. */
import { startEngine } from '../engine.ts';
import type { Engine } from '../facade.ts';
import { countingClock, fakeFleet, silentLog, uriOf, type FakeFleet } from './fleet.ts';
import { fakeHooks, type FakeHooks } from './hooks.ts';
import { memoryStores } from './stores.ts';

export interface ThreeHosts {
  readonly clock: ReturnType<typeof countingClock>;
  readonly fleet: FakeFleet;
  readonly stores: ReturnType<typeof memoryStores>;
  readonly hooks: FakeHooks;
  readonly engine: Engine;
}

const patienceMs = 10_000;

export const engineOver = ({
  clock,
  fleet,
  stores,
  hooks = fakeHooks(),
}: Omit<ThreeHosts, 'engine' | 'hooks'> & Partial<Pick<ThreeHosts, 'hooks'>>): Promise<Engine> =>
  startEngine({ hypervisor: fleet.hypervisor, stores, clock, log: silentLog, hooks });

export async function threeHosts(stores: ThreeHosts['stores'] = memoryStores()): Promise<ThreeHosts> {
  const clock = countingClock();
  const over = { clock, fleet: fakeFleet(clock), stores, hooks: fakeHooks() };
  const engine = await engineOver(over);
  for (const name of ['h1', 'h2', 'h3']) {
    over.fleet.add(name);
    await engine.addHost({ uri: uriOf(name), name }, clock.timeout(patienceMs));
  }
  return { ...over, engine };
}
