/**
 * Method and path of each operation: the half of the operations table that needs no schema library, so that the CLI
 * starts without loading one. operations.ts attaches params, bodies, answers and errors to the same names.
 */
export const apiBase = '/api/v1';

export const routes = {
  versionShow: { method: 'GET', path: '/version' },
  hostList: { method: 'GET', path: '/hosts' },
  hostAdd: { method: 'POST', path: '/hosts' },
  hostShow: { method: 'GET', path: '/hosts/{host}' },
  hostRemove: { method: 'DELETE', path: '/hosts/{host}' },
  hostChange: { method: 'PATCH', path: '/hosts/{host}' },
  hostCordon: { method: 'POST', path: '/hosts/{host}/cordon' },
  hostUncordon: { method: 'POST', path: '/hosts/{host}/uncordon' },
  hostLabel: { method: 'POST', path: '/hosts/{host}/labels' },
  fleetShow: { method: 'GET', path: '/fleet' },
  fleetChange: { method: 'PATCH', path: '/fleet' },
  queueList: { method: 'GET', path: '/queue' },
  clusterList: { method: 'GET', path: '/clusters' },
  clusterChange: { method: 'PATCH', path: '/clusters/{cluster}' },
  clusterRemove: { method: 'DELETE', path: '/clusters/{cluster}' },
  policyList: { method: 'GET', path: '/policies' },
  policyShow: { method: 'GET', path: '/policies/{policy}' },
  policyPut: { method: 'PUT', path: '/policies/{policy}' },
  policyRemove: { method: 'DELETE', path: '/policies/{policy}' },
  policyBindings: { method: 'GET', path: '/policy-bindings' },
  policyBind: { method: 'POST', path: '/policy-bindings' },
  ruleList: { method: 'GET', path: '/rules' },
  ruleShow: { method: 'GET', path: '/rules/{rule}' },
  ruleChange: { method: 'PATCH', path: '/rules/{rule}' },
  ruleRemove: { method: 'DELETE', path: '/rules/{rule}' },
  configurationShow: { method: 'GET', path: '/configuration' },
  configurationApply: { method: 'POST', path: '/configuration' },
  vmList: { method: 'GET', path: '/vms' },
  vmShow: { method: 'GET', path: '/vms/{vm}' },
  vmLabel: { method: 'POST', path: '/vms/{vm}/labels' },
  vmAnnounce: { method: 'POST', path: '/vms/{vm}/announce' },
  vmDirtyRate: { method: 'POST', path: '/vms/{vm}/dirty-rate' },
  vmCopies: { method: 'GET', path: '/vms/{vm}/copies' },
  vmSettle: { method: 'POST', path: '/vms/{vm}/settle' },
  vmRemains: { method: 'GET', path: '/vms/{vm}/remains' },
  vmCleanup: { method: 'POST', path: '/vms/{vm}/cleanup' },
  migrationList: { method: 'GET', path: '/migrations' },
  migrationCreate: { method: 'POST', path: '/migrations' },
  migrationPlan: { method: 'POST', path: '/migrations/plan' },
  migrationShow: { method: 'GET', path: '/migrations/{migration}' },
  migrationAbort: { method: 'POST', path: '/migrations/{migration}/abort' },
  migrationTune: { method: 'PATCH', path: '/migrations/{migration}' },
  migrationPause: { method: 'POST', path: '/migrations/{migration}/pause' },
  migrationSamples: { method: 'GET', path: '/migrations/{migration}/samples' },
  migrationInspect: { method: 'GET', path: '/migrations/{migration}/inspection' },
  migrationPostCopy: { method: 'POST', path: '/migrations/{migration}/postcopy' },
  statsPrediction: { method: 'GET', path: '/stats/prediction' },
  leftoverList: { method: 'GET', path: '/volumes/leftovers' },
  leftoverPurge: { method: 'POST', path: '/volumes/leftovers/purge' },
  /** Server-sent events: the migration's state now, then each change; ends with the migration. */
  migrationWatch: { method: 'GET', path: '/migrations/{migration}/watch' },
  /** Server-sent events with ids; `Last-Event-ID` replays the stored events after that id. */
  eventWatch: { method: 'GET', path: '/events' },
} as const;

export type OperationName = keyof typeof routes;
