/** Rules on where VMs may be, and all settings as one document. */
import { z } from 'zod';
import type { OperationName } from '../routes.ts';
import { configurationAppliedSchema, configurationApplySchema, configurationSchema } from '../schemas/configuration.ts';
import { nameText } from '../schemas/parts.ts';
import { ruleChangeSchema, ruleSchema } from '../schemas/rule.ts';
import { listErrors, listOf, listQuery } from './list.ts';
import type { Operation } from './operation.ts';

const ruleParams = z.strictObject({ rule: nameText().meta({ description: 'Name of a rule' }) });

export const ruleOperations = {
  ruleList: {
    summary: 'List the rules on where VMs may be',
    query: listQuery({}),
    answer: listOf(ruleSchema, 'RuleList'),
    status: 200,
    errors: listErrors,
  },
  ruleShow: {
    summary: 'Show one rule',
    params: ruleParams,
    answer: ruleSchema,
    status: 200,
    errors: ['request-invalid', 'rule-unknown'],
  },
  ruleChange: {
    summary: 'Create a rule or change some of its fields; refused if hard rules would contradict each other',
    params: ruleParams,
    body: ruleChangeSchema,
    answer: ruleSchema,
    ifMatch: true,
    status: 200,
    errors: ['request-invalid', 'rule-invalid', 'rules-contradict', 'store-conflict'],
  },
  ruleRemove: {
    summary: 'Delete a rule',
    params: ruleParams,
    ifMatch: true,
    status: 204,
    errors: ['request-invalid', 'rule-unknown', 'store-conflict'],
  },
  configurationShow: {
    summary: 'Show your policies, clusters, bindings, labels and rules as one document',
    answer: configurationSchema,
    status: 200,
    errors: [],
  },
  configurationApply: {
    summary: 'Compare such a document with what is stored, and apply it; nothing changes if anything in it is wrong',
    body: configurationApplySchema,
    bodyLimitBytes: 16 * 1024 * 1024,
    answer: configurationAppliedSchema,
    status: 200,
    errors: [
      'request-invalid',
      'configuration-invalid',
      'rules-contradict',
      'rule-invalid',
      'policy-unknown',
      'policy-invalid',
      'host-unknown',
      'store-conflict',
    ],
  },
} as const satisfies Partial<Record<OperationName, Operation>>;
