export { libvirtHypervisor } from './libvirt/hypervisor.ts';
export { openSqliteStores } from './sqlite/index.ts';
