import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorTable, openApiDocument, operations, routes, apiBase } from './index.ts';
import type { OperationName } from './index.ts';

const document = openApiDocument('1.2.3');
const names = Object.keys(routes) as OperationName[];

test('every operation of the table is in the document, under its route', () => {
  assert.deepEqual(Object.keys(operations).sort(), names.toSorted());
  for (const name of names) {
    const operation = document.paths[`${apiBase}${routes[name].path}`]?.[routes[name].method.toLowerCase()];
    assert.equal(operation?.operationId, name);
    assert.ok(operation.responses[String(operations[name].status)] !== undefined);
    for (const code of operation['x-ferry-errors'])
      assert.ok(operation.responses[String(errorTable[code].status)]?.description.includes(code));
    const inPath = [...routes[name].path.matchAll(/\{(\w+)\}/g)].map(([, key]) => key);
    assert.deepEqual(
      (operation.parameters ?? []).filter((one) => one.in === 'path').map((one) => one.name),
      inPath,
    );
  }
});

test('every reference leads to a component', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, target]) => target ?? '');
  assert.ok(references.length > 20);
  for (const target of references) {
    const name = /^#\/components\/schemas\/(\w+)$/.exec(target)?.[1];
    assert.ok(name !== undefined && document.components.schemas[name] !== undefined, target);
  }
});

test('answers stay open for later fields, requests are closed', () => {
  assert.equal(document.components.schemas['Migration']?.['additionalProperties'], undefined);
  assert.equal(document.components.schemas['MigrationCreate']?.['additionalProperties'], false);
});
