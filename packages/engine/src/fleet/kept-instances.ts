/**
 * What Ferry remembers of instances beyond what libvirt says: definitions kept on purpose (parked), guests that arrived
 * paused and must be resumed before they are moved again, and saved memory that Ferry brought, which libvirt reports
 * only after its daemon was restarted. Stored as intents; forgotten when the host shows that
 * it no longer holds.
 */
import { parkedKey, type HostId, type Instance, type Vm, type VmUuid } from '@ferry/core';
import type { Clock, IntentStore } from '../ports/ports.ts';
import { collection, document, type Collection } from '../state/collection.ts';

const parkedPrefix = 'parked/';
const arrivedPrefix = 'arrived-paused/';
const savedPrefix = 'arrived-saved/';

interface Note {
  readonly at: number;
  /** Of a definition that is parked: the VM was on this host when it was removed from Ferry. */
  readonly goneWith?: GoneHost;
}

/** A host that was removed, as it was known. */
export interface GoneHost {
  readonly name: string;
  readonly machineUuid: string;
}

/** What a migration has remembered of them. */
export interface KeptInstances {
  /** A definition that is kept on purpose and is not the VM. */
  park(vm: VmUuid, hostId: string): Promise<void>;
  unpark(vm: VmUuid, hostId: string): Promise<void>;
  isParked(vm: VmUuid, hostId: string): boolean;
  /** It arrived paused, with storage that makes a second move before a resume dangerous. */
  arrivedPaused(vm: VmUuid, hostId: string): Promise<void>;
  /** It arrived with its memory in a file. */
  arrivedSaved(vm: VmUuid, hostId: string): Promise<void>;
}

export interface KeptInstanceStore extends KeptInstances {
  hasArrivedPaused(vm: Vm): boolean;
  hasArrivedSaved(vm: Vm): boolean;
  /** The host that has the VM is about to be removed: the definition that is parked on `hostId` is not the VM. */
  goes(vm: VmUuid, hostId: string, host: GoneHost): Promise<void>;
  /** Undefined once the VM was seen elsewhere. */
  goneWith(vm: VmUuid, hostId: string): GoneHost | undefined;
  /**
   * What a host reports now: an active instance is not parked and is where its VM is, one that is not paused has been
   * resumed, one that was started has used its memory.
   */
  seen(host: HostId, instances: readonly Instance[]): Promise<void>;
}

/** `changed`: what is kept of this VM has changed. */
export async function openKeptInstances(
  intents: IntentStore,
  clock: Clock,
  changed: (vm: VmUuid) => void = () => undefined,
): Promise<KeptInstanceStore> {
  const notes = (prefix: string): Collection<Note> => collection(intents, prefix, document<Note>({ at: 'number' }));
  const load = async (stored: Collection<Note>) =>
    new Map((await stored.list()).items.map(({ key, value }) => [key, value]));
  const parkedNotes = notes(parkedPrefix);
  const arrivedNotes = notes(arrivedPrefix);
  const savedNotes = notes(savedPrefix);
  const parked = await load(parkedNotes);
  const arrived = await load(arrivedNotes);
  const saved = await load(savedNotes);
  const add = async (known: Notes, stored: Collection<Note>, key: string): Promise<void> => {
    const { value } = await stored.change(key, (before) => before?.value ?? { at: clock.now() });
    known.set(key, value ?? { at: clock.now() });
    changed(vmOfKey(key));
  };
  const remove = async (known: Notes, stored: Collection<Note>, key: string): Promise<void> => {
    if (!known.delete(key)) return;
    await stored.change(key, () => undefined);
    changed(vmOfKey(key));
  };
  /** Where the VM of a definition that is parked went. */
  const setGone = async (key: string, goneWith: GoneHost | undefined): Promise<void> => {
    const { value } = await parkedNotes.change(key, (before) => {
      if (before === undefined) return undefined;
      const { goneWith: _, ...note } = before.value;
      return goneWith === undefined ? note : { ...note, goneWith };
    });
    if (value !== undefined && parked.has(key)) parked.set(key, value);
    changed(vmOfKey(key));
  };
  const key = (vm: VmUuid, host: string): string => parkedKey(vm, host as HostId);
  return {
    hasArrivedPaused: ({ uuid, hostId, state }) => state === 'paused' && arrived.has(key(uuid, hostId)),
    hasArrivedSaved: ({ uuid, hostId }) => saved.has(key(uuid, hostId)),
    isParked: (vm, host) => parked.has(key(vm, host)),
    park: (vm, host) => add(parked, parkedNotes, key(vm, host)),
    unpark: (vm, host) => remove(parked, parkedNotes, key(vm, host)),
    arrivedPaused: (vm, host) => add(arrived, arrivedNotes, key(vm, host)),
    arrivedSaved: (vm, host) => add(saved, savedNotes, key(vm, host)),
    goes: (vm, host, gone) => setGone(key(vm, host), gone),
    goneWith: (vm, host) => parked.get(key(vm, host))?.goneWith,
    async seen(host, instances) {
      if (parked.size + arrived.size + saved.size === 0) return;
      const states = new Map(instances.map(({ uuid, state }) => [uuid as string, state]));
      const here = (notes: Notes) =>
        [...notes.keys()]
          .filter((each) => each.endsWith(`/${host}`))
          .map((each) => ({ each, state: states.get(vmOfKey(each)) }));
      const isOff = (state: string | undefined): boolean => state === 'shut-off' || state === 'crashed';
      for (const { each, state } of here(parked)) if (!isOff(state)) await remove(parked, parkedNotes, each);
      for (const [each, { goneWith }] of parked) {
        const state = states.get(vmOfKey(each));
        if (goneWith !== undefined && state !== undefined && !isOff(state)) await setGone(each, undefined);
      }
      for (const { each, state } of here(saved)) if (!isOff(state)) await remove(saved, savedNotes, each);
      for (const { each, state } of here(arrived)) if (state !== 'paused') await remove(arrived, arrivedNotes, each);
    },
  };
}

type Notes = Map<string, Note>;

const vmOfKey = (key: string): VmUuid => key.slice(0, key.indexOf('/')) as VmUuid;
