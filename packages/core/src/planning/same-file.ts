/**
 * Whether two hosts see the same file, from what each reports. Pure. A shared folder does not prove it: a link or a
 * mount in the folder may lead to a file of one host. The time of the last change of a file's inode (ctime, ns) cannot
 * be set by anyone, so copies differ in it.
 */

/** A file as a host sees it at one moment, links followed. */
export interface SeenFile {
  readonly sizeBytes: number;
  /** Nanoseconds of the last change; only ever grows. */
  readonly changedNs: bigint;
}

/**
 * Compares what one host saw before and after the other one looked. `same`: both saw the same state. `between`: the
 * file is being written, and the other host saw a state between the two. `again`: the other host saw another state or
 * no file: it is another file, or one host reads its cache.
 */
export function compareSeen(
  before: SeenFile,
  other: SeenFile | undefined,
  after: SeenFile,
): 'same' | 'between' | 'again' {
  if (other === undefined) return 'again';
  const is = (seen: SeenFile): boolean => seen.changedNs === other.changedNs && seen.sizeBytes === other.sizeBytes;
  if (is(before) || is(after)) return 'same';
  return before.changedNs < other.changedNs &&
    other.changedNs < after.changedNs &&
    before.sizeBytes <= other.sizeBytes &&
    other.sizeBytes <= after.sizeBytes
    ? 'between'
    : 'again';
}
