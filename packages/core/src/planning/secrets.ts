/**
 * The secrets that a definition names: whether the target has each with a value, and whether it can be made there as
 * on the source. Pure.
 */
import type { Reason, ReasonCode } from '../model/reasons.ts';
import { doubt } from './doubt.ts';

/** A secret of a host. */
export interface SecretFacts {
  readonly uuid: string;
  /** What it is for, as `TYPE:ID`; libvirt takes one secret for it. */
  readonly usage?: string;
  /**
   * `private`: libvirt shows its value to nobody, so Ferry cannot know whether it has one. `not-asked`: it was not
   * needed.
   */
  readonly value: 'there' | 'none' | 'private' | 'not-asked';
}

/** By `uuid:UUID` and by usage. */
export type Secrets = ReadonlyMap<string, SecretFacts>;

export interface SecretInput {
  readonly vm: string;
  readonly needed: readonly string[];
  readonly source: string;
  readonly target: string;
  /** Undefined: the source was not asked. */
  readonly here: Secrets | undefined;
  readonly there: Secrets;
  readonly createMissing: boolean;
}

export function planSecrets({ vm, needed, source, target, here, there, createMissing }: SecretInput): {
  readonly reasons: readonly Reason[];
  readonly creates: readonly string[];
  readonly doubts: readonly Reason[];
} {
  const reasons: Reason[] = [];
  const creates: string[] = [];
  const doubts: Reason[] = [];
  const refuse = (code: ReasonCode, message: string, remedy: string): void =>
    void reasons.push({ code, host: target, message, remedy });
  for (const name of needed) {
    const present = there.get(name);
    if (present !== undefined) {
      if (present.value === 'none')
        refuse(
          'secret-no-value',
          `The secret ${name} on ${target} has no value, and ${vm} needs it.`,
          `On ${target}: virsh secret-set-value ${present.uuid}`,
        );
      else if (present.value === 'private')
        doubts.push(
          doubt(
            'secret-unknown',
            target,
            `whether the secret ${name} on ${target} has the right value: it is private there`,
            `If it may have another one, on ${target}: virsh secret-set-value ${present.uuid}`,
          ),
        );
      continue;
    }
    const own = here?.get(name);
    const taken = own?.usage === undefined ? undefined : there.get(own.usage);
    if (own?.usage !== undefined && taken !== undefined) {
      refuse(
        'secret-usage-taken',
        `${target} has another secret (${taken.uuid}) for ${own.usage}, and takes only one; ${vm} needs ${name}.`,
        `If nobody needs the other one, undefine it (virsh secret-undefine ${taken.uuid}), or name ` +
          `secrets by their usage in the definition of ${vm}.`,
      );
    } else if (createMissing && own?.value === 'private') {
      refuse(
        'secret-private',
        `The secret ${name} is private on ${source}: its value cannot be read, so it cannot be made on ${target}, where ${vm} needs it.`,
        byHand(source),
      );
    } else if (createMissing && (own?.value === 'none' || (here !== undefined && own === undefined))) {
      refuse(
        'secret-no-value',
        `The secret ${name} has no value on ` +
          `${source}${own === undefined ? ', and is not defined there' : ''}, so it cannot be made on ` +
          `${target}, where ${vm} needs it.`,
        own === undefined ? byHand(source) : `On ${source}: virsh secret-set-value ${own.uuid}`,
      );
    } else if (createMissing) creates.push(name);
    else
      refuse(
        'secret-missing',
        `${target} has no secret ${name}, which ${vm} needs.`,
        own?.value === 'private'
          ? byHand(source)
          : `Define it there as on ${source} (virsh secret-define, secret-set-value), or create it with --create-missing.`,
      );
  }
  return { reasons, creates, doubts };
}

const byHand = (source: string): string =>
  `Define it there as on ${source} and set its value (virsh secret-define, secret-set-value).`;
