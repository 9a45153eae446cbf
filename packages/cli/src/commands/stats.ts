/** `ferry stats ...`: how well Ferry knows what it does. */
import type { Command } from 'commander';
import type { PredictionStatsJson } from '@ferry/api';
import { contextOf } from '../context.ts';
import { formatDuration } from '../output/format.ts';
import { table } from '../output/table.ts';

type FigureError = PredictionStatsJson['totalMs'];

const percent = (share: number | undefined): string | undefined =>
  share === undefined ? undefined : `${Math.round(share * 100)} %`;

const row = (name: string, error: FigureError): readonly (string | number | undefined)[] => [
  name,
  error.count,
  error.medianErrorMs === undefined ? undefined : formatDuration(error.medianErrorMs),
  percent(error.medianErrorShare),
  percent(error.withinShare),
];

export function statsCommands(program: Command): void {
  const stats = program.command('stats').description('figures over all migrations');
  stats
    .command('prediction')
    .description('compare predictions with what finished migrations took')
    .action(async (_: object, command: Command) => {
      const { client, output } = contextOf(command);
      const shown = await client().call('statsPrediction', {});
      output.result(shown, (safe) =>
        safe.totalMs.count === 0
          ? 'No finished migration was predicted yet: plan one with "ferry vm plan VM" before you start it.'
          : table(
              ['predicted', 'migrations', 'median error', 'of the measured', 'within the interval'],
              [row('total time', safe.totalMs), row('downtime', safe.downtimeMs)],
            ),
      );
    });
}
