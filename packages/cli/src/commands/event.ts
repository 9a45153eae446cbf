/** `ferry event watch`: what happens in the fleet, as it happens. */
import type { Command } from 'commander';
import type { FerryEvent } from '@ferry/api';
import { contextOf } from '../context.ts';
import { formatTime } from '../output/format.ts';
import { followEvents, untilInterrupted } from '../watch-list.ts';

const eventText = (event: FerryEvent): string => {
  switch (event.type) {
    case 'migration':
      return (
        `migration ${event.migration.id} (${event.migration.name}) of ${event.migration.vm.name}: ` +
        `${event.migration.phase}${event.migration.progress === undefined ? '' : ` ${event.migration.progress.percent} %`}`
      );
    case 'migration-progress':
      return (
        `migration ${event.migration} of ${event.vm.name}: ` +
        `${event.phase}${event.progress === undefined ? '' : ` ${event.progress.percent} %`}`
      );
    case 'host':
      return `host ${event.host.name}: ${event.host.state}${event.host.service === 'schedulable' ? '' : `, ${event.host.service}`}`;
    case 'drain':
      return `drain ${event.drain.id} (${event.drain.name}): ${event.drain.phase}`;
    case 'rollout':
      return `rollout ${event.rollout.id} (${event.rollout.name}): ${event.rollout.phase}`;
    case 'host-removed':
      return `host ${event.host}: removed`;
    case 'policy':
      return `policy ${event.policy.name}: version ${event.policy.version}`;
    case 'policy-removed':
      return `policy ${event.policy}: removed`;
    case 'rule':
      return `rule ${event.rule.name}: ${event.rule.strength} ${event.rule.kind}`;
    case 'rule-removed':
      return `rule ${event.rule}: deleted`;
    case 'policy-binding':
      return event.policy === undefined
        ? `label ${event.label}: selects no policy`
        : `label ${event.label}: selects the policy ${event.policy}`;
    case 'fleet':
      return 'fleet: its settings have changed';
    case 'cluster':
      return `cluster ${event.cluster.name}: changed`;
    case 'cluster-removed':
      return `cluster ${event.cluster}: removed`;
    case 'vm':
      return `vm ${event.vm.name}: ${event.vm.state} on ${event.vm.host}`;
    case 'vm-removed':
      return `vm ${event.name}: gone`;
    case 'alarm':
      return `ALARM: ${event.message}`;
    case 'reset':
      return 'events were lost; look at everything again';
  }
};

export function eventCommands(program: Command): void {
  program
    .command('event')
    .description('events of the fleet')
    .command('watch')
    .description('print events as they happen; -o json prints one object per line')
    .option('--after <id>', 'start with the events after this id')
    .action(async ({ after }: { readonly after?: string }, command: Command) => {
      const { client, output } = contextOf(command);
      const from = after === undefined ? {} : { after };
      await untilInterrupted(async (signal) => {
        for await (const { id, data } of followEvents(client(), { ...from, signal }))
          output.line(
            id === undefined ? data : { id, ...data },
            (safe) => `${formatTime(safe.at)}  ${eventText(safe)}`,
          );
      });
    });
}
