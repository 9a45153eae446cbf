import type { Reason } from '../../model/reasons.ts';
import type { CheckInput } from '../check-input.ts';
import { vmCheck } from './check.ts';

export const ownDefinition = vmCheck({
  name: 'own-definition',
  codes: ['xml-malformed', 'xml-identity', 'xml-disks'],
  find: ownXmlReasons,
});

/** The operator's own definition has to be one, and of this VM. */
function ownXmlReasons({ vm, ownXml, facts }: CheckInput): readonly Reason[] {
  if (ownXml === undefined) return [];
  const remedy = `Start from the output of "virsh dumpxml --inactive ${vm.name}" on its host, and change only what must differ.`;
  if ('problem' in ownXml)
    return [{ code: 'xml-malformed', message: `The definition in --xml cannot be read: ${ownXml.problem}.`, remedy }];
  if (ownXml.uuid !== vm.uuid || ownXml.name !== vm.name) {
    return [
      {
        code: 'xml-identity',
        message: `The definition in --xml is of ${ownXml.name} (${ownXml.uuid}), not of ${vm.name} (${vm.uuid}).`,
        remedy,
      },
    ];
  }
  const lost = (facts?.disks ?? [])
    .filter(({ target, source }) => source !== undefined && ownXml.disks[target] === undefined)
    .map(({ target }) => target);
  return lost.length === 0
    ? []
    : [
        {
          code: 'xml-disks',
          message: `The definition in --xml has no disk ${lost.join(', ')}, which ${vm.name} has.`,
          remedy,
        },
      ];
}
