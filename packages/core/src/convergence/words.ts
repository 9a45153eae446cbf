/** Decisions in words, each with the figures behind it. */
import type { Action, Note, Figures } from '../model/decision.ts';
import type { PolicyStep } from '../model/policy.ts';
import { mib, pause, seconds } from './units.ts';

export function decisionText(action: Action, figures: Figures, step: PolicyStep | undefined): string {
  return `${situationText(figures)}: ${why(step, figures)}${actionText(action, figures)}`;
}

function situationText({
  part,
  iteration,
  restBytes,
  dirtyBytesPerSecond,
  linkBytesPerSecond,
  presentBytesPerSecond,
  throttlePercent,
}: Figures): string {
  if (part === 'disks') return `disks: ${mib(restBytes)} MiB left, the link gives ${mib(presentBytesPerSecond)} MiB/s`;
  const throttled = throttlePercent > 0 ? `, slowed down by ${throttlePercent} %` : '';
  return (
    `iteration ${iteration}: ${mib(restBytes)} MiB left, guest writes ${mib(dirtyBytesPerSecond)} ` +
    `MiB/s${throttled}, link gives ${mib(linkBytesPerSecond)}`
  );
}

function why(step: PolicyStep | undefined, { unchangedMs, elapsedMs, neededPauseMs, endsInMs }: Figures): string {
  switch (step?.when) {
    case 'no-progress':
      return `no progress for ${seconds(unchangedMs)}, `;
    case 'elapsed':
      return `${seconds(elapsedMs)} have passed, `;
    case 'deadline':
      return 'the deadline has come, ';
    case 'forecast':
      if (endsInMs !== undefined && step.do !== 'fit-downtime')
        return `by itself it would take ${seconds(endsInMs)} more, `;
      return neededPauseMs === undefined ? '' : `the smallest rest would take a pause of ${pause(neededPauseMs)}, `;
    case 'stalled':
      return `${step.passes} passes gained nothing, `;
    case 'passes':
    case 'throttled':
    case undefined:
      return '';
  }
}

function actionText(action: Action, figures: Figures): string {
  switch (action.do) {
    case 'set-downtime':
      return `raising the pause budget from ${pause(figures.downtimeMs)} to ${pause(action.toMs)}`;
    case 'post-copy':
      return 'switching to post-copy';
    case 'pause':
      return 'pausing the guest until it has arrived';
    case 'power-off':
      return 'shutting the guest down to move it cold';
    case 'abort':
      return 'aborting; the guest stays where it is';
    case 'release-throttle':
      return 'two steps of throttling changed nothing, undoing it';
    case 'note':
      return noteText(action.what, figures);
  }
}

function noteText(what: Note, { linkBytesPerSecond, presentBytesPerSecond, unchangedMs, endsInMs }: Figures): string {
  switch (what) {
    case 'link-slow':
      return (
        `the link gives ${mib(presentBytesPerSecond)} MiB/s now, it gave ${mib(linkBytesPerSecond)}; ` +
        'waiting for the link; the guest is not the cause'
      );
    case 'disks-stalled':
      return presentBytesPerSecond > 0
        ? `no progress for ${seconds(unchangedMs)}, the guest writes as fast as its disks are copied`
        : `nothing has moved for ${seconds(unchangedMs)}`;
    case 'operator':
    case 'refused':
    case 'resumed':
    case 'prediction':
      return what;
    case 'no-way': {
      const alone =
        endsInMs === undefined
          ? 'it does not end by itself'
          : `by itself it would take ${seconds(endsInMs)} more, past its deadline`;
      return `${alone}, and no step of the policy helps now`;
    }
  }
}
