import { defaultCluster } from '../../model/host.ts';
import { sourceOf, wantedCluster } from '../check-input.ts';
import { hostCheck } from './check.ts';

export const cluster = hostCheck({
  name: 'cluster',
  codes: ['target-other-cluster'],
  find: ({ input, target: { host } }) =>
    host.cluster === wantedCluster(input)
      ? []
      : [
          {
            code: 'target-other-cluster',
            host: host.name,
            message:
              `${host.name} belongs to the cluster ${host.cluster}, ${input.vm.name} is in ` +
              `${sourceOf(input)?.host.cluster ?? defaultCluster}.`,
            remedy: `Add --to-cluster ${host.cluster} to move it there.`,
          },
        ],
});
