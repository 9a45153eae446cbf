/**
 * Runs the grid of policies and prints it as lines of JSON: one per contender, then the verdict. `--quick` takes every
 * third cell. For bench/src/converge-simulated.ts, which uses the product from outside.
 */
import { parseArgs } from 'node:util';
import { bandwidthMiB, contenders, gridCells, isEqual, judgeGrid, linkMiB, memoryMiB, runGrid } from './grid.ts';

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
const cells = values.quick ? gridCells.filter((_, index) => index % 3 === 0) : gridCells;
const grid = runGrid(cells);
for (const [name, runs] of grid) {
  const content = contenders.get(name);
  console.log(JSON.stringify({ name, equal: content !== undefined && isEqual(content), runs }));
}
console.log(JSON.stringify({ verdict: judgeGrid(grid), bandwidthMiB, linkMiB, memoryMiB }));
