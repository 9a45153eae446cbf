/** The first state of a migration: what was asked for, by whom, and where the VM is. Nothing is checked here. */
import type { HostRef } from '../model/host.ts';
import type { MigrationId, TimeMs } from '../model/ids.ts';
import type { Migration } from '../model/migration.ts';
import type { ResolvedPolicy } from '../model/policy.ts';
import type { MigrationKind, MigrationRequest, RequestedBy } from '../model/request.ts';
import type { Vm } from '../model/vm.ts';

export interface Beginning {
  readonly id: MigrationId;
  readonly vm: Vm;
  readonly from: HostRef;
  readonly kind: MigrationKind;
  readonly request: MigrationRequest;
  readonly policy: ResolvedPolicy;
  readonly by: RequestedBy;
}

export function beginMigration({ id, vm, from, kind, request, policy, by }: Beginning, now: TimeMs): Migration {
  const { rescue } = request;
  const { actor, client, origin = 'operator', batch } = by;
  return {
    id,
    name: `${batch?.name ?? vm.name}-${id.slice(-5)}`,
    vm: { uuid: vm.uuid, name: vm.name },
    memoryBytes: vm.memoryBytes,
    kind,
    origin,
    ...(batch === undefined ? {} : { batch }),
    actor,
    client,
    request,
    ...(rescue === undefined
      ? {}
      : { proofOfDeath: { host: from.name, statement: rescue.statement, actor: rescue.by ?? actor, at: now } }),
    from,
    policy,
    ...(policy.deadlineMs === undefined ? {} : { deadlineAt: now + policy.deadlineMs }),
    phase: 'queued',
    phases: [{ phase: 'queued', at: now }],
    vmIsNow: { host: from.name, state: vm.state },
    evidence: {},
  };
}
