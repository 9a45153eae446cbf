// script/bench predict: what Ferry predicts of live migrations against what comes of them. Guests dirty memory at 0.1 to
// 2 times a capped bandwidth; each is new, is measured before its move ("ferry vm dirty-rate"), and is moved by
// pre-copy alone: the policy has no step but to give up at the limit. The rates take turns.
//   --shares A,B --rounds N   a part of it
import { loadavg } from 'node:os';
import { readSector, SECTOR_BEATS_PER_SECOND, temporaryLab, vmCreate, vmDelete, vmLog } from '@ferry/lab';
import { controlPlane } from '../../test/control-plane.ts';
import { call, seenRunning, untilEnded, type Migration } from './api.ts';
import { optionsOf, refuse, usual } from './options.ts';
import {
  BANDWIDTH,
  FILLED_MIB,
  MEASURED_SECONDS,
  PAUSE_MS,
  quickShares,
  shares as allShares,
  summaryOf,
  targetsOf,
  workloadOf,
  type Interval,
  type Run,
} from './predict-grid.ts';
import { exitOf, makeResult, printResult, rounded } from './report.ts';

const { values: flags } = optionsOf({
  options: { ...usual, shares: { type: 'string' }, rounds: { type: 'string' } },
});
const shares = flags.shares?.split(',').map(Number) ?? (flags.quick ? quickShares : allShares);
if (shares.some((share) => !(share >= 0.1 && share <= 4)))
  refuse('--shares are numbers from 0.1 to 4, as in 0.1,0.75,2.');
if (flags.rounds !== undefined && !/^[1-9]\d?$/.test(flags.rounds))
  refuse(`--rounds is a whole number from 1 to 99, not "${flags.rounds}".`);
const ROUNDS = Number(flags.rounds ?? (flags.quick ? 2 : 7));
/** Pre-copy at 0.75 takes four first passes. */
const LIMIT_MS = 50_000;
/** For the abort, and for what comes before and after a transfer. */
const GRACE_MS = 40_000;
const POLICY = 'pre-copy-alone';

interface Predicted extends Migration {
  readonly prediction?: {
    readonly kind: string;
    readonly text: string;
    readonly endsByItself?: boolean;
    readonly dirtyBytesPerSecond?: number;
    readonly totalMs?: Interval;
    readonly downtimeMs?: Interval;
    readonly measured?: { readonly totalMs: number; readonly downtimeMs?: number };
  };
}

await using temporary = await temporaryLab({ hosts: 2 });
const { lab } = temporary;
const target = temporary.status.hosts[1]?.name ?? '';
await using plane = await controlPlane();
for (const { uri, name } of temporary.status.hosts) await plane.json('host', 'add', uri, '--name', name);
await call(plane, 'PUT', `/policies/${POLICY}`, {
  description: 'Pre-copy alone, up to a limit.',
  downtime: { initialMs: PAUSE_MS, limitMs: PAUSE_MS },
  steps: [{ when: 'elapsed', ms: LIMIT_MS, do: 'abort' }],
  postCopy: 'never',
  singleCopy: 'guard',
  twoCopies: 'alarm',
  unknownSharing: 'refuse',
});

const paceOf = (guest: string): (() => number) => {
  const before = readSector(vmLog(lab, guest));
  return () => {
    const now = readSector(vmLog(lab, guest));
    return ((now.hotMib - before.hotMib) * SECTOR_BEATS_PER_SECOND) / (now.beats - before.beats);
  };
};

let made = 0;
async function runOnce(share: number): Promise<Run> {
  made += 1;
  const guest = `busy${made}`;
  await vmCreate(lab, { name: guest, host: 'host1', workload: workloadOf(share) });
  try {
    await seenRunning(plane, guest);
    const before = paceOf(guest);
    await call(plane, 'POST', `/vms/${guest}/dirty-rate`, { seconds: MEASURED_SECONDS });
    const paceBefore = before();
    const during = paceOf(guest);
    const { id } = await call<Migration>(plane, 'POST', '/migrations', {
      vm: guest,
      to: target,
      policy: POLICY,
      maxBandwidthMiBPerSecond: BANDWIDTH,
    });
    const { outcome, error, prediction }: Predicted = await untilEnded(
      plane,
      id,
      AbortSignal.timeout(LIMIT_MS + GRACE_MS),
    );
    if (prediction === undefined) throw new Error(`migration ${id} was not predicted: ${JSON.stringify(error)}`);
    const { kind, endsByItself = false, dirtyBytesPerSecond = Number.NaN, totalMs, downtimeMs, measured } = prediction;
    return {
      share,
      kind,
      endsByItself,
      ended: outcome === 'succeeded',
      ...(totalMs === undefined ? {} : { totalMs }),
      ...(downtimeMs === undefined ? {} : { downtimeMs }),
      tookMs: measured?.totalMs ?? Number.NaN,
      pausedMs: measured?.downtimeMs ?? Number.NaN,
      paceRead: rounded(dirtyBytesPerSecond / 2 ** 20),
      paceBefore: rounded(paceBefore),
      paceDuring: rounded(during()),
    };
  } finally {
    await vmDelete(lab, guest);
  }
}

const intervalText = (interval: Interval | undefined): string =>
  interval === undefined
    ? 'no time'
    : `${Math.round(interval.expected)} (${Math.round(interval.low)} to ${Math.round(interval.high ?? Number.NaN)}) ms`;

const runs: Run[] = [];
const loads: number[] = [];
for (let round = 0; round < ROUNDS; round += 1) {
  for (const share of round % 2 === 0 ? shares : shares.toReversed()) {
    const run = await runOnce(share);
    runs.push(run);
    loads.push(loadavg()[0] ?? Number.NaN);
    process.stderr.write(
      `round ${round + 1}/${ROUNDS} ${share}: ${run.kind}${run.endsByItself ? ', ends' : ', does not end'}; ` +
        `predicted ${intervalText(run.totalMs)}, took ${Math.round(run.tookMs)}; ` +
        `pause ${intervalText(run.downtimeMs)}, was ${Math.round(run.pausedMs)}; ` +
        `pace ${run.paceBefore}, read as ${run.paceRead}, then ${run.paceDuring} MiB/s\n`,
    );
  }
}

const percent = (value: number): string => (Number.isNaN(value) ? '-' : `${Math.round(value * 100)} %`);
process.stdout.write(
  '| D / bandwidth | ended | median error, total | within | median error, downtime, ms | within | wrong | at risk |\n' +
    '| --- | --- | --- | --- | --- | --- | --- | --- |\n',
);
for (const share of shares) {
  const of = summaryOf(runs.filter((run) => run.share === share));
  process.stdout.write(
    `| ${share} | ${of.ended} of ${of.runs} | ${percent(of.totalError)} | ${percent(of.totalWithin)} | ` +
      `${Number.isNaN(of.downtimeErrorMs) ? '-' : Math.round(of.downtimeErrorMs)} | ${percent(of.downtimeWithin)} | ` +
      `${of.wrong} | ${of.atRisk} |\n`,
  );
}
const result = makeResult(
  'predict',
  {
    rounds: ROUNDS,
    limitMs: LIMIT_MS,
    bandwidthMiBPerSecond: BANDWIDTH,
    filledMib: FILLED_MIB,
    measuredSeconds: MEASURED_SECONDS,
    load: { least: rounded(Math.min(...loads)), most: rounded(Math.max(...loads)) },
    shares: Object.fromEntries(shares.map((share) => [share, summaryOf(runs.filter((run) => run.share === share))])),
    runs,
  },
  targetsOf(runs),
);
printResult(result, { json: flags.json });
process.exitCode = exitOf(result);
