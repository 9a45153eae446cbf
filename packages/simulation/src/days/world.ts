/** What the deeds of a simulated day act on. Types and nothing else; day.ts makes it. */
import type { Migration, MigrationPhase, VmUuid } from '@ferry/core';
import type { Clock, Engine } from '@ferry/engine';
import type { SimulatedHost } from '../fleet.ts';
import type { SimulatedFleet } from '../hypervisor.ts';
import type { Claims } from './claims.ts';
import type { Dice } from './dice.ts';
import type { InStore } from './life.ts';
import type { Load } from './load.ts';
import type { DayPlan } from './steps.ts';
import type { Truth } from './truth.ts';

export interface DayWorld {
  readonly plan: DayPlan;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly fleet: SimulatedFleet;
  readonly truth: Truth;
  readonly load: Load;
  readonly claims: Claims;
  readonly inStore: InStore;
  /** Ways between two hosts that carry nothing: `from>to`. */
  readonly cuts: Set<string>;
  readonly note: (text: string) => void;
  readonly look: () => void;
  /** Something keeps Ferry from seeing or acting for this time; with no time, for a moment. */
  readonly disturb: (forMs: number, begin: () => void, end: () => void | Promise<void>) => Promise<void>;
  /** That the guest runs on the target, of this VM or of any. */
  readonly loseNextWord: (vm: string | undefined) => void;
  /** The control plane ends, if it runs; the next one starts. */
  readonly kill: () => void;
  readonly start: () => Promise<void>;
  readonly isAlive: () => boolean;
  readonly engine: () => Engine | undefined;
  /** Undefined: a dead control plane never answers. */
  readonly answerOf: <T>(question: (engine: Engine) => Promise<T>) => Promise<T | undefined>;
  /** Resolves with false where no migration (of this VM) comes to this phase soon. */
  readonly comesTo: (phase: MigrationPhase, vm: string | undefined) => Promise<boolean>;
  readonly activeOf: (vm: string) => Promise<Migration | undefined>;
  readonly host: (name: string) => SimulatedHost;
  readonly uuidOf: (name: string) => VmUuid;
}
