/** A prediction for people: its intervals, and beside them what came. */
import type { PredictionJson } from '@ferry/api';
import { formatDuration } from './format.ts';

type Figure = 'totalMs' | 'downtimeMs';

/** "about 4.8 s (1.2 s to 7.0 s)" */
function aboutText(interval: PredictionJson[Figure]): string | undefined {
  if (interval === undefined) return undefined;
  const { low, expected, high } = interval;
  const range =
    high === undefined ? `at least ${formatDuration(low)}` : `${formatDuration(low)} to ${formatDuration(high)}`;
  return `about ${formatDuration(expected)} (${range})`;
}

const cameText = (value: number | undefined, isWithin: boolean | undefined): string =>
  value === undefined
    ? ''
    : `; it took ${formatDuration(value)}${isWithin === undefined ? '' : isWithin ? ', as predicted' : ', outside of that'}`;

/** Rows of a table; none without figures. */
export const predictionRows = ({
  totalMs,
  downtimeMs,
  measured,
  widened,
}: Partial<PredictionJson> = {}): readonly (readonly [string, string | undefined])[] => {
  const [total, downtime] = [aboutText(totalMs), aboutText(downtimeMs)];
  return [
    [
      'predicted time',
      total === undefined ? undefined : `${total}${cameText(measured?.totalMs, measured?.totalIsWithin)}`,
    ],
    [
      'predicted pause',
      downtime === undefined ? undefined : `${downtime}${cameText(measured?.downtimeMs, measured?.downtimeIsWithin)}`,
    ],
    [
      '',
      widened === undefined ? undefined : 'These are wider than the model says, because earlier predictions missed.',
    ],
  ];
};
