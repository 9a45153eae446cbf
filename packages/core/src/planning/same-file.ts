/**
 * Whether two hosts see one file, from what each says of it. Pure. A folder that both have does not tell it: a link or
 * a mount in the folder may lead to a file of one host. The time of the last change of a file's inode (ctime, ns)
 * cannot be set by anyone, so copies differ in it.
 */

/** A file as a host sees it at one moment, links followed. */
export interface SeenFile {
  readonly sizeBytes: number;
  /** Nanoseconds of the last change; only ever grows. */
  readonly changedNs: bigint;
}

/**
 * What one host saw before and after the other looked. `same`: both saw one state. `between`: it is written to all the
 * time, and what the other saw lies between. `again`: the other saw another state, or nothing: it is another file, or
 * one of them looks at what it remembers.
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
