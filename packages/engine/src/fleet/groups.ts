/** VMs by something that several of them have, such as their host or a label. */
import type { VmUuid } from '@ferry/core';

export interface Groups<K> {
  add(key: K, vm: VmUuid): void;
  remove(key: K, vm: VmUuid): void;
  of(key: K): ReadonlySet<VmUuid>;
}

export function groups<K>(): Groups<K> {
  const sets = new Map<K, Set<VmUuid>>();
  const none: ReadonlySet<VmUuid> = new Set();
  return {
    add(key, vm) {
      const set = sets.get(key);
      if (set === undefined) sets.set(key, new Set([vm]));
      else set.add(vm);
    },
    remove(key, vm) {
      const set = sets.get(key);
      if (set?.delete(vm) === true && set.size === 0) sets.delete(key);
    },
    of: (key) => sets.get(key) ?? none,
  };
}
