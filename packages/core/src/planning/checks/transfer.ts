import { moveCheck } from './check.ts';

/** How the bytes would travel: modes, ports, and what does not go together. Ports that will be free are waited for. */
export const transfer = moveCheck({
  name: 'transfer',
  codes: [
    'target-not-addressable',
    'compression-parallel',
    'compression-single',
    'compression-unsupported',
    'migration-network',
    'migration-ports',
    'post-copy-direct',
    'post-copy-parallel',
    'post-copy-tunnelled',
    'post-copy-unfit',
    'tunnelled-copies',
    'tunnelled-direct',
    'tunnelled-parallel',
    'tunnelled-tls',
    'zero-copy-changed',
    'zero-copy-single',
    'zero-copy-unsupported',
  ],
  find: ({ planned }) => planned.transfer,
});
