// Waiting calls in two lanes: urgent ones first, each lane in its order. Taking is constant time also with thousands
// waiting.
import type { Priority } from './procedure.ts';

export interface CallQueue<T> {
  add(priority: Priority, item: T): void;
  take(): T | undefined;
  readonly size: number;
}

export function createCallQueue<T>(): CallQueue<T> {
  const lanes = [createLane<T>(), createLane<T>()] as const;
  const [urgent, normal] = lanes;
  return {
    add: (priority, item) => (priority === 'urgent' ? urgent : normal).add(item),
    take: () => urgent.take() ?? normal.take(),
    get size() {
      return urgent.size + normal.size;
    },
  };
}

function createLane<T>(): { add(item: T): void; take(): T | undefined; readonly size: number } {
  let items: T[] = [];
  let head = 0;
  return {
    add: (item) => {
      items.push(item);
    },
    take: () => {
      const item = items[head];
      if (item === undefined) return undefined;
      head += 1;
      if (head === items.length) {
        items = [];
        head = 0;
      } else if (head >= 1024 && head * 2 > items.length) {
        // drops the taken entries once they are the larger part
        items = items.slice(head);
        head = 0;
      }
      return item;
    },
    get size() {
      return items.length - head;
    },
  };
}
