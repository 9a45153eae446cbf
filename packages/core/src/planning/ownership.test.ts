import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { migrationId, vmUuid } from '../model/ids.ts';
import type { DiskPlan } from '../model/plan.ts';
import type { VolumeRecord } from '../model/storage.ts';
import {
  diskOwnership,
  heldBy,
  planState,
  type FileThere,
  type FileUse,
  type HostUses,
  setAside,
} from './ownership.ts';

const web = { name: 'web', uuid: vmUuid('a') };
const db = { name: 'db', uuid: vmUuid('b') };
const sides = { from: 'h1', to: 'h2' };
const path = '/pool/web.qcow2';
const copied: DiskPlan = {
  target: 'vda',
  path,
  how: 'copy',
  volume: { pool: 'default', name: 'web.qcow2', existing: false, replaces: false },
};
const using = (...files: readonly FileUse[]): HostUses => ({ files, untold: [] });
const own: FileUse = { path, vm: web, as: 'disk' };
const codes = (disk: DiskPlan, source: HostUses, target: HostUses, deletes = false): readonly string[] =>
  diskOwnership(web, [disk], source, target, sides, deletes).map(({ code }) => code);

test('a disk that another definition has, or that is shareable, is not copied away; one that others lie above stays on its source', () => {
  assert.deepEqual(codes(copied, using(own), using()), []);
  assert.deepEqual(
    codes({ ...copied, path: '/pool/../pool//web.qcow2' }, using(own, { path, vm: db, as: 'disk' }), using()),
    ['disk-of-others'],
  );
  assert.deepEqual(codes(copied, using({ ...own, shareable: true }), using()), ['disk-shareable']);
  const below = using(own, { path, vm: db, as: 'base' });
  assert.deepEqual(codes(copied, below, using()), []);
  assert.deepEqual(codes(copied, below, using(), true), ['disk-needed']);
  assert.deepEqual(
    codes(copied, { files: [own], untold: [{ vm: db, path: '/x' }] }, using(), true),
    ['disk-needed'],
    'what cannot be told is not denied',
  );
  assert.deepEqual(
    codes(copied, { files: [own], untold: [{ vm: web, path }] }, using(), true),
    [],
    'its own chain goes with it',
  );
  assert.deepEqual(
    codes({ target: 'sda', path, how: 'file' }, using(own, { path, vm: db, as: 'disk', readOnly: true }), using()),
    [],
    'an image that nobody writes has many readers',
  );
  assert.deepEqual(
    codes(
      { ...copied, how: 'shared' },
      using(own, { path, vm: db, as: 'disk' }),
      using(own, { path, vm: db, as: 'disk' }),
    ),
    [],
  );
});

test('a path that a definition of the target names is not written, prepared or not, there or not', () => {
  const volume = { pool: 'default', name: 'web.qcow2', existing: false, replaces: false };
  for (const disk of [
    copied,
    { ...copied, volume: { ...volume, existing: true } },
    { ...copied, volume: { ...volume, replaces: true } },
    { target: 'sda', path, how: 'file' as const },
  ]) {
    assert.deepEqual(codes(disk, using(), using({ path, vm: db, as: 'disk' })), ['target-path-used']);
    assert.deepEqual(codes(disk, using(), using(own)), [], 'its own definition there is not in its way');
  }
  const untold: HostUses = { files: [], untold: [{ vm: db, path: '/x' }] };
  assert.deepEqual(codes(copied, using(), untold), [], 'nothing is there that could be below another image');
  assert.deepEqual(codes({ ...copied, volume: { ...volume, replaces: true } }, using(), untold), ['target-path-used']);
  assert.deepEqual(
    codes(
      { ...copied, targetPath: '/other/web.qcow2' },
      using(),
      using({ path: '/other/web.qcow2', vm: db, as: 'base' }),
    ),
    ['target-path-used'],
    'where it is mapped to',
  );
});

const nvram = { path: '/nvram/web_VARS.fd', what: 'nvram' as const };
const memory = { path: '/save/web.save', what: 'memory' as const };
const tpm = { path: '/swtpm/a/tpm2', what: 'tpm' as const };
const record: VolumeRecord = {
  host: 'h2',
  machine: 'machine-2',
  hostName: 'h2',
  path: nvram.path,
  pool: '',
  name: 'web_VARS.fd',
  what: 'state',
  vm: web,
  migration: migrationId('m1'),
  at: 1,
  role: 'source',
  capacityBytes: 10,
  allocationBytes: 10,
  modified: '5.1',
};
const there = (more: Partial<Extract<FileThere, { kind: 'file' }>> = {}): FileThere => ({
  kind: 'file',
  allocationBytes: 10,
  modified: '5.1',
  ...more,
});
const state = (place: typeof nvram | typeof memory | typeof tpm, file: FileThere | undefined, uses?: HostUses) => {
  const { shared, replaces, reasons } = planState(
    web,
    [place],
    { state: new Map(file === undefined ? [] : [[place.path, file]]), ...(uses === undefined ? {} : { uses }) },
    sides,
  );
  return [...shared, ...replaces.map((stale) => `replaces ${stale.path}`), ...reasons.map(({ code }) => code)];
};

test('state on the target: its own stale copy goes, what both hosts share stays, everything else is a reason', () => {
  assert.deepEqual(state(nvram, undefined), []);
  assert.deepEqual(state(nvram, there()), ['state-exists']);
  assert.deepEqual(state(nvram, there({ record })), [`replaces ${nvram.path}`]);
  assert.deepEqual(state(nvram, there({ record, modified: '6.0' })), ['state-exists'], 'changed since it was left');
  assert.deepEqual(state(nvram, there({ record: { ...record, vm: db } })), ['state-exists']);
  assert.deepEqual(
    state(nvram, there({ record: { ...record, role: 'target' } })),
    ['state-exists'],
    'nobody saw that Ferry made it',
  );
  assert.deepEqual(state(nvram, there({ record: { ...record, role: 'target', made: true } })), [
    `replaces ${nvram.path}`,
  ]);
  assert.deepEqual(state(nvram, there({ shared: true })), [nvram.path]);
  assert.deepEqual(state(memory, there({ shared: true })), ['state-shared-memory']);
  assert.deepEqual(state(memory, there()), ['state-exists']);
  assert.deepEqual(state(tpm, there()), [`replaces ${tpm.path}`], 'the path has its UUID');
  assert.deepEqual(state(nvram, { kind: 'unseen', why: 'no.' }), ['state-unseen']);
});

test(
  "state that another definition of the target names is that VM's, there or not; the VM's own definition " +
    'there proves its variables',
  () => {
    const others = using({ path: nvram.path, vm: db, as: 'state' });
    for (const file of [undefined, there(), there({ record }), there({ shared: true })])
      assert.deepEqual(state(nvram, file, others), ['state-of-others']);
    assert.deepEqual(state(nvram, there(), using({ path: nvram.path, vm: web, as: 'state' })), [
      `replaces ${nvram.path}`,
    ]);
    assert.deepEqual(
      state(memory, there(), using({ path: memory.path, vm: web, as: 'state' })),
      ['state-exists'],
      'memory that somebody saved there may be all there is',
    );
  },
);

test('the remedy for a stale file is a command that loses nothing', () => {
  assert.equal(
    setAside('/var/lib/libvirt/qemu/nvram/web_VARS.fd'),
    'mv /var/lib/libvirt/qemu/nvram/web_VARS.fd /var/lib/libvirt/qemu/nvram/web_VARS.fd.old',
  );
  assert.equal(setAside("/n v/it's"), "mv '/n v/it'\\''s' '/n v/it'\\''s.old'");
});

test('safety: a file that anything uses is kept, however its path is spelled', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          file: name,
          vm: fc.constantFrom(web, db),
          as: fc.constantFrom('disk', 'base', 'state', 'other'),
        } as const),
      ),
      name,
      (all, file) => {
        const uses = using(...all.map((each) => ({ path: `/pool/${each.file}`, vm: each.vm, as: each.as })));
        const held = heldBy(uses, `/pool//x/../${file}`, web.uuid);
        assert.equal(
          held !== undefined,
          all.some((each) => each.file === file && each.vm === db),
        );
        assert.equal(
          heldBy(uses, `/pool/${file}`, undefined) !== undefined,
          all.some((each) => each.file === file),
        );
      },
    ),
  );
});
