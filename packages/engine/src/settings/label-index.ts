/** VMs by their labels and by the keys of these, so that a selector need not look at every VM. */
import type { Selector, VmUuid } from '@ferry/core';
import { groups } from '../fleet/groups.ts';

export interface LabelIndex {
  set(vm: VmUuid, labels: readonly string[]): void;
  /** Those that can match, and maybe others; undefined where any VM can. */
  candidates(selector: Selector): readonly VmUuid[] | undefined;
}

export function createLabelIndex(): LabelIndex {
  const known = new Map<VmUuid, readonly string[]>();
  const byLabel = groups<string>();
  const byKey = groups<string>();
  const keyOf = (label: string): string => label.slice(0, label.indexOf('='));
  return {
    set(vm, labels) {
      for (const label of known.get(vm) ?? []) {
        byLabel.remove(label, vm);
        byKey.remove(keyOf(label), vm);
      }
      for (const label of labels) {
        byLabel.add(label, vm);
        byKey.add(keyOf(label), vm);
      }
      if (labels.length === 0) known.delete(vm);
      else known.set(vm, labels);
    },
    candidates(selector) {
      const found = selector.flatMap(({ key, is, values }) => {
        if (is === 'exists') return [[byKey.of(key)]];
        return is === 'in' ? [values.map((value) => byLabel.of(`${key}=${value}`))] : [];
      });
      const sizeOf = (sets: readonly ReadonlySet<VmUuid>[]): number => sets.reduce((sum, { size }) => sum + size, 0);
      const [fewest] = found.toSorted((a, b) => sizeOf(a) - sizeOf(b));
      return fewest === undefined ? undefined : [...new Set(fewest.flatMap((set) => [...set]))];
    },
  };
}
