import type { HostView } from '../../model/host.ts';
import { type CheckInput, memoryNeeded } from '../check-input.ts';
import { mib } from '../wait-reasons.ts';
import { hostCheck } from './check.ts';

/** That its guests, but for this one, were given. One that is on its way there has it by its migration. */
const memoryGiven = ({ vm, domainsOn, promisedTo }: CheckInput, { host }: HostView): number =>
  (domainsOn?.(host.id) ?? [])
    .filter(({ uuid, state }) => uuid !== vm.uuid && state !== 'shut-off' && state !== 'crashed')
    .filter(({ name }) => promisedTo?.(host.id).includes(name) !== true)
    .reduce((sum, { memoryBytes = 0 }) => sum + memoryBytes, 0);

const promisedOn = ({ memoryPromised }: CheckInput, { host }: HostView): number => memoryPromised?.(host.id) ?? 0;

/** What the host has beyond what its guests were given and migrations were promised; undefined where it does not say. */
export const memoryNotGiven = (input: CheckInput, target: HostView): number | undefined =>
  target.facts === undefined
    ? undefined
    : target.facts.memoryBytes - memoryGiven(input, target) - promisedOn(input, target);

/** Only where it is asked for: hosts may have been given more than they have on purpose. */
export const overcommit = hostCheck({
  name: 'overcommit',
  codes: ['target-overcommitted'],
  find({ input, target }) {
    const { host, state, facts } = target;
    const needed = memoryNeeded(input);
    if (input.request.neverDegrade !== true || state !== 'connected' || needed === 0 || facts === undefined) return [];
    if ((memoryNotGiven(input, target) ?? 0) >= needed) return [];
    const [given, promised] = [memoryGiven(input, target), promisedOn(input, target)];
    return [
      {
        code: 'target-overcommitted',
        host: host.name,
        message:
          `${host.name} has ${mib(facts.memoryBytes)} MiB, of which its guests were given ${mib(given)} MiB and ` +
          `${mib(promised)} MiB are promised; with ${mib(needed)} MiB for ${input.vm.name} they would share it.`,
        remedy: 'Free memory there, or leave out --never-degrade.',
      },
    ];
  },
});
