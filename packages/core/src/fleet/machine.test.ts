import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Host } from '../model/host.ts';
import { hostId } from '../model/ids.ts';
import { otherMachine } from './machine.ts';

const host: Host = {
  id: hostId('h1'),
  name: 'h1',
  uri: 'qemu+ssh://h1/system',
  cluster: 'default',
  machineUuid: 'u',
  addedAt: 0,
};
const seen = (hostname: string, ...cards: string[]) => ({ machineUuid: 'u', hostname, cards });

test('a clone with the same UUID is another machine: it has another name and other network cards', () => {
  const before = seen('h1.lan', 'aa', 'bb');
  assert.match(
    otherMachine(host, seen('h2.lan', 'cc'), [], before) ?? '',
    /calls itself h2\.lan, not h1\.lan, .*a clone/,
  );
  for (const [what, answers] of [
    ['as before', before],
    ['renamed', seen('web.lan', 'bb')],
    ['with other cards', seen('h1.lan', 'cc')],
    ['a daemon that does not tell of cards', seen('h2.lan')],
  ] as const)
    assert.equal(otherMachine(host, answers, [], before), undefined, what);
  assert.equal(otherMachine(host, seen('h2.lan', 'cc'), []), undefined, 'nothing is known from before');
});
