/**
 * Moves the definition of a VM that is shut off: puts it on the target, then takes it from the source, and takes it
 * back when the target or the source refuses, so that the VM is always on one of them. A call without an answer is no
 * refusal: it rejects, to be repeated after another look. May be repeated after a crash at any point.
 */
import {
  definitionMove,
  definitionStays,
  definitionTakenBack,
  FerryError,
  moveFailureText,
  type Planned,
} from '@ferry/core';
import type { HostLink, Log } from '../../ports/ports.ts';
import { isUnanswered, refusalText } from './context.ts';
import { startOnce } from './start.ts';

export interface DefinitionMoveDeps {
  readonly source: Pick<HostLink, 'instances' | 'definitions' | 'savedMemory' | 'files'>;
  readonly target: Pick<HostLink, 'instances' | 'definitions' | 'power'>;
  readonly log: Log;
  /** A new limit in time for one call. */
  readonly bounded: () => AbortSignal;
  /** Resolves when nothing holds the VM's disks on the target any more. */
  readonly released: Promise<void>;
  /** Rejects unless source and target are two machines. */
  readonly apart: () => Promise<void>;
  /** Why a disk that the definition names is not on the target, seen now. */
  readonly notThere: () => Promise<string | undefined>;
  /** Remembers that the source's definition is kept on purpose. */
  readonly park: () => Promise<void>;
  /** Copies UEFI variables, TPM state and saved memory, and takes them back. */
  readonly bringState: () => Promise<void>;
  readonly takeStateBack: () => Promise<void>;
  /** The definition for the target. */
  readonly rewrite: (xml: string) => string;
  /** Two texts are of one VM, with the same disks and the same needs. */
  readonly sameDefinition: (a: string, b: string) => boolean;
}

/** `moved` false: the VM is on the source as before. */
export type DefinitionMove =
  | { readonly moved: true; readonly failure?: string }
  | { readonly moved: false; readonly failure: string };

/** A host that does not answer is asked again. */
const notApart = (error: unknown): string => {
  if (error instanceof FerryError && error.code === 'copies-not-apart') return error.message;
  throw error;
};
export async function moveDefinition(
  migration: Planned,
  {
    source,
    target,
    log,
    bounded,
    released,
    apart,
    notThere,
    park,
    bringState,
    takeStateBack,
    rewrite,
    sameDefinition,
  }: DefinitionMoveDeps,
): Promise<DefinitionMove> {
  const { vm, plan } = migration;
  const keeps = plan.persistence === 'keep-source';
  const [here, there, oneMachine] = await Promise.all([
    source.instances.observe(vm.uuid, bounded()),
    target.instances.observe(vm.uuid, bounded()),
    apart().then(() => undefined, notApart),
  ]);
  if (oneMachine !== undefined) return { moved: false, failure: oneMachine };
  const decided = definitionMove(migration, here, there);
  if (decided.do === 'refuse') return { moved: false, failure: decided.because };
  if (decided.do === 'move') {
    const failure = (await carryFiles()) ?? (await define()) ?? (await notThere()) ?? (await takeFromSource());
    if (failure !== undefined) {
      const takenBack = definitionTakenBack(migration, there, await sourceLost());
      if (takenBack.do === 'stay') {
        await park();
        return { moved: true, failure };
      }
      await takeStateBack();
      if (takenBack.undefine && (await target.instances.observe(vm.uuid, bounded())).kind === 'present')
        await target.definitions.undefine(vm.uuid, bounded());
      return { moved: false, failure };
    }
  }
  if (plan.autostart) await target.definitions.setAutostart(vm.uuid, true, bounded());
  if (migration.request.autoStart !== true) return { moved: true };
  try {
    await released;
    await startOnce(vm.uuid, target, bounded);
    return { moved: true };
  } catch (error) {
    return { moved: true, failure: moveFailureText(migration, 'moved-not-started', refusalText(error)) };
  }

  /**
   * UEFI variables, TPM state and saved memory go over before the definition does: nobody can start the VM without
   * them.
   */
  async function carryFiles(): Promise<string | undefined> {
    try {
      await bringState();
      return undefined;
    } catch (error) {
      return moveFailureText(migration, 'state-not-copied', refusalText(error));
    }
  }

  async function define(): Promise<string | undefined> {
    try {
      const own = await source.definitions.read(vm.uuid, bounded());
      try {
        await target.definitions.write(rewrite(own), bounded());
      } catch (error) {
        if (isUnanswered(error)) throw error;
        // a newer libvirt adds devices of its own that an older one does not know, and leaves them out
        // where the target is another host
        const portable = await source.definitions.readMigratable(vm.uuid, bounded());
        if (portable === own) throw error;
        await target.definitions.write(rewrite(portable), bounded()).catch((again: unknown) => {
          throw isUnanswered(again) ? again : error;
        });
      }
      return sameDefinition(rewrite(own), await target.definitions.read(vm.uuid, bounded()))
        ? undefined
        : moveFailureText(migration, 'definition-differs');
    } catch (error) {
      return moveFailureText(migration, 'definition-refused', refusalText(error));
    }
  }

  async function sourceLost(): Promise<boolean> {
    const looks = (plan.stateFiles ?? []).map((path) => source.files.look(path, bounded()));
    return (await Promise.all(looks)).includes(undefined);
  }

  /** Why the source keeps its definition although it should not; undefined when it is gone or parked. */
  async function takeFromSource(): Promise<string | undefined> {
    const stays = definitionStays(migration, await source.instances.observe(vm.uuid, bounded()));
    if (stays !== undefined) return stays;
    try {
      if (keeps) {
        await source.definitions.setAutostart(vm.uuid, false, bounded());
        await park();
        // the memory is with the target now; two starts from it would be two copies of one guest
        await source.savedMemory.drop(vm.uuid, bounded());
      } else await source.definitions.undefine(vm.uuid, bounded());
      return undefined;
    } catch (error) {
      log.warn({ err: error, migration: migration.id }, 'the source keeps its definition');
      const refusal = refusalText(error);
      // an earlier call, whose answer was lost, may have taken effect since the look
      if ((await source.instances.observe(vm.uuid, bounded())).kind === 'absent') return undefined;
      return moveFailureText(migration, 'source-keeps-definition', refusal);
    }
  }
}
