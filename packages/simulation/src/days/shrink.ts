/** Makes a bad day smaller: as few steps as possible that still show the same kind of fault. */
import { liveDay } from './day.ts';
import { planOf } from './plan.ts';

export { planOf };

/** Figures and names change with what is left out. */
const kindOf = (broken: string | undefined): string =>
  (broken ?? '').replace(/\b(web|db|mail|batch|app\d|h\d)\b|\d+/g, '');

export const dayOf = (seed: number, only?: readonly number[]): ReturnType<typeof liveDay> => {
  const plan = planOf(seed);
  return liveDay(only === undefined ? plan : { ...plan, steps: plan.steps.filter((_, at) => only.includes(at)) }, seed);
};

/** The places of the steps that are left; each run is one try. */
export async function shrink(seed: number, broken: string, mostTries = 60): Promise<readonly number[]> {
  let left = planOf(seed).steps.map((_, at) => at);
  let tries = 0;
  for (
    let size = Math.ceil(left.length / 2);
    size >= 1 && tries < mostTries;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  )
    for (let from = 0; from < left.length && tries < mostTries;) {
      const fewer = left.filter((_, at) => at < from || at >= from + size);
      tries += 1;
      const still = (await dayOf(seed, fewer)).broken.some((each) => kindOf(each) === kindOf(broken));
      if (still) left = fewer;
      else from += size;
    }
  return left;
}
