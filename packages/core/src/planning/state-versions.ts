/**
 * Guest state that depends on the versions of both hosts: the length of virtio queues, and the format of TPM state. No
 * host reports whether it applies to this guest. A move of a running guest shows it without harm; state in a file would
 * show it only at the next start. Pure.
 */
import { doubt } from './doubt.ts';
import type { Reason } from '../model/reasons.ts';
import type { HostView } from '../model/host.ts';
import type { StateRisk } from '../model/plan.ts';
import { versionOf } from './transfer.ts';

export interface GuestState {
  /** It has a virtio device. */
  readonly virtio?: true;
  /** What the state of its TPM was made with; absent: every TPM emulator reads it. */
  readonly tpmProfile?: string;
}

/**
 * The fix of CVE-2026-50626 in stable QEMUs (seen in 10.0.13) makes every virtio queue 1024 long; that in 11.1 refuses
 * one that is longer than it was asked for, and heeds the stable ones for virtio-mmio only.
 */
const [longQueues, strictQueues] = [10_000_013, 11_001_000];

/** libtpms reads state of this profile at any age. */
const oldProfile = 'null';

export function stateRisks(
  vm: string,
  { virtio, tpmProfile }: GuestState,
  source: HostView | undefined,
  target: HostView,
): readonly StateRisk[] {
  const [here, there] = [source?.facts, target.facts];
  if (here === undefined || there === undefined) return [];
  const host = target.host.name;
  const booted = versionOf(here.qemuVersion);
  const risks: StateRisk[] = [];
  if (virtio === true && booted >= longQueues && booted < strictQueues && versionOf(there.qemuVersion) >= strictQueues)
    risks.push({
      of: 'memory',
      whether: `whether ${host} takes the virtio queues of ${vm}`,
      why: `QEMU ${there.qemuVersion} on ${host} does not take the virtio queues of a guest that QEMU ${here.qemuVersion} has booted`,
      remedy: `Shut ${vm} down and move it cold, or choose another host.`,
    });
  if (
    tpmProfile !== undefined &&
    tpmProfile !== oldProfile &&
    versionOf(there.libvirtVersion) < versionOf(here.libvirtVersion)
  )
    risks.push({
      of: 'tpm',
      whether: `whether ${host} reads the TPM state of ${vm}`,
      why: `the TPM state of ${vm} was made with the profile ${tpmProfile}, which needs libtpms 0.10 and swtpm 0.10 on ${host}`,
      remedy: `Upgrade libtpms and swtpm on ${host}, or choose another host.`,
    });
  return risks;
}

/** Of state that a running guest takes along: it stays where it is if the target does not take it. */
export const stateDoubts = (host: string, risks: readonly StateRisk[]): readonly Reason[] =>
  risks.map(({ of, whether, why, remedy }) =>
    doubt(of === 'tpm' ? 'guest-tpm-unsure' : 'guest-memory-unsure', host, `${whether}: ${why}`, remedy),
  );

/** Of state that travels as a file: nobody would see it before the VM is started there. */
export const stateFileReasons = (vm: string, host: string, risks: readonly StateRisk[]): readonly Reason[] =>
  risks.map(({ of, whether, why, remedy }) => ({
    code: of === 'tpm' ? 'tpm-state-unsure' : 'saved-memory-unsure',
    host,
    message: `Ferry cannot tell ${whether}: ${why}. ${vm} might not start there.`,
    remedy: `Start ${vm} and move it while it runs: it stays where it is if ${host} does not take it. ${remedy}`,
  }));

/** What QEMU says when the target does not take the state of a guest. */
const notLoaded = /load of migration failed|error while loading state|exceeds allocated max/i;

export const stateRemedy = (message: string, risks: readonly StateRisk[] | undefined): string =>
  notLoaded.test(message)
    ? (risks ?? []).map(({ why, remedy }) => ` Known of these two hosts: ${why}. ${remedy}`).join('')
    : '';
