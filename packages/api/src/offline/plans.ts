/** Plans on a recorded fleet, as they are printed. A refusal is the error that the control plane would answer with. */
import { errorReport, errorTable, FerryError, knownFleet, planDrain, planMove, type Fleet } from '@ferry/core';
import { ApiError } from '../client.ts';
import { hostAnswerJson } from '../host-answer.ts';
import type { DrainJson } from '../schemas/drain.ts';
import type { PlannedMigrationJson } from '../schemas/migration.ts';

/** In all but what has to be asked of hosts like a plan of the control plane. */
export interface MoveOnFile extends Pick<PlannedMigrationJson, 'vm' | 'from' | 'to' | 'hosts' | 'kind'> {
  readonly takenAt: string;
  /** What it waits for there. */
  readonly waits: readonly string[];
  /** What of the VM itself the file does not say; what it does not say of each host is among the findings. */
  readonly unchecked: readonly string[];
}

export interface DrainOnFile extends Pick<DrainJson, 'hosts'> {
  readonly takenAt: string;
  readonly members: readonly Omit<DrainJson['members'][number], 'state' | 'tries' | 'migration'>[];
}

export interface MoveWish {
  readonly to?: string;
  readonly preferHost?: string;
  readonly toCluster?: string;
  readonly kind?: 'live' | 'suspended' | 'cold' | 'configuration';
  readonly policy?: string;
}

const timeOf = ({ takenAt }: Fleet): string => new Date(takenAt).toISOString();

/** Throws ApiError, `migration-refused` with every reason of every host. */
export const moveOnFile = (fleet: Fleet, ref: string, wish: MoveWish): MoveOnFile =>
  refused(() => {
    const known = knownFleet(fleet);
    const vm = known.vm(ref);
    for (const host of [wish.to, wish.preferHost]) if (host !== undefined) known.host(host);
    const moved = fleet.migrations.find((each) => each.vm.uuid === vm.uuid);
    if (moved !== undefined)
      throw new FerryError(
        'vm-already-migrating',
        `${vm.name} was being moved by migration ${moved.id} when the file was made.`,
      );
    const result = planMove(known, vm, wish);
    if (result.kind === 'refused')
      throw new FerryError('migration-refused', `${vm.name} cannot be moved.`, {
        reasons: result.reasons,
        answers: result.answers ?? [],
      });
    return {
      takenAt: timeOf(fleet),
      vm: { uuid: vm.uuid, name: vm.name },
      kind: result.move,
      from: known.host(vm.hostId).host.name,
      to: result.to.name,
      unchecked: [
        `Whether ${vm.name} has devices, shared folders, snapshots or saved memory that forbid this move or change its kind.`,
      ],
      waits: result.kind === 'waits' ? result.reasons.map(({ message }) => message) : [],
      hosts: (result.answers ?? []).map(hostAnswerJson),
    };
  });

/** Throws ApiError. `now`: its date is that of the plan, and not of the file. */
export const drainOnFile = (
  fleet: Fleet,
  hosts: readonly string[],
  now: number,
  options: { readonly force?: boolean; readonly neverDegrade?: boolean },
): DrainOnFile =>
  refused(() => ({
    takenAt: timeOf(fleet),
    hosts: [...hosts],
    members: planDrain(fleet, hosts, now, options).map(({ vm, memoryBytes, from, to, way, note }) => ({
      vm: { ...vm },
      memoryBytes,
      from: from.name,
      way,
      ...(to === undefined ? {} : { to: to.name }),
      ...(note === undefined ? {} : { note }),
    })),
  }));

function refused<T>(plan: () => T): T {
  try {
    return plan();
  } catch (error) {
    if (!(error instanceof FerryError)) throw error;
    const { code, message, remedy, reasons } = errorReport(error.code, error.message, error.reasons);
    throw new ApiError(
      {
        code,
        status: errorTable[error.code].status,
        message,
        remedy,
        reasons: reasons.map((reason) => ({ ...reason })),
        hosts: error.answers.map(hostAnswerJson),
      },
      { cause: error },
    );
  }
}
