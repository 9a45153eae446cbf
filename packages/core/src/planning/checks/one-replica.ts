import { carriesGuest } from '../check-input.ts';
import { vmCheck } from './check.ts';

/** What the operator says of storage that Ferry cannot look into. */
export const oneReplicaLabel = 'replicas=1';

export const oneReplica = vmCheck({
  name: 'one-replica',
  codes: ['vm-one-replica'],
  find: (input) =>
    input.labels?.includes(oneReplicaLabel) === true && carriesGuest(input)
      ? [
          {
            code: 'vm-one-replica',
            message:
              `The label ${oneReplicaLabel} says that the storage of ${input.vm.name} has one replica, ` +
              'which may be out of reach on another host.',
            remedy: `Give the volumes a second replica and remove the label: ferry vm label ${input.vm.name} ${oneReplicaLabel}-`,
          },
        ]
      : [],
});
