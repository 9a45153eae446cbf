import { carriesGuest, factsOf, sourceOf } from '../check-input.ts';
import { hasDefect, knownDefects as table } from '../known-defects.ts';
import { moveCheck } from './check.ts';

/** Of a guest whose state travels; a definition alone meets none of them. */
export const knownDefects = moveCheck({
  name: 'known-defects',
  codes: ['known-defect'],
  find: ({ input, target, planned: { plan } }) => {
    const source = sourceOf(input);
    if (source === undefined || !carriesGuest(input)) return [];
    const move = { vm: input.vm, facts: factsOf(input), source, target, plan };
    return table.flatMap((defect) => {
      const has = defect.on === 'source' ? source : target;
      if (!hasDefect(defect, has) || defect.meets?.(move) !== true) return [];
      return [
        {
          code: 'known-defect',
          host: target.host.name,
          message: `libvirt ${has.facts?.libvirtVersion ?? '?'} on ${has.host.name}: ${defect.what} (${defect.source}, ${defect.id}).`,
          remedy: defect.remedy,
        },
      ];
    });
  },
});
