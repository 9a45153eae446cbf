/**
 * Keeps the last definition of every VM in the inventory store, and reads it again whenever its host reports a change.
 * If the host dies, the VM can be started elsewhere only from this definition. VMs are read one after the other,
 * without hurry; a definition that cannot be read now is read at the next change.
 */
import type { VmUuid } from '@ferry/core';
import type { Clock, HostLink, InventoryCache, Log } from '../ports/ports.ts';

export interface DefinitionKeeper {
  /** The domain was defined, changed or seen for the first time. */
  touch(host: string, uuid: VmUuid): void;
  stop(): Promise<void>;
}

export function keepDefinitions(deps: {
  readonly inventory: InventoryCache;
  readonly clock: Clock;
  readonly log: Log;
  readonly linkOf: (host: string) => Pick<HostLink, 'definitions'>;
}): DefinitionKeeper {
  const stopping = new AbortController();
  const { signal } = stopping;
  const waiting = new Map<string, { readonly host: string; readonly uuid: VmUuid }>();
  let working: Promise<void> | undefined;

  const work = async (): Promise<void> => {
    // changes come in bursts: one read for all of them
    await deps.clock.sleep(100, signal).catch(() => undefined);
    for (const [key, { host, uuid }] of waiting) {
      if (signal.aborted) break;
      waiting.delete(key);
      try {
        const xml = await deps.linkOf(host).definitions.read(uuid, signal);
        await deps.inventory.saveDefinition({ uuid, host, xml, at: deps.clock.now() });
      } catch (error) {
        if (!signal.aborted) deps.log.info({ err: error, host, vm: uuid }, 'a definition could not be stored');
      }
    }
    working = undefined;
    if (waiting.size > 0 && !signal.aborted) working = work();
  };

  return {
    touch(host, uuid) {
      waiting.set(`${host}/${uuid}`, { host, uuid });
      working ??= work();
    },
    async stop() {
      stopping.abort(new Error('stopped'));
      await working;
    },
  };
}
