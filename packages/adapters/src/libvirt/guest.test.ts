import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FilePiece } from '@ferry/engine';
import { hasAgent, logOf } from './guest.ts';

const domain = (...devices: readonly string[]): string => `<domain><devices>${devices.join('')}</devices></domain>`;
const channel = (name: string, state: string): string =>
  `<channel type='unix'><source mode='bind'/><target type='virtio' name='${name}'${state}/></channel>`;

test('an agent is there when something in the guest has its channel open', () => {
  const open = " state='connected'";
  assert.equal(hasAgent(domain(channel('com.redhat.spice.0', open), channel('org.qemu.guest_agent.0', open))), true);
  assert.equal(
    hasAgent(domain(channel('com.redhat.spice.0', open), channel('org.qemu.guest_agent.0', " state='disconnected'"))),
    false,
  );
  assert.equal(
    hasAgent(domain(channel('org.qemu.guest_agent.0', ''))),
    false,
    'shut off, or a libvirt that does not tell',
  );
  assert.equal(
    hasAgent(
      domain("<console type='pty'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></console>"),
    ),
    false,
  );
  assert.equal(hasAgent('<domain/>'), false);
});

test("of QEMU's log the end is read, and holes and what came before it are left out", async () => {
  const asked: string[] = [];
  const pieces: readonly FilePiece[] = [
    { kind: 'data', bytes: Buffer.from('the command line, ') },
    { kind: 'hole', lengthBytes: 4_096 },
    { kind: 'data', bytes: Buffer.from('and why it ended') },
  ];
  async function* read(path: string): AsyncGenerator<FilePiece> {
    asked.push(path);
    yield* pieces;
  }
  assert.equal(await logOf({ read }, 'web', 9, AbortSignal.timeout(1_000)), 'why it ended'.slice(-9));
  assert.match(asked.join(), /\/web\.log$/);
});
