import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LibvirtError, type TypedParams } from '@ferry/libvirt';
import { measureDirtyRate, measuredRate, residentBytes } from './dirty-rate.ts';

const domain = { name: 'web', uuid: 'aaaaaaaa-0000-4000-8000-000000000001', id: 1 };
const params = (status: number, period: number, rate?: number): TypedParams =>
  new Map<string, number>([
    ['dirtyrate.calc_status', status],
    ['dirtyrate.calc_period', period],
    ...(rate === undefined ? [] : [['dirtyrate.megabytes_per_second', rate] as const]),
  ]);
const patience = () => AbortSignal.timeout(5_000);
const refusal = new LibvirtError('DOMAIN_START_DIRTY_RATE_CALC', {
  code: 84,
  domain: 10,
  message: 'not supported',
  level: 2,
  str1: undefined,
  str2: undefined,
  str3: undefined,
  int1: 0,
  int2: 0,
});

test('a measurement counts once it has ended, and only one over this time', () => {
  assert.equal(measuredRate(params(2, 3, 12), 3), 12 * 1_048_576);
  assert.equal(measuredRate(params(2, 3, 0), 3), 0);
  assert.equal(measuredRate(params(2, 1, 12), 3), undefined);
  assert.equal(measuredRate(params(1, 3), 3), undefined);
  assert.equal(measuredRate(new Map(), 3), undefined);
});

test('asks for pages to be sampled and for nothing else, and looks until it is over', async () => {
  const asked: unknown[] = [];
  const looks = [params(1, 0), params(2, 0, 7)];
  const rate = await measureDirtyRate(
    {
      domainStartDirtyRate: async (_, seconds, mode) => void asked.push([seconds, mode]),
      domainStats: async () => [{ domain, params: looks.shift() ?? assert.fail('looked on') }],
    },
    domain,
    0,
    patience(),
  );
  assert.deepEqual([rate, asked], [{ bytesPerSecond: 7 * 1_048_576 }, [[0, 0]]]);
});

test('a host that cannot measure is no failure; one that does not answer is', async () => {
  const host = (error: Error) => ({
    domainStartDirtyRate: async () => {
      throw error;
    },
    domainStats: async () => [],
  });
  const refused = await measureDirtyRate(host(refusal), domain, 0, patience());
  assert.match('refused' in refused ? refused.refused : '', /not supported/);
  await assert.rejects(measureDirtyRate(host(new Error('connection lost')), domain, 0, patience()), /connection lost/);
});

test('memory of a QEMU counts where the guest is in it: huge pages are not', async () => {
  const host = (backing: string, ...rss: number[]) => ({
    domainXml: async () => `<domain><name>web</name>${backing}</domain>`,
    domainStats: async () => [{ domain, params: new Map(rss.map((kib) => ['balloon.rss', kib])) }],
  });
  const ask = (...of: Parameters<typeof host>) => residentBytes(host(...of), domain, patience());
  assert.equal(await ask('', 2_048), 2 * 1_048_576);
  assert.equal(await ask('<memoryBacking><locked/></memoryBacking>', 2_048), 2 * 1_048_576);
  assert.equal(await ask('<memoryBacking><hugepages/></memoryBacking>', 2_048), undefined);
  assert.equal(await ask(''), undefined);
});
