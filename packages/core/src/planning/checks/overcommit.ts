import { memoryNeeded } from '../check-input.ts';
import { mib } from '../wait-reasons.ts';
import { hostCheck } from './check.ts';

/** Only where it is asked for: hosts may have been given more than they have on purpose. */
export const overcommit = hostCheck({
  name: 'overcommit',
  codes: ['target-overcommitted'],
  find({ input, target: { host, state, facts } }) {
    const needed = memoryNeeded(input);
    if (input.request.neverDegrade !== true || state !== 'connected' || needed === 0 || facts === undefined) return [];
    const there = (input.domainsOn?.(host.id) ?? []).filter(
      (each) => each.uuid !== input.vm.uuid && each.state !== 'shut-off' && each.state !== 'crashed',
    );
    const given = there.reduce((sum, { memoryBytes = 0 }) => sum + memoryBytes, 0);
    const promised = input.memoryPromised?.(host.id) ?? 0;
    if (given + promised + needed <= facts.memoryBytes) return [];
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
