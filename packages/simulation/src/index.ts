export { virtualClock } from './clock.ts';
export { simulatedHypervisor, type SimulatedFleet, type SimulatedFleetOptions } from './hypervisor.ts';
