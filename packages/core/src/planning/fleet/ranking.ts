/**
 * Hosts in the order in which one is chosen where nothing else speaks for or against any, kept while hosts change: to
 * ask for the first ones costs nothing of the fleet's size. Pure but for its own lists.
 */
import type { HostView } from '../../model/host.ts';
import type { HostId } from '../../model/ids.ts';

export interface Ranking {
  in(cluster: string): Iterable<HostView>;
  /** The host's figures are others now. */
  changed(id: HostId): void;
}

interface Ranked {
  readonly view: HostView;
  load: number;
  spare: number;
}

export interface Figures {
  readonly loadOf: (id: HostId) => number;
  readonly spareOf: (view: HostView) => number;
}

export function createRanking(hosts: readonly HostView[], { loadOf, spareOf }: Figures): Ranking {
  const known = new Map<HostId, Ranked>();
  const lists = new Map<string, Ranked[]>();
  const read = (view: HostView): Ranked => ({ view, load: loadOf(view.host.id), spare: spareOf(view) });
  for (const view of hosts) {
    const ranked = read(view);
    known.set(view.host.id, ranked);
    const list = lists.get(view.host.cluster);
    if (list === undefined) lists.set(view.host.cluster, [ranked]);
    else list.push(ranked);
  }
  for (const list of lists.values()) list.sort(order);
  return {
    *in(cluster) {
      // a list of its own: one that is read may change
      for (const { view } of lists.get(cluster)?.slice() ?? []) yield view;
    },
    changed(id) {
      const ranked = known.get(id);
      const list = ranked === undefined ? undefined : lists.get(ranked.view.host.cluster);
      if (ranked === undefined || list === undefined) return;
      list.splice(placeOf(list, ranked), 1);
      Object.assign(ranked, read(ranked.view));
      list.splice(placeOf(list, ranked), 0, ranked);
    },
  };
}

const order = (a: Ranked, b: Ranked): number =>
  a.load - b.load ||
  b.spare - a.spare ||
  (a.view.host.name < b.view.host.name ? -1 : a.view.host.name > b.view.host.name ? 1 : 0) ||
  (a.view.host.id < b.view.host.id ? -1 : a.view.host.id > b.view.host.id ? 1 : 0);

/** Where it is, or would be. */
function placeOf(list: readonly Ranked[], ranked: Ranked): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const there = list[middle];
    if (there !== undefined && order(there, ranked) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
