/** One line that shows a running migration. Pure: a migration and a width in, text out. */
import type { MigrationJson } from '@ferry/api';
import { formatBytes, formatDuration, printable } from './format.ts';

const barWidths: readonly number[] = [24, 12, 0];

/** Head, bar, percent and phase always show; what else there is shows as far as the line has room for it. */
export function progressLine(migration: MigrationJson, columns: number): string {
  const { progress, phase, vm, from, to } = migration;
  const head = `${printable(vm.name)} ${from} -> ${to ?? '?'}`;
  const room = columns - 1;
  if (progress === undefined) return `${head}  ${phase}`.slice(0, room);
  // nothing is known of the dirty rate before the first pass is over, and nothing flows in the switch
  const details = [
    ...(progress.throughputBytesPerSecond === 0 ? [] : [`${formatBytes(progress.throughputBytesPerSecond)}/s`]),
    `${formatBytes(progress.remainingBytes)} left`,
    ...(progress.dirtyBytesPerSecond === 0 ? [] : [`dirty ${formatBytes(progress.dirtyBytesPerSecond)}/s`]),
    ...(progress.part === 'disks' ? ['disks'] : progress.iteration > 1 ? [`pass ${progress.iteration}`] : []),
    ...(progress.throttlePercent === undefined ? [] : [`slowed ${progress.throttlePercent} %`]),
    ...(progress.etaMs === undefined ? [] : [`ETA ${formatDuration(progress.etaMs)}`]),
  ];
  for (const width of barWidths) {
    for (let count = details.length; count >= Math.min(details.length, 1); count -= 1) {
      const line = [`${head} ${bar(progress.percent, width)}${String(progress.percent).padStart(3)} %`, ...details.slice(0, count), phase].join('  ');
      if (line.length <= room) return line;
      // a shorter bar is less of a loss than figures, until it is gone
      if (width === barWidths[0] && count === details.length) break;
    }
  }
  return `${head} ${progress.percent} %  ${phase}`.slice(0, room);
}

function bar(percent: number, width: number): string {
  if (width === 0) return '';
  const filled = Math.round((percent / 100) * width);
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] `;
}
