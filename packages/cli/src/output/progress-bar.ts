/** One line that shows a running migration. Pure: a migration and a width in, text out. */
import type { MigrationJson } from '@ferry/api';
import { formatBytes, formatDuration, printable } from './format.ts';

const barWidth = 24;

export function progressLine(migration: MigrationJson, columns: number): string {
  const { progress, phase, vm, from, to } = migration;
  const head = `${printable(vm.name)} ${from} -> ${to ?? '?'}`;
  if (progress === undefined) return `${head}  ${phase}`.slice(0, columns - 1);
  const filled = Math.round((progress.percent / 100) * barWidth);
  const parts = [
    `${head} [${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${String(progress.percent).padStart(3)} %`,
    `${formatBytes(progress.throughputBytesPerSecond)}/s`,
    `${formatBytes(progress.remainingBytes)} left`,
    `dirty ${formatBytes(progress.dirtyBytesPerSecond)}/s`,
    ...(progress.etaMs === undefined ? [] : [`ETA ${formatDuration(progress.etaMs)}`]),
    phase,
  ];
  return parts.join('  ').slice(0, columns - 1);
}
