/** `virsh migrate` as Ferry moves a guest: live and peer-to-peer, and the source keeps nothing. */
export const migrateLive = [
  'migrate',
  '--live',
  '--p2p',
  '--persistent',
  '--undefinesource',
  '--abort-on-error',
] as const;
