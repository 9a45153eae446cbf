// What a guest's serial log says about its counter: the counter goes on through a live migration, and begins again at 1
// with each boot. It reads text only; where the log comes from is vm.ts.

export type TickReport = {
  /** Counters seen, one list per boot. */
  readonly boots: readonly (readonly number[])[];
  readonly last: number;
  /** Within each boot every number follows the one before it: none is missing, none comes twice. */
  readonly contiguous: boolean;
};

export function readTicks(log: string): TickReport {
  const boots: number[][] = [];
  for (const line of log.split('\n')) {
    if (line.startsWith('boot name=')) boots.push([]);
    const tick = /^tick (\d+) uptime_ms=\d+$/.exec(line)?.[1];
    if (tick !== undefined) boots.at(-1)?.push(Number(tick));
  }
  return {
    boots,
    last: boots.at(-1)?.at(-1) ?? 0,
    contiguous: boots.every((ticks) => ticks.every((tick, index) => tick === index + 1)),
  };
}
