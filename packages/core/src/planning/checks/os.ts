/**
 * The operating system and the kernel of the hosts. libvirt reports neither, so that they are what the labels `os` and
 * `kernel` of the hosts say. What nobody declared is not known, and is said where one of two hosts has the label or the
 * policy speaks of it. Pure.
 */
import type { Host, HostView } from '../../model/host.ts';
import type { Reason, ReasonCode } from '../../model/reasons.ts';
import { type CheckInput, factsOf, kindOf, sourceOf } from '../check-input.ts';
import { doubt } from '../doubt.ts';
import { hostCheck } from './check.ts';

interface Declared {
  readonly key: 'os' | 'kernel';
  readonly what: string;
  readonly differs: ReasonCode;
  readonly unknown: ReasonCode;
}

const declared: readonly Declared[] = [
  { key: 'os', what: 'operating system', differs: 'target-os-differs', unknown: 'target-os-unknown' },
  { key: 'kernel', what: 'kernel', differs: 'target-kernel-differs', unknown: 'target-kernel-unknown' },
];

export const declaredOf = ({ labels = [] }: Pick<Host, 'labels'>, key: string): string | undefined =>
  labels.find((label) => label.startsWith(`${key}=`))?.slice(key.length + 1);

/** A running guest, or memory that was saved, meets the other kernel; a cold one meets the other packages. */
function compared(
  input: CheckInput,
  source: HostView,
  { host }: HostView,
  { key, what, differs, unknown }: Declared,
): readonly Reason[] {
  const [here, there] = [declaredOf(source.host, key), declaredOf(host, key)];
  if (here !== undefined && there !== undefined)
    return here === there
      ? []
      : [
          {
            code: differs,
            host: host.name,
            message: `The ${what} of ${host.name} is ${there}, that of ${source.host.name} is ${here}: ${input.vm.name} may not come back.`,
            remedy: `Choose a host with ${here}. If the label is old: ferry host label ${host.name} ${key}=${here}`,
          },
        ];
  const asked = input.policy?.checks;
  if (here === undefined && there === undefined && asked?.[differs] === undefined && asked?.[unknown] === undefined)
    return [];
  const names = [source.host, host].filter((each) => declaredOf(each, key) === undefined).map(({ name }) => name);
  return [
    doubt(
      unknown,
      host.name,
      `whether ${source.host.name} and ${host.name} have the same ${what}: ${names.join(' and ')} has no label ${key}`,
      names.map((name) => `ferry host label ${name} ${key}=...`).join('; '),
    ),
  ];
}

export const os = hostCheck({
  name: 'os',
  codes: ['target-os-differs', 'target-os-unknown', 'target-kernel-differs', 'target-kernel-unknown'],
  find: ({ input, target }) => {
    const source = sourceOf(input);
    const kind = kindOf(input);
    if (source === undefined || source === target || !('kind' in kind) || kind.kind === 'configuration') return [];
    const asks = kind.kind === 'live' || kind.kind === 'suspended' || factsOf(input).saved;
    return declared.flatMap((each) => (each.key === 'kernel' && !asks ? [] : compared(input, source, target, each)));
  },
});
