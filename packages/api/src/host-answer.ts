/** What the checks say of one host, as JSON: the same from the control plane and of a plan on a file. */
import type { HostAnswer } from '@ferry/core';
import type { PlannedMigrationJson } from './schemas/migration.ts';

export const hostAnswerJson = ({
  host,
  verdict,
  findings,
  passed,
  notAsked,
  weighs,
}: HostAnswer): PlannedMigrationJson['hosts'][number] => ({
  host: host.name,
  verdict,
  findings: findings.map(({ code, verdict: says, message, remedy }) => ({ code, verdict: says, message, remedy })),
  passed: [...passed],
  notAsked: [...notAsked],
  ...(weighs === undefined ? {} : { weighs: { ...weighs } }),
});
