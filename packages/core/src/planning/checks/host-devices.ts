import { moveCheck } from './check.ts';

/** Of a VM that does not run: a running one does not move with them at all. */
export const hostDevices = moveCheck({
  name: 'host-devices',
  needs: 'definition',
  codes: ['target-devices-unknown'],
  find: ({ planned }) => planned.devices,
});
