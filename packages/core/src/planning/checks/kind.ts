import type { Reason, ReasonCode } from '../../model/reasons.ts';
import type { MigrationKind, MigrationRequest } from '../../model/request.ts';
import { factsOf, kindOf, sourceOf, type VmFacts } from '../check-input.ts';
import { boundDevices, deviceText } from '../given-devices.ts';
import { tieReasons } from '../host-ties.ts';
import { namesOf } from '../wait-reasons.ts';
import { vmCheck } from './check.ts';

/** The kind of move, and what was asked for that depends on it; of a VM whose host answers. */
export const kind = vmCheck({
  name: 'kind',
  codes: [
    'kind-unfit',
    'vm-state',
    'temporary-unfit',
    'temporary-transient',
    'keep-source-transient',
    'auto-start-unfit',
    'vm-shared-folder',
    'vm-shared-memory',
    'vm-host-devices',
  ],
  find: (input) => {
    const source = sourceOf(input);
    if (source?.state !== 'connected') return [];
    const chosen = kindOf(input);
    return 'reason' in chosen
      ? [{ ...chosen.reason, host: source.host.name }]
      : wishReasons(input.vm.name, chosen.kind, input.request, factsOf(input));
  },
});

/** Wishes that do not go together with the kind of move or with the VM. */
function wishReasons(name: string, kind: MigrationKind, request: MigrationRequest, facts: VmFacts): readonly Reason[] {
  const carries = kind === 'live' || kind === 'suspended';
  const reasons: Reason[] = [];
  const refuse = (code: ReasonCode, message: string, remedy: string): void =>
    void reasons.push({ code, message, remedy });
  if (request.temporary === true && (!carries || facts.saved))
    refuse(
      'temporary-unfit',
      `${name} does not run, so it cannot move temporarily.`,
      'Start it first, or omit --temporary.',
    );
  if (request.temporary === true && !facts.persistent)
    refuse(
      'temporary-transient',
      `${name} is transient: its host keeps no definition for its return.`,
      'Define it on its host first, or omit --temporary.',
    );
  if (request.keepSource === true && !facts.persistent)
    refuse('keep-source-transient', `${name} is transient: its host keeps no definition.`, 'Omit --keep-source.');
  if (request.autoStart === true && carries && !facts.saved)
    refuse(
      'auto-start-unfit',
      `${name} is not shut off, so there is nothing to start after the move.`,
      'Omit --auto-start.',
    );
  if (carries && !facts.saved) reasons.push(...tieReasons(name, facts.needs.ties));
  const bound = boundDevices(facts.hardware);
  if (carries && bound.length > 0)
    refuse(
      'vm-host-devices',
      `${name} has ${bound.length} device(s) of its host, which cannot move with a running guest: ${namesOf(bound.map(deviceText))}.`,
      'Detach them, or shut the VM down and move it cold.',
    );
  return reasons;
}
