import { factsOf } from '../check-input.ts';
import { mapReasons } from '../definition.ts';
import { vmCheck } from './check.ts';

export const mappedNetworks = vmCheck({
  name: 'mapped-networks',
  codes: ['map-network-unknown'],
  find: (input) =>
    input.facts !== undefined && input.ownXml === undefined
      ? mapReasons(input.vm.name, factsOf(input).needs, input.request.map)
      : [],
});
