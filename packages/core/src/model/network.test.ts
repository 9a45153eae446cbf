import assert from 'node:assert/strict';
// eslint-disable-next-line no-restricted-imports -- the system's own answer, to compare with
import { BlockList, isIP } from 'node:net';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isAddress, isInNetwork, isNetwork } from './network.ts';

test('what is an address and what is a network', () => {
  for (const good of ['10.0.0.1', '0.0.0.0', '255.255.255.255', '::', '::1', 'fd00::1', '1:2:3:4:5:6:7:8', 'FD00::A'])
    assert.ok(isAddress(good), good);
  for (const bad of [
    '',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.01',
    '1.2.3.4.5',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    'fd00::g',
    'host',
    '10.0.0.1/8',
  ])
    assert.ok(!isAddress(bad), bad);
  for (const good of ['10.0.0.0/8', '10.0.0.0/0', '10.1.2.3/32', 'fd00::/64', '::/0', '::/128'])
    assert.ok(isNetwork(good), good);
  for (const bad of ['10.0.0.0', '10.0.0.0/33', 'fd00::/129', '/8', '10.0.0.0/', '10.0.0.0/-1', 'x/8'])
    assert.ok(!isNetwork(bad), bad);
});

test('agrees with the system on every address and network', () => {
  const address = fc.oneof(
    fc.ipV4(),
    fc.ipV6().filter((text) => !text.includes('.')),
  );
  fc.assert(
    fc.property(address, address, fc.nat(128), (one, base, length) => {
      const family = (text: string): 'ipv4' | 'ipv6' => (isIP(text) === 6 ? 'ipv6' : 'ipv4');
      const prefix = family(base) === 'ipv4' ? length % 33 : length;
      const list = new BlockList();
      list.addSubnet(base, prefix, family(base));
      const expected = family(one) === family(base) && list.check(one, family(one));
      assert.equal(isInNetwork(one, `${base}/${prefix}`), expected);
      assert.ok(isInNetwork(base, `${base}/${prefix}`));
    }),
    { numRuns: 2_000 },
  );
});
