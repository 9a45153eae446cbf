import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CpuThere, GuestCpu } from '../model/cpu.ts';
import { unfitGuests } from './cpu-baseline.ts';

const cpu = (more: Partial<GuestCpu> = {}): GuestCpu => ({
  xml: '<cpu/>',
  passthrough: false,
  type: 'kvm',
  arch: 'x86_64',
  ...more,
});
const unfit = (of: GuestCpu | undefined, there: Readonly<Record<string, CpuThere>> = {}, differ = true) =>
  unfitGuests(
    [{ vm: 'web', host: 'h1', ...(of === undefined ? {} : { cpu: of }) }],
    new Map([['<cpu/>', new Map(Object.entries(there))]]),
    differ,
  ).map(({ why, message }) => `${why}: ${message}`);

test('a guest is stuck where a host lacks its CPU, or where it has the CPU of its host and others differ', () => {
  assert.deepEqual(unfit(cpu(), { h1: { answer: 'lacks', why: 'x' }, h2: { answer: 'fits' } }), [], 'it runs on h1');
  assert.deepEqual(unfit(cpu(), { h2: { answer: 'lacks', why: 'no avx' }, h3: { answer: 'lacks', why: 'no avx' } }), [
    'stuck: h2 and h3 cannot provide its CPU: no avx.',
  ]);
  assert.deepEqual(unfit(cpu({ passthrough: true })), [
    'stuck: It has the CPU of h1 as it is, and other hosts have another.',
  ]);
  assert.deepEqual(unfit(cpu({ passthrough: true }), {}, false), []);
});

test("host-model is told where hosts differ; what a host does not say is not known; QEMU's own CPU is the same", () => {
  assert.match(unfit(cpu({ hostModel: true }), { h2: { answer: 'fits' } })[0] ?? '', /^next-start: /);
  assert.deepEqual(unfit(cpu({ hostModel: true }), { h2: { answer: 'fits' } }, false), []);
  assert.match(unfit(cpu(), { h2: { answer: 'unknown', why: 'old' } })[0] ?? '', /^unknown: .*h2/);
  assert.deepEqual(unfit(undefined), []);
});
