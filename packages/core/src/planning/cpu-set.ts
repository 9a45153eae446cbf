/** Sets of CPUs and NUMA nodes as libvirt writes them: 0-3,^2,8. Pure. */

/** No machine has more; a longer range is cut. */
const most = 8_192;

export function cpuSetOf(text: string): ReadonlySet<number> {
  const found = new Set<number>();
  for (const part of text.split(',')) {
    const [, not, first, last] = /^\s*(\^?)(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part) ?? [];
    if (first === undefined) continue;
    const end = Math.min(Number(last ?? first), most);
    for (let each = Number(first); each <= end; each += 1) {
      if (not === '^') found.delete(each);
      else found.add(each);
    }
  }
  return found;
}

/** 0-3,8 */
export function cpuSetText(numbers: Iterable<number>): string {
  const ranges: { readonly first: number; last: number }[] = [];
  for (const each of [...new Set(numbers)].toSorted((a, b) => a - b)) {
    const range = ranges.at(-1);
    if (range !== undefined && range.last === each - 1) range.last = each;
    else ranges.push({ first: each, last: each });
  }
  return ranges.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(',');
}
