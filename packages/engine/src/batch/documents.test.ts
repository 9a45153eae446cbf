import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchId, hostId, migrationId, mostMembers, vmUuid, type Batch, type BatchMember } from '@ferry/core';
import { memoryStores } from '../fake/stores.ts';
import { maxIntentBytes } from '../ports/ports.ts';
import { batchDocuments } from './documents.ts';

/** As little to be packed as real ones: a generator of 32 bits, so that the test is the same each time. */
let seed = 1;
const random = (): number => {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return seed >>> 0;
};
const hex = (length: number): string =>
  Array.from({ length: Math.ceil(length / 8) }, () => random().toString(16).padStart(8, '0'))
    .join('')
    .slice(0, length);
const randomUUID = (): string => `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`;

const hosts = Array.from({ length: 900 }, () => hostId(`h${randomUUID().slice(0, 9)}`));
const hostAt = (index: number) => hosts[index % hosts.length] ?? hostId('h');

const memberOf = (index: number): BatchMember => ({
  vm: { uuid: vmUuid(randomUUID()), name: `customer-${index * 7_919}-db` },
  memoryBytes: 1_048_576 * (1_000 + index),
  from: { id: hostAt(index % 40), name: `hypervisor-${index % 40}.example` },
  to: { id: hostAt(index), name: `hypervisor-${index % 900}.example` },
  way: 'live',
  state: 'failed',
  migration: migrationId(randomUUID().slice(0, 13)),
  tries: 3,
  tried: [hostAt(index * 17)],
  note: `The host hypervisor-${index % 900}.example has ${index * 31} MiB free and the VM needs ${index * 37} MiB.`,
  curve: {
    at: 1_700_000_000_000 + index * 1_013,
    readings: [{ seconds: 1, bytesPerSecond: index * 104_729 }],
    residentBytes: index * 1_299_709,
  },
});
const batchOf = (members: number, note = ''): Batch => ({
  id: batchId('d1'),
  name: 'drain-h1-d1',
  kind: 'drain',
  actor: 'operator',
  client: 'test',
  hosts: [{ id: hostId('h1'), name: 'h1' }],
  startedAt: 0,
  phase: 'running',
  members: Array.from({ length: members }, (_, index) => ({
    ...memberOf(index),
    ...(note === '' ? {} : { note: `${note}${index}` }),
  })),
});

test('a batch with the most members fits into a document, and is read as it was', async () => {
  const { intents } = memoryStores();
  const stored = batchDocuments(intents);
  for (const members of [0, 3, 150, mostMembers]) {
    const batch = batchOf(members, members === 150 ? 'x'.repeat(3_000) : '');
    const write = stored.put(`d${members}`, batch, 0);
    const bytes = Buffer.byteLength(JSON.stringify('value' in write ? write.value : ''));
    assert.ok(bytes <= maxIntentBytes * 0.95, `${members} members take ${bytes} bytes`);
    const written = await stored.commit([write]);
    assert.ok('revision' in written);
    assert.deepEqual((await stored.get(`d${members}`))?.value, batch);
  }
});

test('a packed document that is not what was written is refused, whatever it unpacks to', async () => {
  const { intents } = memoryStores();
  const stored = batchDocuments(intents);
  await intents.commit([
    { op: 'put', key: 'batches/d1', value: { ...batchOf(0), members: undefined, packedMembers: '??' }, ifRevision: 0 },
  ]);
  await assert.rejects(stored.get('d1'), /The stored batches\/d1 is not what Ferry writes/);
});
