/** What a host with very many domains is asked for the files that they use. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openHostSession } from '@ferry/libvirt';
import { serveDomains } from './fake-domains.ts';
import { poolLender } from './pool-lending.ts';
import { filesInUse } from './uses.ts';

test(
  'each definition and each image is read once, a few at a time, and snapshots only where there are any',
  { timeout: 60_000 },
  async () => {
    const count = 1_000;
    const daemon = await serveDomains(count);
    await using _ = daemon.server;
    await using session = await openHostSession(`qemu+tcp://127.0.0.1:${daemon.server.port}/system`);
    for (let index = 0; index < count; index += 1) {
      daemon.images.push(`own${index}.qcow2`);
      daemon.definitions.set(
        index,
        `<domain><name>vm${index}</name><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>` +
          `<source file='/pool/own${index}.qcow2'/><target dev='vda'/></disk></devices></domain>`,
      );
    }
    const { files, untold } = await filesInUse(session, poolLender(session), new AbortController().signal);
    assert.deepEqual(untold, []);
    assert.equal(new Set(files.filter(({ as }) => as === 'disk').map(({ path }) => path)).size, count);
    assert.ok(files.some(({ path, as, vm }) => path === '/pool/base.qcow2' && as === 'base' && vm.name === 'vm7'));
    const { domainGetXmlDesc, storageVolGetXmlDesc, ...rest } = Object.fromEntries(daemon.calls);
    assert.deepEqual([domainGetXmlDesc, storageVolGetXmlDesc], [2 * count, count + 1], 'both definitions, each image');
    assert.ok(Object.values(rest).reduce((sum, calls) => sum + calls, 0) < 40, JSON.stringify(rest));
    assert.ok(daemon.mostAtOnce() <= 4, `${daemon.mostAtOnce()} definitions at once`);
  },
);
