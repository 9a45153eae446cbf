import type { Reason } from '../../model/reasons.ts';
import { hostNameIn } from '../check-input.ts';
import { ruleReasons, ruleWarnings } from '../rules/judge.ts';
import { hostCheck } from './check.ts';

/** Where rules let the VM be: hard ones refuse the host, soft ones warn. */
export const rules = hostCheck({
  name: 'rules',
  codes: ['rule-apart', 'rule-together', 'rule-on-hosts', 'rule-off-hosts', 'rule-soft'],
  find: ({ input, target: { host } }) => {
    const { vm, rules: known = [] } = input;
    const soft = ruleWarnings(vm, known, host, hostNameIn(input)).map((message): Reason => ({
      code: 'rule-soft',
      host: host.name,
      message,
      remedy: 'Choose another host, or change the rule (ferry rule list).',
    }));
    return [...ruleReasons(vm, known, host, hostNameIn(input)), ...soft];
  },
});
