/** Somebody else was faster: what a migration was to hold is no longer there when it is stored. Pure. */
import type { TransferPlan } from '../model/plan.ts';
import type { Reserved } from '../planning/reservations.ts';
import type { MigrationEvent } from './protocol.ts';

export type Full = Extract<Reserved, { readonly kind: 'full' }>;

/**
 * What happens in place of the event that chose it: the migration waits, or has the ports that are left now. Undefined:
 * the event chooses nothing.
 */
export function notGiven(
  event: MigrationEvent,
  { reasons, on }: Pick<Full, 'reasons' | 'on'>,
  otherPorts: () => TransferPlan | undefined,
): MigrationEvent | undefined {
  switch (event.type) {
    case 'checked':
      return event.result.kind === 'chosen'
        ? { ...event, result: { ...event.result, kind: 'waits', reasons, on } }
        : undefined;
    case 'ports-chosen': {
      const transfer = otherPorts();
      return { type: 'ports-chosen', ...(transfer === undefined ? {} : { transfer }) };
    }
    default:
      return undefined;
  }
}
