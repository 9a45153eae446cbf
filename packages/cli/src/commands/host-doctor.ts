/** `ferry host doctor`: what is to be mended on hosts, between them and within their clusters. */
import type { Command } from 'commander';
import type { DoctorJson } from '@ferry/api';
import { exitCodes } from '@ferry/api/errors';
import { contextOf } from '../context.ts';
import { table } from '../output/table.ts';

const words = { mend: 'mend', note: 'note', unknown: 'not known' } as const;
const order: readonly (keyof typeof words)[] = ['mend', 'unknown', 'note'];

const whereOf = ({ host, to, cluster }: DoctorJson['findings'][number]): string =>
  host === undefined ? `cluster ${cluster ?? ''}` : to === undefined ? host : `${host} to ${to}`;

const doctorText = ({ hosts, findings }: DoctorJson): string => {
  const examined = `${hosts.length} host${hosts.length === 1 ? '' : 's'} examined`;
  if (findings.length === 0) return `${examined}, nothing found.`;
  const rows = order.flatMap((verdict) =>
    findings
      .filter((each) => each.verdict === verdict)
      .map((each) => [words[verdict], whereOf(each), each.code, `${each.message} (${each.remedy})`]),
  );
  const mend = findings.filter(({ verdict }) => verdict === 'mend').length;
  return `${table(['verdict', 'where', 'code', 'what'], rows)}\n\n${examined}, ${mend} to mend.`;
};

export function hostDoctorCommand(host: Command): void {
  host
    .command('doctor [hosts...]')
    .description('show what is wrong with hosts, between them and within their clusters (default: all hosts)')
    .action(async (hosts: readonly string[], _: object, command: Command) => {
      const { client, output } = contextOf(command);
      const found = await client().call('hostDoctor', { body: hosts.length === 0 ? {} : { hosts: [...hosts] } });
      output.result(found, (safe) => doctorText(safe));
      if (found.findings.some(({ verdict }) => verdict === 'mend')) process.exitCode = exitCodes.failed;
    });
}
