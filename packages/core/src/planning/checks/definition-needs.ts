import { moveCheck } from './check.ts';

/** What the definition names: networks, filters, secrets, paths, mapped pools. */
export const definitionNeeds = moveCheck({
  name: 'definition-needs',
  needs: 'definition',
  codes: [
    'map-pool-missing',
    'network-missing',
    'network-inactive',
    'bridge-missing',
    'filter-missing',
    'secret-missing',
    'secret-no-value',
    'secret-private',
    'secret-usage-taken',
    'secret-unknown',
    'file-missing',
    'folder-missing',
    'path-unknown',
    'folder-content-unknown',
  ],
  find: ({ planned }) => planned.definition,
});
