export { hookCaller } from './hooks/hooks.ts';
export { libvirtHypervisor } from './libvirt/hypervisor.ts';
export { openSqliteStores } from './sqlite/index.ts';
