/** Many calls to one host, a few at a time, so that other callers do not wait behind all of them. */

/** As many as one connection has in flight. */
const atOnce = 4;

/**
 * What `work` makes of each item, in the items' order. The first failure ends it; what has begun by then is waited
 * for by nobody.
 */
export async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  const rest = items.entries();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (const [index, item] of rest) {
      if (failed) return;
      results[index] = await work(item);
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  } catch (error) {
    failed = true;
    throw error;
  }
  return results;
}
