export { libvirtHypervisor } from './libvirt/hypervisor.ts';
export { virtualClock } from './simulated/clock.ts';
export { simulatedHypervisor, type SimulatedFleet, type SimulatedFleetOptions } from './simulated/hypervisor.ts';
export { openSqliteStores } from './sqlite/index.ts';
