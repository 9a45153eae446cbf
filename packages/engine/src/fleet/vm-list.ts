/**
 * Pages of the VMs, by name, filtered. A page looks at what its filter may match and begins where the last one ended:
 * without a filter its cost does not depend on the size of the fleet, but for a host it depends on what that host has.
 */
import { matchesName, matchesSelector, parseSelector, unknownCluster } from '@ferry/core';
import type { DomainState, HostId, HostView, Selector, Vm, VmUuid } from '@ferry/core';
import { inOrder, type VmIndex } from './vm-index.ts';

/** All that is given has to hold. */
export interface VmFilter {
  /** Name or id. */
  readonly host?: string;
  readonly cluster?: string;
  readonly state?: DomainState;
  /** A selector of labels. */
  readonly label?: string;
  /** A name, in which `*` stands for any characters. */
  readonly name?: string;
  readonly uuid?: string;
}

/** The last VM of a page. */
export type VmCursor = Pick<Vm, 'name' | 'uuid'>;

export interface VmPage {
  readonly items: readonly Vm[];
  /** Absent on the last page. */
  readonly next?: VmCursor;
}

export interface VmListDeps {
  readonly index: Pick<VmIndex, 'all' | 'get' | 'on' | 'named' | 'countOn'>;
  /** Throws FerryError `host-unknown`, `host-ambiguous`. */
  readonly host: (ref: string) => HostView;
  readonly hosts: () => readonly HostView[];
  readonly isCluster: (name: string) => boolean;
  readonly labelsOf: (vm: VmUuid) => readonly string[];
  /** VMs that can match, and maybe others; undefined where any VM can. */
  readonly labelled: (selector: Selector) => readonly VmUuid[] | undefined;
}

/** Throws FerryError `host-unknown`, `host-ambiguous`, `cluster-unknown`, `selector-invalid`. */
export function pageOfVms(
  filter: VmFilter,
  { limit, after }: { readonly limit: number; readonly after?: VmCursor },
  deps: VmListDeps,
): VmPage {
  const hosts = hostsOf(filter, deps);
  const selector = filter.label === undefined ? undefined : parseSelector(filter.label);
  const hasLabels = ({ uuid }: Vm): boolean => selector === undefined || matchesSelector(selector, deps.labelsOf(uuid));
  const isMeant = (vm: Vm): boolean =>
    (hosts === undefined || hosts.has(vm.hostId)) &&
    (filter.state === undefined || vm.state === filter.state) &&
    (filter.name === undefined || matchesName(filter.name, vm.name)) &&
    (filter.uuid === undefined || vm.uuid === filter.uuid.toLowerCase()) &&
    hasLabels(vm);
  const candidates = (): readonly Vm[] => {
    const { index } = deps;
    if (filter.uuid !== undefined) return present([index.get(filter.uuid.toLowerCase() as VmUuid)]);
    if (filter.name !== undefined && !filter.name.includes('*')) return index.named(filter.name).toSorted(inOrder);
    const all = index.all();
    const labelled = selector === undefined ? undefined : deps.labelled(selector);
    if (labelled !== undefined && isFew(labelled.length, all))
      return present(labelled.map((uuid) => index.get(uuid))).sort(inOrder);
    if (hosts === undefined) return all;
    const onThem = [...hosts].reduce((sum, id) => sum + index.countOn(id), 0);
    return isFew(onThem, all) ? [...hosts].flatMap((id) => index.on(id)).sort(inOrder) : all;
  };

  const list = candidates();
  const items: Vm[] = [];
  for (let at = after === undefined ? 0 : placeAfter(list, after); at < list.length; at += 1) {
    const vm = list[at];
    if (vm === undefined || !isMeant(vm)) continue;
    const last = items.at(-1);
    if (items.length === limit && last !== undefined) return { items, next: { name: last.name, uuid: last.uuid } };
    items.push(vm);
  }
  return { items };
}

/** To sort more of the fleet costs more than to walk through it until a page is full. */
const isFew = (count: number, all: readonly Vm[]): boolean => count * 50 < all.length;

/** Undefined: any. */
function hostsOf({ host, cluster }: VmFilter, deps: VmListDeps): ReadonlySet<HostId> | undefined {
  if (cluster !== undefined && !deps.isCluster(cluster)) throw unknownCluster(cluster);
  if (host === undefined && cluster === undefined) return undefined;
  const named = host === undefined ? deps.hosts() : [deps.host(host)];
  return new Set(
    named.filter((each) => cluster === undefined || each.host.cluster === cluster).map((each) => each.host.id),
  );
}

const present = (vms: readonly (Vm | undefined)[]): Vm[] => vms.flatMap((vm) => vm ?? []);

/** Index of the first one after the cursor. */
function placeAfter(list: readonly Vm[], cursor: VmCursor): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const there = list[middle];
    if (there !== undefined && inOrder(there, cursor) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
