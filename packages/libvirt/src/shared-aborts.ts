// Many waits under one AbortSignal with one listener: a listener for each would make every end of a wait cost the
// number of the others.

export interface SharedAborts {
  /**
   * Calls `onAbort` when the signal aborts, unless the returned function was called before. The signal must not have
   * aborted yet.
   */
  add(signal: AbortSignal, onAbort: () => void): () => void;
}

export function createSharedAborts(): SharedAborts {
  const groups = new Map<AbortSignal, { readonly waiting: Set<() => void>; readonly listener: () => void }>();
  const groupOf = (signal: AbortSignal) => {
    const known = groups.get(signal);
    if (known !== undefined) return known;
    const waiting = new Set<() => void>();
    const listener = (): void => {
      groups.delete(signal);
      for (const each of waiting) each();
    };
    const made = { waiting, listener };
    groups.set(signal, made);
    signal.addEventListener('abort', listener, { once: true });
    return made;
  };
  return {
    add(signal, onAbort) {
      const { waiting, listener } = groupOf(signal);
      // a function of its own, so that one callback may wait twice
      const own = (): void => onAbort();
      waiting.add(own);
      return () => {
        if (!waiting.delete(own) || waiting.size > 0 || signal.aborted) return;
        groups.delete(signal);
        signal.removeEventListener('abort', listener);
      };
    },
  };
}
