/** One line that shows a running migration. Pure: a migration and a width in, text out. */
import type { MigrationJson } from '@ferry/api';
import { cutToWidth, displayWidth, formatBytes, formatDuration } from './format.ts';

const barWidths: readonly number[] = [24, 12, 0];

/** Head, bar, percent and phase always show; what else there is shows as far as the line has room for it. */
export function progressLine(migration: MigrationJson, columns: number): string {
  const { progress, phase, vm, from, to } = migration;
  const head = `${vm.name} ${from} -> ${to ?? '?'}`;
  const room = columns - 1;
  if (progress === undefined) return cutToWidth(`${head}  ${phase}`, room);
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
      const line = [
        `${head} ${bar(progress.percent, width)}${String(progress.percent).padStart(3)} %`,
        ...details.slice(0, count),
        phase,
      ].join('  ');
      if (displayWidth(line) <= room) return line;
      // a shorter bar is less of a loss than figures, until it is gone
      if (width === barWidths[0] && count === details.length) break;
    }
  }
  return cutToWidth(`${head} ${progress.percent} %  ${phase}`, room);
}

function bar(percent: number, width: number): string {
  if (width === 0) return '';
  const filled = Math.round((percent / 100) * width);
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] `;
}
