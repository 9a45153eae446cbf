import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseXml, xmlAt } from '@ferry/libvirt';
import { namedChain } from './chains.ts';
import { describeDefinition } from './definitions.ts';
import { identityOfDefinition, rewriteDefinition } from './rewrite.ts';

const domain = (disk: string): string =>
  `<domain type='kvm'>\n <name>a</name><memory>1</memory>\n <devices>\n  ${disk}\n </devices>\n</domain>`;
const disk = (below: string, driver = 'qcow2'): string =>
  `<disk type='file' device='disk'><driver name='qemu' type='${driver}'/><source file='/p/top'/>${below}<target dev='vda'/></disk>`;
const base = "<backingStore type='file'><format type='qcow2'/><source file='/p/base'/>";
const unended = `${base}</backingStore>`;

test('a joined disk says that nothing is below it, where it named something; all else stays byte for byte', () => {
  const joined = { chains: { vda: [] } };
  for (const below of [unended, `${base}<backingStore/></backingStore>`])
    assert.equal(rewriteDefinition(domain(disk(below)), joined), domain(disk('<backingStore/>')));
  for (const below of ['', '<backingStore/>'])
    assert.equal(rewriteDefinition(domain(disk(below)), joined), domain(disk(below)));
  assert.equal(rewriteDefinition(domain(disk(unended)), { chains: { vdb: [] } }), domain(disk(unended)));
});

test('a chain with other paths is named as a whole, whether the definition named it or not', () => {
  const chain = [
    { path: "/q/b'", format: 'qcow2' },
    { path: '/dev/vg/c', format: 'raw' },
  ];
  const named =
    "<backingStore type='file'><format type='qcow2'/><source file='/q/b&apos;'/><backingStore " +
    "type='block'><format type='raw'/><source dev='/dev/vg/c'/><backingStore/></backingStore></backingStore>";
  for (const below of ['', unended])
    assert.equal(rewriteDefinition(domain(disk(below)), { chains: { vda: chain } }), domain(disk(named)));
  assert.deepEqual(namedChain(xmlAt(parseXml(domain(disk(named))), 'devices', 'disk') ?? parseXml('<disk/>')), {
    images: chain,
    ended: true,
  });
});

test('what a definition alone says about a chain, and what only the images say', () => {
  const facts = (xml: string) => {
    const {
      disks: [{ backing, chainUnknown } = { backing: [], chainUnknown: undefined }],
    } = describeDefinition(domain(xml));
    return [backing.map(({ path }) => path), chainUnknown];
  };
  assert.deepEqual(facts(disk('')), [[], true]);
  assert.deepEqual(facts(disk('<backingStore/>')), [[], undefined]);
  assert.deepEqual(facts(disk(unended)), [['/p/base'], true]);
  assert.deepEqual(facts(disk(`${base}<backingStore/></backingStore>`)), [['/p/base'], undefined]);
  assert.deepEqual(facts(disk('', 'raw')), [[], undefined]);
  assert.deepEqual(
    facts(
      disk(
        "<backingStore type='network'><format type='raw'/><source protocol='rbd' name='x'/><backingStore/></backingStore>",
      ),
    ),
    [[], true],
  );
});

test('a disk that names a pool gets the one that the plan has for it; one file written in two ways is one', () => {
  const inPool = (pool: string): string =>
    domain(`<disk type='volume' device='disk'><source pool='${pool}' volume='v'/><target dev='vda'/></disk>`);
  assert.equal(rewriteDefinition(inPool('a'), { pools: { a: 'b' } }), inPool('b'));
  assert.equal(rewriteDefinition(inPool('a'), { pools: { a: 'b' }, volumePools: { vda: 'c' } }), inPool('c'));
  assert.deepEqual(
    identityOfDefinition(domain("<disk type='file'><source file='/a//./b'/><target dev='vda'/></disk>")).disks,
    { vda: '/a/b' },
  );
});
