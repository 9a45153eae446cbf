/** How a plan is shown: what would happen, and what the checks say of every host. */
import type { PlannedMigrationJson } from '@ferry/api';
import type { MoveOnFile } from '@ferry/api/offline';
import { travelText } from '../follow.ts';
import { formatBytes, formatTime } from '../output/format.ts';
import { predictionRows } from '../output/prediction.ts';
import { fields, table } from '../output/table.ts';

type HostAnswer = PlannedMigrationJson['hosts'][number];

const words = { refuse: 'refused', wait: 'waits', warn: 'warning', unknown: 'not known' } as const;

/** In the order in which they count. */
const weightsText = ({ risks, softRules, copies, copyBytes, load, spareBytes }: NonNullable<HostAnswer['weighs']>) =>
  [
    `risks ${risks}`,
    `soft rules broken ${softRules}`,
    `disks to copy ${copies}${copyBytes === undefined ? '' : ` (${formatBytes(copyBytes)})`}`,
    `migrations ${load}`,
    ...(spareBytes === undefined ? [] : [`spare memory ${formatBytes(Math.max(0, spareBytes))}`]),
  ].join(', ');

/** A row for each finding; what passed, and what nobody asked, only in wide tables. */
function rowsOf(
  { host, verdict, findings, passed, notAsked, weighs }: HostAnswer,
  chosen: string | undefined,
  wide: boolean,
) {
  const says = host === chosen ? 'chosen' : verdict;
  const rows = findings.map((each) => [words[each.verdict], each.code, `${each.message} (${each.remedy})`]);
  const more = wide
    ? [
        ...(passed.length === 0 ? [] : [['passed', '', passed.join(', ')]]),
        ...(notAsked.length === 0 ? [] : [['not asked', '', notAsked.join(', ')]]),
        ...(weighs === undefined ? [] : [['weighs', '', weightsText(weighs)]]),
      ]
    : [];
  const all = [...rows, ...more];
  return (all.length === 0 ? [['', '', '']] : all).map((row, at) => [
    ...(at === 0 ? [host, says] : [' ', ' ']),
    ...row,
  ]);
}

/** `chosen`: absent where the move is refused. */
export const hostsText = (hosts: readonly HostAnswer[], chosen: string | undefined, wide: boolean): string =>
  table(
    ['host', 'verdict', 'finding', 'code', 'why'],
    hosts.flatMap((each) => rowsOf(each, chosen, wide)),
  );

/** Of a plan that was made on a file. */
export const filePlanText = (
  { takenAt, vm, kind, from, to, hosts, waits, unchecked }: MoveOnFile,
  wide: boolean,
): string =>
  [
    fields([
      ['vm', vm.name],
      ['kind', kind],
      ['from', from],
      ['to', to],
      ['as of', formatTime(takenAt)],
      ['waits', waits.length === 0 ? undefined : waits.join(' ')],
    ]),
    '',
    hostsText(hosts, to, wide),
    '',
    'Not known:',
    ...unchecked,
  ].join('\n');

const whenText = ({ how, when }: PlannedMigrationJson['disks'][number]): string =>
  when === undefined ? how : `${how}, ${when === 'now' ? 'until it stops' : 'from its next start on'}`;

export const planText = (
  {
    vm,
    from,
    to,
    hosts,
    kind,
    how,
    persistence,
    transfer,
    policy,
    prediction,
    copyTime,
    disks,
    creates,
    diff,
    differences,
  }: PlannedMigrationJson,
  wide: boolean,
): string =>
  [
    fields([
      ['vm', vm.name],
      ['kind', `${kind}, ${persistence}`],
      ['from', from],
      ['to', to],
      ['travels', how],
      ['driven', transfer === undefined ? undefined : `${transfer.mode} (${transfer.modeReason})`],
      ['data', transfer === undefined ? undefined : travelText(transfer)],
      ['policy', `${policy.name}: ${policy.text}`],
      ['prediction', prediction?.text],
      ...predictionRows(prediction),
      ['time', copyTime?.text],
      [
        'makes there',
        creates === undefined ? undefined : creates.map(({ kind: what, name }) => `${what} ${name}`).join(', '),
      ],
    ]),
    '',
    hostsText(hosts, to, wide),
    ...(disks.length === 0
      ? []
      : [
          '',
          table(
            ['disk', 'how', 'from', 'to'],
            disks.map((disk) => [disk.target, whenText(disk), disk.path, disk.targetPath ?? disk.path]),
          ),
        ]),
    ...disks.flatMap(({ target, losses = [] }) => losses.map((loss) => `The copy of ${target} loses ${loss}.`)),
    ...(differences.length === 0 ? [] : ['', 'The clusters differ:', ...differences]),
    ...(diff.length === 0 ? [] : ['', 'The definition changes:', ...diff]),
  ].join('\n');
