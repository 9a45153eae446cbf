// The Ferry side of the rpc benchmark, a process of its own as the others are: it uses the client as any program would.
//   node rpc-client.ts URI define COUNT      defines COUNT domains, then waits for its input to end (the test driver
// forgets
//                                            everything when its last connection closes)
//   node rpc-client.ts URI list              for each line of input one round: open, list with XML and state, close
import { createInterface } from 'node:readline';
import { openHostSession } from '@ferry/libvirt';

const [uri = '', mode, count = '0'] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin });

if (mode === 'define') {
  await using session = await openHostSession(uri);
  // long enough to be like a real one
  const disks = Array.from(
    { length: 4 },
    (_, disk) =>
      `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source ` +
      `file='/srv/vm/disk${disk}.qcow2'/><target dev='vd${'abcd'[disk]}' bus='virtio'/></disk>`,
  );
  const xmlOf = (index: number): string =>
    `<domain type='test'><name>bench-${String(index).padStart(5, '0')}</name><memory ` +
    `unit='MiB'>1024</memory><vcpu>2</vcpu><os><type>hvm</type></os>` +
    `<devices>${disks.join('')}<interface type='network'><source network='default'/><model type='virtio'/></interface></devices></domain>`;
  const defined = await Promise.all(
    Array.from({ length: Number(count) }, (_, index) => session.domainDefine(xmlOf(index))),
  );
  process.stdout.write(`${defined.length}\n`);
  for await (const _ of lines);
} else {
  for await (const _ of lines) {
    const start = performance.now();
    const session = await openHostSession(uri);
    const opened = performance.now();
    const domains = await session.domains();
    const all = await Promise.all(
      domains.map((domain) => Promise.all([session.domainXml(domain, 0), session.domainState(domain)])),
    );
    const listed = performance.now();
    const xmlLength = all.reduce((sum, [xml]) => sum + xml.length, 0);
    const states = all.reduce((sum, [, { state }]) => sum + state, 0);
    await session.close();
    process.stdout.write(
      `${JSON.stringify({ domains: domains.length, xmlLength, states, openMs: opened - start, listMs: listed - opened })}\n`,
    );
  }
}
