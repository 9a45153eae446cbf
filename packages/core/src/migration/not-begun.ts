/**
 * A transfer that libvirt was told to begin and has not begun: it waits inside of libvirt for the target's daemon (one
 * that takes no further client, or hangs), and neither an abort nor a policy ends that, since there is no job yet. What
 * it waits for, and who can end it, is said. Pure.
 */
import type { TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';

/** libvirt begins within a second or two where both daemons answer. */
const notBegunMs = 15_000;
const opening = 'libvirt has not begun to send';

/** With the sentence for the operator, while it holds. */
export function withNotBegun(migration: Migration, now: TimeMs): Migration {
  const { phase, phases, evidence, attention, course, from, to, vm } = migration;
  const since = phases.findLast((each) => each.phase === 'transferring')?.at ?? now;
  const waits =
    phase === 'transferring' &&
    evidence.performEnded === undefined &&
    (course?.passes.length ?? 0) === 0 &&
    now - since >= notBegunMs;
  if (!waits) return attention?.startsWith(opening) === true ? without(migration) : migration;
  const target = to?.name ?? 'the target';
  const ending =
    migration.abortRequestedAt === undefined && evidence.gaveUp === undefined
      ? 'An abort does not end this wait'
      : 'The abort cannot end this wait';
  return {
    ...migration,
    attention:
      `${opening}: ${from.name} waits for the libvirt daemon of ${target}, which may take no further ` +
      `clients (max_clients in its libvirtd.conf) or not answer. ${vm.name} runs on on ${from.name}. ` +
      `${ending}; a free connection there does, or a restart of the daemon on ${target}, which ends no guest.`,
  };
}

function without(migration: Migration): Migration {
  const { attention: _, ...rest } = migration;
  return rest;
}
