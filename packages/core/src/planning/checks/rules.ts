import { hostNameIn } from '../check-input.ts';
import { ruleReasons, softRuleReasons } from '../rules/judge.ts';
import { hostCheck } from './check.ts';

/** Where rules let the VM be: hard ones refuse the host, soft ones warn. */
export const rules = hostCheck({
  name: 'rules',
  codes: ['rule-apart', 'rule-together', 'rule-on-hosts', 'rule-off-hosts', 'rule-soft'],
  find: ({ input, target: { host } }) => [
    ...ruleReasons(input.vm, input.rules ?? [], host, hostNameIn(input)),
    ...softRuleReasons(input.vm, input.rules ?? [], host, hostNameIn(input)),
  ],
});
