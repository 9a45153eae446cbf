import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DefinitionPlan, Migration } from '@ferry/core';
import { rewritten } from './context.ts';

test("the operator's own definition stays as it is, but for the images below a disk that was joined", () => {
  const rewriteDefinition = (xml: string, plan: DefinitionPlan): string =>
    `${xml} with ${Object.keys(plan).join(', ')}`;
  const given = (definition: DefinitionPlan | undefined): string =>
    rewritten(
      {
        request: { xml: 'own' },
        plan: { disks: [], ...(definition === undefined ? {} : { definition }) } as unknown as NonNullable<
          Migration['plan']
        >,
      },
      'now',
      "the host's",
      { rewriteDefinition },
    );
  assert.equal(given(undefined), "the host's");
  assert.equal(given({ networks: {} }), "the host's with networks");
  assert.equal(given({ ownXml: true, disks: {} }), 'own');
  assert.equal(given({ ownXml: true, disks: {}, chains: { vda: [] } }), 'own with chains');
});
