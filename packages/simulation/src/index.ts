export { virtualClock } from './clock.ts';
export { simulatedHypervisor, type SimulatedFleet, type SimulatedFleetOptions } from './hypervisor.ts';
export { createDomain, createHost, type SimulatedDomain, type SimulatedHost } from './fleet.ts';
export { steadyLink } from './link.ts';
