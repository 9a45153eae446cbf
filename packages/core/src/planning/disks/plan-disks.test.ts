import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { migrationId, vmUuid } from '../../model/ids.ts';
import type { Qcow2Facts, DiskFacts, SharingProof, VolumeFacts, VolumeRecord } from '../../model/storage.ts';
import { planDisks } from './plan-disks.ts';
import { needsProof, type StorageWish, type TargetStorage } from './question.ts';
import { cacheReasons, vouchesFor } from './shared-disk.ts';

const gib = 1_073_741_824;
const vm = { name: 'web', uuid: vmUuid('a') };
const names = { from: 'h1', to: 'h2' };
const path = '/pool/web.qcow2';
const disk: DiskFacts = {
  target: 'vda',
  device: 'disk',
  type: 'file',
  source: path,
  format: 'qcow2',
  readOnly: false,
  capacityBytes: 10 * gib,
  allocationBytes: gib,
  fileBytes: gib + 100,
  backing: [],
};
const proof = (verdict: SharingProof['verdict']): SharingProof => ({ verdict, method: 'marker', at: 1 });
const there: VolumeFacts = {
  pool: 'default',
  name: 'web.qcow2',
  path,
  format: 'qcow2',
  capacityBytes: 10 * gib,
  allocationBytes: gib,
  modified: '5.1',
};
const record: VolumeRecord = {
  host: 'h2',
  machine: 'machine-2',
  hostName: 'h2',
  path,
  pool: 'default',
  name: 'web.qcow2',
  vm,
  migration: migrationId('m1'),
  at: 1,
  role: 'source',
  capacityBytes: 10 * gib,
  allocationBytes: gib,
  modified: '5.1',
};
const storage = (more: Partial<TargetStorage> = {}, verdict: SharingProof['verdict'] = 'separate'): TargetStorage => ({
  pools: [{ name: 'default', path: '/pool', active: true, availableBytes: 100 * gib }],
  sharing: new Map([[path, proof(verdict)]]),
  volumes: new Map(),
  records: new Map(),
  ...more,
});
const wish: StorageWish = { cold: false, externalSnapshots: false };
const plan = (disks: readonly DiskFacts[], target: TargetStorage, more: Partial<StorageWish> = {}) =>
  planDisks(vm, disks, target, { ...wish, ...more }, names);
const codes = (...args: Parameters<typeof plan>): readonly string[] => plan(...args).reasons.map(({ code }) => code);
const how = (...args: Parameters<typeof plan>): readonly string[] => {
  const { disks, reasons } = plan(...args);
  assert.deepEqual(reasons, []);
  return disks.map((each) => each.how);
};

test("shared by a marker, by its name, or by the operator's word; unknown is refused", () => {
  assert.deepEqual(how([disk], storage({}, 'shared')), ['shared']);
  assert.deepEqual(how([{ ...disk, type: 'network', identity: 'nbd:s/x' }], storage({ sharing: new Map() })), [
    'shared',
  ]);
  assert.deepEqual(codes([disk], storage({}, 'unknown')), ['disk-sharing-unknown']);
  assert.deepEqual(how([disk], storage({}, 'unknown'), { assumeShared: true }), ['shared']);
  assert.deepEqual(
    how([disk], storage({}, 'separate'), { assumeShared: true }),
    ['copy'],
    'what was proved is not talked away',
  );
});

test('a shared disk needs its bases on the target, too; one file is not copied twice', () => {
  const onLocalBase = storage({
    sharing: new Map([
      [path, proof('shared')],
      ['/local/base.qcow2', proof('separate')],
    ]),
  });
  assert.deepEqual(codes([{ ...disk, backing: [{ path: '/local/base.qcow2', format: 'qcow2' }] }], onLocalBase), [
    'disk-base-not-shared',
  ]);
  assert.deepEqual(codes([{ ...disk, chainUnknown: true }], storage({}, 'shared')), ['disk-chain-unknown']);
  assert.deepEqual(codes([disk, { ...disk, target: 'vdb' }], storage()), ['disk-twice']);
});

test('one folder and two files is refused; what cannot be looked at is told as that, without advice that would not help', () => {
  assert.deepEqual(codes([disk], storage({}, 'other-file')), ['disk-other-file']);
  assert.deepEqual(codes([disk], storage({}, 'other-file'), { assumeShared: true }), ['disk-other-file']);
  const unseen = {
    ...proof('unknown'),
    method: 'none' as const,
    detail: 'h1 has no folder /pool',
    remedy: 'Check the path of the disk on h1.',
  };
  const [reason] = plan([disk], storage({ sharing: new Map([[path, unseen]]) })).reasons;
  assert.deepEqual([reason?.code, reason?.remedy], ['disk-unseen', unseen.remedy]);
  assert.match(reason?.message ?? '', /cannot be looked at: h1 has no folder \/pool\.$/);
});

test("the operator's statement does not override what the target shows", () => {
  const said = storage({ missing: new Map([[path, `h2 has no file ${path}`]]) }, 'unknown');
  assert.deepEqual(codes([disk], said, { assumeShared: true }), ['disk-not-there']);
  assert.deepEqual(codes([disk], said), ['disk-sharing-unknown']);
});

test('libvirt must trust what was proved or stated, and nothing else; caches that old QEMUs keep are then a reason', () => {
  const of = (method: SharingProof['method'], how: 'shared' | 'copy' = 'shared') => [
    { target: 'vda', how, proof: { ...proof('shared'), method } },
  ];
  assert.deepEqual(
    [
      vouchesFor(of('marker')),
      vouchesFor(of('operator')),
      vouchesFor(of('identity')),
      vouchesFor(of('marker', 'copy')),
      vouchesFor([]),
    ],
    [true, true, false, false, false],
  );
  const reasonsWith = (qemuVersion: string | undefined, more: Partial<DiskFacts> = {}, plans = of('marker')) =>
    cacheReasons('web', [{ ...disk, ...more }], plans, [
      { name: 'h1', qemuVersion: '7.2.0' },
      { name: 'h2', qemuVersion },
    ]).map(({ code, host }) => `${host ?? ''} ${code}`);
  assert.deepEqual(reasonsWith('3.1.0'), ['h2 disk-cache']);
  for (const cache of ['none', 'directsync']) assert.deepEqual(reasonsWith('3.1.0', { cache }), []);
  assert.deepEqual(
    [
      reasonsWith('10.0.2'),
      reasonsWith(undefined),
      reasonsWith('3.1.0', { readOnly: true }),
      reasonsWith('3.1.0', {}, of('identity')),
    ],
    [[], [], [], []],
  );
});

test('an empty drive travels as nothing', () => {
  const { source: _, ...empty } = disk;
  assert.deepEqual(how([{ ...empty, device: 'cdrom', readOnly: true }], storage()), ['none']);
});

test('a local disk needs an active pool for its folder, a known format and size; read-only ones stay', () => {
  assert.deepEqual(how([disk], storage()), ['copy']);
  assert.deepEqual(codes([disk], storage({ pools: [] })), ['target-pool-missing']);
  assert.deepEqual(
    codes([disk], storage({ pools: [{ name: 'default', path: '/pool', active: false, availableBytes: 0 }] })),
    ['target-pool-inactive'],
  );
  assert.deepEqual(codes([{ ...disk, format: 'vmdk' }], storage()), ['disk-format']);
  const { capacityBytes: _, ...sizeless } = disk;
  assert.deepEqual(codes([sizeless], storage()), ['disk-size-unknown']);
  assert.deepEqual(codes([{ ...disk, readOnly: true }], storage()), ['disk-read-only-local']);
  assert.deepEqual(codes([{ ...disk, device: 'cdrom' }], storage()), ['disk-read-only-local']);
  assert.deepEqual(codes([{ ...disk, type: 'block' }], storage()), ['disk-not-copyable']);
  assert.deepEqual(
    codes([{ ...disk, chainUnknown: true }], storage(), { cold: true }),
    ['disk-chain-unknown'],
    'a file copied as it is must not miss its base',
  );
});

test("what is in the way stays, unless Ferry's record proves it stale", () => {
  const with_ = (more: Partial<VolumeRecord> | undefined, volume: Partial<VolumeFacts> = {}) =>
    storage({
      volumes: new Map([[path, { ...there, ...volume }]]),
      records: more === undefined ? new Map() : new Map([[path, { ...record, ...more }]]),
    });
  assert.deepEqual(codes([disk], with_(undefined)), ['volume-exists']);
  assert.deepEqual(codes([disk], with_({ vm: { name: 'other', uuid: vmUuid('b') } })), ['volume-exists']);
  assert.equal(plan([disk], with_({})).disks[0]?.volume?.replaces, true);
  assert.deepEqual(codes([disk], with_({}, { modified: '6.0' })), ['volume-exists']);
  assert.deepEqual(codes([disk], with_({}, { allocationBytes: 1 })), ['volume-exists']);
  assert.equal(
    plan([disk], with_({ role: 'target', made: true }, { modified: '6.0' })).disks[0]?.volume?.replaces,
    true,
    'left by an unfinished copy of this VM',
  );
  assert.equal(
    plan([disk], with_({ role: 'target' }, { modified: '6.0', allocationBytes: 200_000 })).disks[0]?.volume?.replaces,
    true,
    'made, and nothing was copied into it',
  );
  assert.deepEqual(
    codes([disk], with_({ role: 'target' }, { modified: '6.0' })),
    ['volume-exists'],
    'nobody saw that Ferry made it',
  );
});

test('prepared volumes are taken when asked, with the same format and size', () => {
  const prepared = (volume: Partial<VolumeFacts>) => storage({ volumes: new Map([[path, { ...there, ...volume }]]) });
  assert.equal(plan([disk], prepared({}), { useExistingVolumes: true }).disks[0]?.volume?.existing, true);
  assert.deepEqual(codes([disk], prepared({ format: 'raw' }), { useExistingVolumes: true }), ['volume-format']);
  assert.deepEqual(codes([disk], prepared({ capacityBytes: 1 }), { useExistingVolumes: true }), ['volume-size']);
  assert.deepEqual(codes([disk], storage(), { useExistingVolumes: true }), ['volume-missing']);
});

test('what is inside a file goes with the file when it is cold, and is a reason when it is not', () => {
  assert.deepEqual(codes([{ ...disk, internal: 'snapshots' }], storage()), ['disk-internal-snapshots']);
  assert.deepEqual(codes([{ ...disk, internal: 'checkpoints' }], storage(), { cold: true, useExistingVolumes: true }), [
    'disk-internal-checkpoints',
  ]);
  const [cold] = plan([{ ...disk, internal: 'snapshots' }], storage(), { cold: true }).disks;
  assert.deepEqual([cold?.asFile, cold?.capacityBytes], [true, gib + 512]);
  assert.equal(plan([disk], storage()).disks[0]?.asFile, undefined, 'a guest that runs writes blocks, not the file');
  assert.equal(plan([{ ...disk, format: 'raw' }], storage(), { cold: true }).disks[0]?.asFile, undefined);
});

test('a chain becomes one image, keeps a base that both hosts have, and is not joined under snapshots', () => {
  const chained = { ...disk, backing: [{ path: '/base/a.raw', format: 'raw' }] };
  const sharedBase = storage({
    sharing: new Map([
      [path, proof('separate')],
      ['/base/a.raw', proof('shared')],
    ]),
  });
  assert.equal(plan([chained], storage()).disks[0]?.volume?.backing, undefined);
  assert.deepEqual(plan([chained], sharedBase).disks[0]?.volume?.backing, { path: '/base/a.raw', format: 'raw' });
  assert.deepEqual(codes([chained], storage(), { externalSnapshots: true }), ['disk-external-snapshots']);
  assert.deepEqual(how([chained], sharedBase, { externalSnapshots: true }), ['copy']);
  const other = {
    ...disk,
    target: 'vdb',
    source: '/pool/b.qcow2',
    backing: [{ path: '/pool/c.qcow2', format: 'qcow2' }],
  };
  const both = storage({
    sharing: new Map([
      [path, proof('separate')],
      ['/base/a.raw', proof('shared')],
      ['/pool/b.qcow2', proof('separate')],
      ['/pool/c.qcow2', proof('separate')],
    ]),
  });
  assert.deepEqual(codes([chained, other], both), ['disk-chains-mixed']);
});

test('room is asked for all disks of a pool together', () => {
  const second = { ...disk, target: 'vdb', source: '/pool/b.qcow2' };
  const target = (availableBytes: number) =>
    storage({
      pools: [{ name: 'default', path: '/pool', active: true, availableBytes }],
      sharing: new Map([
        [path, proof('separate')],
        ['/pool/b.qcow2', proof('separate')],
      ]),
    });
  assert.deepEqual(how([disk, second], target(2 * gib)), ['copy', 'copy']);
  assert.deepEqual(codes([disk, second], target(2 * gib - 1)), ['target-space']);
});

test('safety: without proof or word nothing counts as shared, and without a fitting record nothing is replaced', () => {
  const verdict = fc.constantFrom<SharingProof['verdict']>('shared', 'separate', 'unknown');
  fc.assert(
    fc.property(
      verdict,
      fc.boolean(),
      fc.boolean(),
      fc.boolean(),
      fc.option(
        fc.record({
          same: fc.boolean(),
          role: fc.constantFrom<VolumeRecord['role']>('source', 'target'),
          modified: fc.constantFrom('5.1', '6.0'),
        }),
        { nil: undefined },
      ),
      fc.boolean(),
      (found, assumeShared, useExistingVolumes, cold, kept, occupied) => {
        const records =
          kept === undefined
            ? new Map()
            : new Map([
                [
                  path,
                  {
                    ...record,
                    role: kept.role,
                    modified: kept.modified,
                    vm: kept.same ? vm : { name: 'other', uuid: vmUuid('b') },
                  },
                ],
              ]);
        const target = storage({ records, volumes: occupied ? new Map([[path, there]]) : new Map() }, found);
        const {
          disks: [planned],
          reasons,
        } = plan([disk], target, { assumeShared, useExistingVolumes, cold });
        if (planned?.how === 'shared') assert.ok(found === 'shared' || (found === 'unknown' && assumeShared));
        if (planned?.how === 'copy')
          assert.ok(found === 'separate' && planned.volume !== undefined && reasons.length === 0);
        if (planned?.volume?.replaces === true)
          assert.ok(kept?.same === true && (kept.role === 'target' || kept.modified === there.modified));
        if (planned?.how === 'none') assert.ok(reasons.length > 0);
      },
    ),
  );
});

test('what is proved, and how, is kept in the plan; a reason names the target', () => {
  assert.deepEqual([disk, { ...disk, identity: 'nbd:s/x' }].map(needsProof), [true, false]);
  assert.equal(plan([disk], storage({}, 'shared')).disks[0]?.proof?.method, 'marker');
  assert.equal(plan([{ ...disk, identity: 'nbd:s/x' }], storage()).disks[0]?.proof?.method, 'identity');
  assert.equal(plan([disk], storage({}, 'unknown'), { assumeShared: true }).disks[0]?.proof?.method, 'operator');
  assert.equal(plan([disk], storage({}, 'unknown')).reasons[0]?.host, 'h2');
  const named = { ...disk, type: 'block', identity: 'wwn-1' };
  assert.deepEqual(codes([named], storage({ missing: new Map([[path, 'h2 has no device']]) })), ['disk-not-there']);
});

test(
  'a floppy that nobody may write stays, one that is written is a disk; a volume of another size is ' +
    'refused either way, a record without a time proves nothing',
  () => {
    assert.deepEqual(codes([{ ...disk, device: 'floppy', readOnly: true }], storage()), ['disk-read-only-local']);
    assert.deepEqual(how([{ ...disk, device: 'floppy' }], storage()), ['copy']);
    assert.deepEqual(how([{ ...disk, device: 'floppy' }], storage(), { media: 'eject' }), ['copy']);
    const larger = storage({ volumes: new Map([[path, { ...there, capacityBytes: 20 * gib }]]) });
    assert.deepEqual(codes([disk], larger, { useExistingVolumes: true }), ['volume-size']);
    const { modified: _, ...untimed } = record;
    const { modified: __, ...untimedVolume } = there;
    assert.deepEqual(
      codes([disk], storage({ volumes: new Map([[path, untimedVolume]]), records: new Map([[path, untimed]]) })),
      ['volume-exists'],
    );
  },
);

test('a cold image without a base travels as a file, one with a base only as blocks', () => {
  assert.equal(plan([disk], storage(), { cold: true }).disks[0]?.asFile, true);
  assert.equal(
    plan([{ ...disk, backing: [{ path: '/base/a.qcow2', format: 'qcow2' }] }], storage(), { cold: true }).disks[0]
      ?.asFile,
    undefined,
  );
  assert.deepEqual(
    codes([{ ...disk, internal: 'snapshots', backing: [{ path: '/base/a.qcow2', format: 'qcow2' }] }], storage(), {
      cold: true,
    }),
    ['disk-external-snapshots'],
  );
});

test('a base is kept only when the whole chain is shared, and flat disks alone are not a mixture', () => {
  const chained = {
    ...disk,
    backing: [
      { path: '/base/a.qcow2', format: 'qcow2' },
      { path: '/base/b.qcow2', format: 'qcow2' },
    ],
  };
  const half = storage({
    sharing: new Map([
      [path, proof('separate')],
      ['/base/a.qcow2', proof('shared')],
      ['/base/b.qcow2', proof('separate')],
    ]),
  });
  const [planned] = plan([chained], half).disks;
  assert.deepEqual([planned?.how, planned?.volume?.backing], ['copy', undefined]);
  assert.deepEqual(how([chained], half), ['copy']);
  assert.deepEqual(codes([chained], half, { externalSnapshots: true }), ['disk-external-snapshots']);
  const simple = { ...disk, target: 'vdb', source: '/pool/b.qcow2' };
  const whole = storage({
    sharing: new Map([
      [path, proof('separate')],
      ['/base/a.qcow2', proof('shared')],
      ['/pool/b.qcow2', proof('separate')],
    ]),
  });
  assert.deepEqual(how([{ ...disk, backing: [{ path: '/base/a.qcow2', format: 'qcow2' }] }, simple], whole), [
    'copy',
    'copy',
  ]);
});

test('room is asked of each pool for its own disks, and not for volumes that are there', () => {
  const other = { ...disk, target: 'vdb', source: '/fast/b.qcow2' };
  const sharing = new Map([
    [path, proof('separate')],
    ['/fast/b.qcow2', proof('separate')],
  ]);
  const pools = (fastBytes: number) => [
    { name: 'default', path: '/pool', active: true, availableBytes: gib },
    { name: 'fast', path: '/fast', active: true, availableBytes: fastBytes },
  ];
  assert.deepEqual(how([disk, other], storage({ sharing, pools: pools(gib) })), ['copy', 'copy']);
  assert.deepEqual(codes([disk, other], storage({ sharing, pools: pools(gib - 1) })), ['target-space']);
  const full = [{ name: 'default', path: '/pool', active: true, availableBytes: 0 }];
  assert.deepEqual(
    how([disk], storage({ pools: full, volumes: new Map([[path, there]]) }), { useExistingVolumes: true }),
    ['copy'],
  );
  const { allocationBytes: _, ...unmeasured } = disk;
  assert.deepEqual(
    codes(
      [unmeasured],
      storage({ pools: [{ name: 'default', path: '/pool', active: true, availableBytes: 10 * gib - 1 }] }),
    ),
    ['target-space'],
    'its whole size when it cannot be told',
  );
});

test('the definition on the target names what is below a disk there: nothing when it was joined, the base where maps put it', () => {
  const chained = {
    ...disk,
    backing: [
      { path: '/base/a.qcow2', format: 'qcow2' },
      { path: '/base/b.raw', format: 'raw' },
    ],
  };
  const sharing = (bases: SharingProof['verdict'], top: SharingProof['verdict'] = 'separate') =>
    new Map([
      [path, proof(top)],
      ['/base/a.qcow2', proof(bases)],
      ['/base/b.raw', proof(bases)],
    ]);
  const chainOf = (target: TargetStorage, more: Partial<DiskFacts> = {}) =>
    plan([{ ...chained, ...more }], target).disks[0]?.chain;
  assert.deepEqual(chainOf(storage({ sharing: sharing('separate') })), []);
  assert.equal(chainOf(storage({ sharing: sharing('shared') })), undefined, 'carried at the same paths');
  assert.equal(chainOf(storage(), { backing: [] }), undefined);
  const places = [['/base', '/elsewhere']] as const;
  const there = [
    { path: '/elsewhere/a.qcow2', format: 'qcow2' },
    { path: '/elsewhere/b.raw', format: 'raw' },
  ];
  assert.deepEqual(chainOf(storage({ sharing: sharing('shared'), places })), there);
  assert.deepEqual(
    chainOf(storage({ sharing: sharing('shared', 'shared'), places })),
    there,
    'the file itself names the paths of the source',
  );
  assert.deepEqual(
    codes(
      [{ ...chained, backing: [{ path: '/base/a.qcow2' }] }],
      storage({ sharing: sharing('shared', 'shared'), places }),
    ),
    ['disk-chain-unknown'],
  );
});

test('prepared volumes hold whole disks: neither above an image of their own, nor in place of the top of a chain', () => {
  const prepared = (more: Partial<VolumeFacts>, sharing: SharingProof['verdict']) =>
    storage({
      volumes: new Map([[path, { ...there, ...more }]]),
      sharing: new Map([
        [path, proof('separate')],
        ['/base/a.qcow2', proof(sharing)],
      ]),
    });
  const backing = [{ path: '/base/a.qcow2', format: 'qcow2' }];
  assert.deepEqual(how([{ ...disk, backing }], prepared({}, 'separate'), { useExistingVolumes: true }), ['copy']);
  assert.deepEqual(codes([{ ...disk, backing }], prepared({}, 'shared'), { useExistingVolumes: true }), [
    'volume-chain',
  ]);
  assert.deepEqual(codes([disk], prepared({ backing: { path: '/x' } }, 'separate'), { useExistingVolumes: true }), [
    'volume-backing',
  ]);
});

const qcow2: Qcow2Facts = {
  clusterBytes: 65_536,
  compat: '1.1',
  lazyRefcounts: false,
  extendedL2: false,
  dataFile: false,
  refcountBits: 16,
  zstd: false,
  snapshots: 0,
};
const withImages = (top: Partial<Qcow2Facts>, more: Partial<TargetStorage> = {}) =>
  storage({
    images: new Map([
      [path, { allocationBytes: gib, qcow2: { ...qcow2, ...top } }],
      ['/base/a.qcow2', { allocationBytes: 4 * gib, qcow2 }],
    ]),
    ...more,
  });

test('room is asked for the images below that are joined, and for what small clusters may grow to; a file keeps its size', () => {
  const pools = (availableBytes: number) => [{ name: 'default', path: '/pool', active: true, availableBytes }];
  const chained = { ...disk, backing: [{ path: '/base/a.qcow2', format: 'qcow2' }] };
  assert.deepEqual(how([chained], withImages({}, { pools: pools(5 * gib) })), ['copy']);
  assert.deepEqual(codes([chained], withImages({}, { pools: pools(5 * gib - 1) })), ['target-space']);
  const shared = new Map([
    [path, proof('separate')],
    ['/base/a.qcow2', proof('shared')],
  ]);
  assert.deepEqual(
    how([chained], withImages({}, { pools: pools(gib), sharing: shared })),
    ['copy'],
    'a base that stays needs no room',
  );
  assert.deepEqual(codes([disk], withImages({ clusterBytes: 8192 }, { pools: pools(8 * gib - 1) })), ['target-space']);
  assert.deepEqual(how([disk], withImages({ clusterBytes: 8192 }, { pools: pools(8 * gib) })), ['copy']);
  assert.deepEqual(how([disk], withImages({ clusterBytes: 512 }, { pools: pools(gib) }), { cold: true }), ['copy']);
  assert.deepEqual(codes([{ ...disk, readOnly: true }], storage({ pools: pools(gib) }), { media: 'copy' }), [
    'target-space',
  ]);
});

test('a copy of blocks keeps the layout of its image, and says what it does not keep; a file keeps all', () => {
  const layout = { clusterBytes: 4096, compat: '1.1', lazyRefcounts: true, extendedL2: false };
  const [live] = plan([disk], withImages({ clusterBytes: 4096, lazyRefcounts: true })).disks;
  assert.deepEqual([live?.volume?.layout, live?.losses], [layout, undefined]);
  const [cold] = plan([disk], withImages({ clusterBytes: 4096, zstd: true }), { cold: true }).disks;
  assert.deepEqual([cold?.volume?.layout, cold?.losses, cold?.asFile], [undefined, undefined, true]);
  assert.equal(plan([disk], withImages({ zstd: true })).disks[0]?.losses?.length, 1);
  assert.equal(plan([disk], withImages({ clusterBytes: 4096 }), { usualClusters: true }).disks[0]?.losses?.length, 1);
});

test('what only the header tells: snapshots that libvirt did not make, and data in another file', () => {
  assert.deepEqual(codes([disk], withImages({ snapshots: 1 })), ['disk-internal-snapshots']);
  assert.equal(plan([disk], withImages({ snapshots: 1 }), { cold: true }).disks[0]?.asFile, true);
  const [apart] = plan([disk], withImages({ dataFile: true }), { cold: true }).disks;
  assert.deepEqual([apart?.asFile, apart?.losses?.length], [undefined, 1], 'the file alone would be empty');
  assert.deepEqual(codes([disk], withImages({ dataFile: true, snapshots: 1 }), { cold: true }), [
    'disk-internal-snapshots',
  ]);
  assert.deepEqual(
    how([{ ...disk, format: 'raw' }], withImages({ snapshots: 1 })),
    ['copy'],
    'a raw disk holds whatever its guest wrote',
  );
});

test(
  'an encrypted disk goes into a volume with the same secret, as a file when it is cold, and is never ' +
    'joined to what was prepared',
  () => {
    const locked = { ...disk, format: 'raw', encryption: { format: 'luks', secretUuid: 's' } };
    assert.deepEqual(plan([locked], storage()).disks[0]?.volume?.encryption, locked.encryption);
    const [cold] = plan([locked], storage(), { cold: true }).disks;
    assert.deepEqual([cold?.asFile, cold?.capacityBytes, cold?.volume?.encryption], [true, gib + 512, undefined]);
    assert.deepEqual(codes([{ ...locked, encryption: { format: 'qcow' } }], storage()), ['disk-encryption']);
    assert.deepEqual(codes([locked], storage({ volumes: new Map([[path, there]]) }), { useExistingVolumes: true }), [
      'volume-encryption',
    ]);
    const sharedBase = storage({
      sharing: new Map([
        [path, proof('separate')],
        ['/base/a.qcow2', proof('shared')],
      ]),
    });
    const [joinedDisk] = plan(
      [{ ...locked, format: 'qcow2', backing: [{ path: '/base/a.qcow2', format: 'qcow2' }] }],
      sharedBase,
    ).disks;
    assert.deepEqual([joinedDisk?.volume?.backing, joinedDisk?.chain], [undefined, []]);
  },
);

test(
  "a disk that is named by its pool is named by the target's pool for the same folder; a path that a link " +
    'may change is not written to',
  () => {
    const inPool = { ...disk, pool: 'default' };
    const called = (name: string) =>
      storage({ pools: [{ name, path: '/pool', active: true, availableBytes: 100 * gib }] });
    assert.equal(plan([inPool], called('default')).disks[0]?.namedPool, undefined);
    assert.equal(plan([inPool], called('other')).disks[0]?.namedPool, 'other');
    assert.deepEqual(
      codes([inPool], storage({ pools: [] }, 'shared')),
      ['target-pool-missing'],
      'also where nothing is copied',
    );
    assert.deepEqual(
      codes(
        [{ ...disk, source: '/a/../pool/web.qcow2' }],
        storage({ sharing: new Map([['/a/../pool/web.qcow2', proof('separate')]]) }),
      ),
      ['disk-path-parent'],
    );
  },
);
