/** Predictions, and what they are made from and held against, as JSON of the API. It decides nothing. */
import type { DirtyRateJson, PredictionJson, PredictionStatsJson } from '@ferry/api';
import {
  isWithin,
  measuredOf,
  type DirtyCurve,
  type FigureError,
  type Interval,
  type Migration,
  type Prediction,
  type PredictionStats,
} from '@ferry/core';
import { present, time } from './view-parts.ts';

const rounded = (value: number | undefined): number | undefined =>
  value === undefined ? undefined : Math.round(value);

const intervalJson = (interval: Interval | undefined): PredictionJson['totalMs'] =>
  interval === undefined
    ? undefined
    : present({
        low: Math.round(interval.low),
        expected: Math.round(interval.expected),
        high: rounded(interval.high),
      });

/** `of`: the migration that it was made for. */
export const predictionJson = (prediction: Prediction, of?: Migration): PredictionJson =>
  present({
    kind: prediction.kind,
    text: prediction.text,
    budgetMs: Math.round(prediction.budgetMs),
    dirtyBytesPerSecond: rounded(prediction.dirtyBytesPerSecond),
    measuredAt: prediction.measuredAt === undefined ? undefined : time(prediction.measuredAt),
    endsByItself: prediction.endsByItself,
    bandwidthBytesPerSecond: rounded(prediction.bandwidthBytesPerSecond),
    totalMs: intervalJson(prediction.totalMs),
    downtimeMs: intervalJson(prediction.downtimeMs),
    widened: prediction.widened,
    pauseMs: rounded(prediction.pauseMs),
    remedies: prediction.remedies.map((remedy) => present({ ...remedy, toMs: rounded(remedy.toMs) })),
    measured: of === undefined ? undefined : measuredJson(prediction, of),
  });

function measuredJson({ totalMs, downtimeMs }: Prediction, of: Migration): PredictionJson['measured'] {
  const measured = measuredOf(of);
  if (measured === undefined) return undefined;
  const isIn = (interval: Interval | undefined, value: number | undefined): boolean | undefined =>
    interval === undefined || value === undefined ? undefined : isWithin(interval, value);
  return present({
    totalMs: Math.round(measured.totalMs),
    downtimeMs: rounded(measured.downtimeMs),
    totalIsWithin: isIn(totalMs, measured.totalMs),
    downtimeIsWithin: isIn(downtimeMs, measured.downtimeMs),
  });
}

export const dirtyRateJson = (vm: string, { at, readings, residentBytes }: DirtyCurve): DirtyRateJson =>
  present({
    vm,
    at: time(at),
    seconds: readings.reduce((sum, { seconds }) => sum + seconds, 0),
    dirtyBytesPerSecond: Math.round(readings[0]?.bytesPerSecond ?? 0),
    readings: readings.map(({ seconds, bytesPerSecond }) => ({
      seconds,
      bytes: Math.round(seconds * bytesPerSecond),
      bytesPerSecond: Math.round(bytesPerSecond),
    })),
    residentBytes,
  });

const share = (value: number | undefined): number | undefined =>
  value === undefined ? undefined : Math.round(value * 1_000) / 1_000;

const errorJson = ({ count, ...error }: FigureError): PredictionStatsJson['totalMs'] =>
  present({
    count,
    medianErrorMs: rounded(error.medianErrorMs),
    medianErrorShare: share(error.medianErrorShare),
    withinShare: share(error.withinShare),
  });

export const predictionStatsJson = ({ totalMs, downtimeMs }: PredictionStats): PredictionStatsJson => ({
  totalMs: errorJson(totalMs),
  downtimeMs: errorJson(downtimeMs),
});
