/**
 * Hosts of different Debian releases: each kind of move there and back, on real hosts, with the results compared with
 * generations.json, from which docs/compatibility.md is made. With FERRY_TEST_FULL it runs all pairs of releases and
 * all kinds, otherwise one pair and the kinds that differ most. FERRY_TEST_REMEMBER writes generations.json again.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { RELEASES, readTicks, virsh, vmCheck, vmCreate, vmDelete, vmLog, waitFor, type Release } from '@ferry/lab';
import { controlPlane } from './control-plane.ts';
import { intact, other, shortPatience } from './fault-fixture.ts';
import { accessTo, withFleet, type Fleet, type MigrationJson } from './fleet.ts';
import {
  compatibilityPage,
  knownSeen,
  pageFile,
  remember,
  way,
  type KindOfMove,
  type Versions,
} from './generations.ts';
import { brokenData, intoPostCopy, stateOf, unpaced, untilSaid } from './post-copy-fixture.ts';

const full = (process.env['FERRY_TEST_FULL'] ?? '') !== '';
const remembers = (process.env['FERRY_TEST_REMEMBER'] ?? '') !== '';
const pairs = RELEASES.flatMap((older, at) => RELEASES.slice(at + 1).map((newer) => ({ older, newer })));
const always: readonly { readonly older: Release; readonly newer: Release }[] = [
  { older: 'bookworm', newer: 'trixie' },
];
const skip = full ? false : 'only with script/test --full: this kind between all releases takes minutes';

const versions: Partial<Record<Release, Versions>> = {};
const moves: Partial<Record<KindOfMove, Record<string, string>>> = {};
const known = knownSeen();

/**
 * The VM is moved there and nowhere else; or Ferry refuses it by these codes, or QEMU ends it, and nothing has
 * changed.
 */
async function outcomeOf(
  fleet: Fleet,
  vm: string,
  from: string,
  to: string,
  options: readonly string[],
): Promise<string> {
  const before = await fleet.state(from, vm);
  const foretold = full ? await planOf(fleet, vm, to, options) : undefined;
  const { code, stdout, stderr } = await fleet.plane.ferry('vm', 'migrate', vm, '--to', to, '-o', 'json', ...options);
  const told = JSON.parse(stdout) as MigrationJson & { readonly reasons?: readonly { readonly code: string }[] };
  const ended = told.error?.message.includes('load of migration failed') === true;
  assert.ok(code === 0 || code === 4 || ended, `${vm} from ${from} to ${to}, exit code ${code}: ${stderr}${stdout}`);
  const where = code === 0 ? to : from;
  const state = await fleet.state(where, vm);
  if (code !== 0) assert.equal(state, before, 'what does not move is as it was');
  assert.notEqual(state, 'absent', stdout);
  assert.equal(await fleet.state(other(where), vm), 'absent', stdout);
  foretold?.(code === 4 ? 'refused' : ended ? 'fails' : 'moves', stdout);
  if (ended) {
    assert.match(told.error?.message ?? '', /Known of these two hosts: .*(virtio queues|TPM state)/);
    return 'fails';
  }
  if (code === 4) return [...new Set((told.reasons ?? []).map((reason) => reason.code))].join(', ');
  assert.equal(told.outcome, 'succeeded', stdout);
  assert.equal(told.vmIsNow?.host, to);
  return 'moves';
}

interface Said {
  readonly hosts?: readonly { readonly findings: readonly { readonly code: string; readonly verdict: string }[] }[];
  readonly reasons?: readonly { readonly code: string }[];
}
/** By these a plan says that the target may not take the guest. */
const doubts =
  /^(guest-(memory|tpm)-unsure|target-cpu-(lacks|differs|unknown)|target-older-(qemu|libvirt)|known-defect)$/;

/** Asks for the plan now; afterwards what came is held against it. */
async function planOf(fleet: Fleet, vm: string, to: string, options: readonly string[]) {
  const { code, stdout } = await fleet.plane.ferry('vm', 'plan', vm, '--to', to, '-o', 'json', ...options);
  const plan = JSON.parse(stdout) as Said;
  const codes = new Set((plan.reasons ?? []).map((reason) => reason.code));
  const doubted = (plan.hosts ?? []).flatMap(({ findings }) => findings).filter((each) => doubts.test(each.code));
  return (came: 'moves' | 'fails' | 'refused', answer: string): void => {
    assert.equal(code === 4, came === 'refused', `what the plan refuses is refused, and nothing else: ${stdout}`);
    if (came === 'refused')
      assert.deepEqual(new Set(((JSON.parse(answer) as Said).reasons ?? []).map((reason) => reason.code)), codes);
    if (came === 'fails') assert.ok(doubted.length > 0, `the plan did not foretell it: ${stdout} ${answer}`);
  };
}

for (const pair of full ? pairs : always) {
  describe(`${pair.older} and ${pair.newer}`, () => {
    // a guest that trixie booted does not get to testing
    const first = pair.older === 'trixie' ? 'host2' : 'host1';
    const releases = { host1: pair.older, host2: pair.newer };
    const releaseOf = (host: string): Release => (host === 'host1' ? pair.older : pair.newer);
    let fleet: Fleet;
    withFleet(
      async (made) => {
        fleet = made;
        await Promise.all([
          create('copied', 'local'),
          create('shared', 'shared'),
          vmCreate(fleet.lab, { name: 'plain', host: first, until: 'defined' }),
        ]);
      },
      {
        hosts: 2,
        releases,
        accepted: [[/^the (live|inactive) definition: /, 'each libvirt writes into it what it knows']],
      },
    );

    async function create(name: string, disk: 'local' | 'shared', host = first): Promise<void> {
      await vmCreate(fleet.lab, { name, host, disk, workload: 'disk', diskMib: 32 });
      await fleet.seen(name, 'running');
    }
    const ticks = (vm: string) => readTicks(vmLog(fleet.lab, vm));
    async function countsOn(vm: string): Promise<void> {
      const { last, boots } = ticks(vm);
      await waitFor(
        `${vm} to count on`,
        () => (ticks(vm).last > last + 1 && ticks(vm).boots.length === boots.length) || undefined,
        { timeoutMs: 60_000 },
      );
    }
    /** Counter and disk are as they would be had it not moved. */
    async function runsOn(vm: string): Promise<void> {
      await countsOn(vm);
      assert.ok(ticks(vm).contiguous, `a number of ${vm} is missing or comes twice`);
      await recordsUnbroken(vm);
    }
    async function recordsUnbroken(vm: string): Promise<void> {
      const records = await vmCheck(fleet.lab, vm);
      assert.ok(
        records.records > 0 && records.contiguous && records.corrupt === 0 && !records.duplicateWriters,
        JSON.stringify(records),
      );
    }
    /**
     * Moves the VM from its first host to the other and back; `prepare` and `arrived` get the host that it is on. After
     * a refusal the VM is moved there without the options.
     */
    async function thereAndBack(
      kind: KindOfMove,
      vm: string,
      options: readonly string[],
      steps: {
        readonly prepare?: (host: string) => Promise<void>;
        readonly refused?: (host: string) => Promise<void>;
        readonly arrived: (host: string) => Promise<void>;
      },
    ): Promise<void> {
      for (const from of [first, other(first)]) {
        const to = other(from);
        await steps.prepare?.(from);
        const boots = ticks(vm).boots.length;
        const outcome = await outcomeOf(fleet, vm, from, to, options);
        saw(kind, from, to, outcome);
        if (outcome === 'fails') {
          assert.equal(from, other(first), 'a guest that cannot be brought there cannot come back');
          await vmDelete(fleet.lab, vm);
          return create(vm, vm === 'shared' ? 'shared' : 'local');
        }
        if (outcome !== 'moves') {
          await steps.refused?.(from);
          assert.equal((await fleet.move(vm, '--to', to, ...copies)).outcome, 'succeeded');
        }
        await steps.arrived(to);
        if (['running', 'paused'].includes(await fleet.state(to, vm)))
          assert.equal(ticks(vm).boots.length, boots, `${vm} booted again`);
      }
    }
    function saw(kind: KindOfMove, from: string, to: string, outcome: string): void {
      const name = way(releaseOf(from), releaseOf(to));
      (moves[kind] ??= {})[name] = outcome;
      if (!remembers)
        assert.equal(
          outcome,
          known.moves[kind]?.[name] ?? 'moves',
          `${kind} from ${name} is not what test/generations.json says`,
        );
    }
    async function destroyed(vm: string): Promise<void> {
      await virsh(fleet.lab, first, ['destroy', vm]);
      await fleet.seen(vm, 'shut-off');
    }
    const copies = ['--delete-source-disks'];

    test('each host has the versions on the page', async () => {
      for (const host of ['host1', 'host2']) {
        const said = await virsh(fleet.lab, host, ['version']);
        const found = {
          libvirt: /Using library: libvirt (\d+\.\d+)/.exec(said)?.[1] ?? said,
          qemu: /Running hypervisor: QEMU (\d+\.\d+)/.exec(said)?.[1] ?? said,
        };
        versions[releaseOf(host)] = found;
        // testing goes on: its root is as old as the machine's cache
        if (!remembers && releaseOf(host) !== 'testing') assert.deepEqual(found, known.versions[releaseOf(host)]);
      }
    });

    test('running, booted by the release that it leaves', { skip }, async () => {
      for (const from of ['host1', 'host2']) {
        await create('booted', 'shared', from);
        const outcome = await outcomeOf(fleet, 'booted', from, other(from), []);
        saw('live-own-boot', from, other(from), outcome);
        await runsOn('booted');
        await vmDelete(fleet.lab, 'booted');
      }
    });

    test('running, its disk is copied', async () => {
      await thereAndBack('live-copied', 'copied', copies, { arrived: () => runsOn('copied') });
    });

    test('running, its disk is copied, direct', { skip }, async () => {
      await thereAndBack('live-copied-direct', 'copied', [...copies, '--direct'], { arrived: () => runsOn('copied') });
    });

    test('running, a shared disk', { skip }, async () => {
      await thereAndBack('live-shared', 'shared', [], { arrived: () => runsOn('shared') });
    });

    test('running, a shared disk, direct', async () => {
      await thereAndBack('live-shared-direct', 'shared', ['--direct'], { arrived: () => runsOn('shared') });
    });

    test('running, memory and disk encrypted', { skip }, async () => {
      await thereAndBack('live-tls', 'copied', [...copies, '--enable-tls'], { arrived: () => runsOn('copied') });
    });

    test('running, suspended for the move', { skip }, async () => {
      await thereAndBack('suspended', 'copied', [...copies, '--kind', 'suspended'], {
        arrived: () => runsOn('copied'),
      });
    });

    test('paused: it arrives paused and goes on', { skip }, async () => {
      await thereAndBack('paused', 'copied', copies, {
        prepare: async (host) => {
          await virsh(fleet.lab, host, ['suspend', 'copied']);
          await fleet.seen('copied', 'paused');
        },
        arrived: async (host) => {
          assert.equal(await fleet.state(host, 'copied'), 'paused');
          await virsh(fleet.lab, host, ['resume', 'copied']);
          await fleet.seen('copied', 'running');
          await runsOn('copied');
        },
      });
    });

    test('saved: its memory goes on on the other release', async () => {
      await thereAndBack('saved', 'copied', [...copies, '--auto-start'], {
        prepare: async (host) => {
          await virsh(fleet.lab, host, ['managedsave', 'copied', '--running'], { timeoutMs: 60_000 });
          await fleet.seen('copied', 'shut-off');
        },
        refused: async (host) => {
          await virsh(fleet.lab, host, ['start', 'copied'], { timeoutMs: 60_000 });
          await fleet.seen('copied', 'running');
        },
        arrived: () => runsOn('copied'),
      });
    });

    test('several connections, compressed', { skip }, async () => {
      for (const kind of ['zlib', 'zstd'] as const)
        await thereAndBack(kind, 'shared', ['--parallel', '2', '--compression', kind], {
          arrived: () => runsOn('shared'),
        });
    });

    test('shut off, its disk is copied: it boots on the other release', async () => {
      await destroyed('copied');
      await thereAndBack('cold', 'copied', copies, {
        arrived: async (host) => {
          assert.equal(await fleet.state(host, 'copied'), 'shut off');
          await fleet.sh(host, 'qemu-img check -q /var/lib/libvirt/images/copied.qcow2');
          await recordsUnbroken('copied');
        },
      });
      if ((await fleet.state(first, 'copied')) === 'running') return;
      const boots = ticks('copied').boots.length;
      await virsh(fleet.lab, first, ['start', 'copied'], { timeoutMs: 60_000 });
      await waitFor(
        'it to boot',
        () => (ticks('copied').boots.length > boots && ticks('copied').last > 0) || undefined,
        { timeoutMs: 60_000 },
      );
    });

    test('its definition only: it arrives as it was', async () => {
      // a watchdog that the machine has anyhow is named from libvirt 9.1 on
      const definition = async (host: string) =>
        (await virsh(fleet.lab, host, ['dumpxml', '--inactive', '--security-info', 'plain'])).replace(
          / *<watchdog model='itco'.*\n/,
          '',
        );
      const before = await definition(first);
      await fleet.seen('plain', 'shut-off');
      await thereAndBack('configuration', 'plain', ['--kind', 'configuration'], {
        arrived: async (host) => assert.equal(await definition(host), before),
      });
    });

    test('snapshots on a shared disk: live with them, and reverted to on the other release', { skip }, async () => {
      await create('tree', 'shared');
      await thereAndBack('snapshots', 'tree', [], {
        prepare: async (host) => {
          await virsh(fleet.lab, host, ['snapshot-create-as', 'tree', `of-${host}`], { timeoutMs: 60_000 });
        },
        arrived: async (host) => {
          assert.match(
            await virsh(fleet.lab, host, ['snapshot-list', 'tree', '--tree']),
            new RegExp(`of-${other(host)}`),
          );
          await virsh(fleet.lab, host, ['snapshot-revert', 'tree', `of-${other(host)}`, '--running'], {
            timeoutMs: 60_000,
          });
          await countsOn('tree');
        },
      });
      await vmDelete(fleet.lab, 'tree');
    });

    test('snapshots inside a disk: cold with them, and reverted to on the other release', { skip }, async () => {
      await create('inside', 'local');
      await thereAndBack('snapshots-cold', 'inside', copies, {
        prepare: async (host) => {
          await virsh(fleet.lab, host, ['snapshot-create-as', 'inside', `of-${host}`], { timeoutMs: 60_000 });
          await virsh(fleet.lab, host, ['destroy', 'inside']);
          await fleet.seen('inside', 'shut-off');
        },
        arrived: async (host) => {
          await fleet.sh(host, 'qemu-img check -q /var/lib/libvirt/images/inside.qcow2');
          await virsh(fleet.lab, host, ['snapshot-revert', 'inside', `of-${other(host)}`, '--running'], {
            timeoutMs: 60_000,
          });
          await countsOn('inside');
          await fleet.seen('inside', 'running');
        },
      });
      await vmDelete(fleet.lab, 'inside');
    });

    /** A guest with UEFI and a TPM, whose state its first start on this host makes. */
    async function withTpm(name: string, host: string): Promise<void> {
      await vmCreate(fleet.lab, { name, host, disk: 'local', diskMib: 32, workload: 'disk', until: 'defined' });
      const xml = (await virsh(fleet.lab, host, ['dumpxml', '--inactive', name]))
        .replace(
          '<kernel>',
          "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram " +
            "template='/usr/share/OVMF/OVMF_VARS_4M.fd'/><kernel>",
        )
        .replace('</devices>', "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>");
      await fleet.sh(host, `cat >/root/uefi.xml <<'XML'\n${xml}\nXML\nvirsh -q define /root/uefi.xml`);
      await virsh(fleet.lab, host, ['start', name], { timeoutMs: 60_000 });
      await fleet.seen(name, 'running');
      const { tpm } = await statePaths(name, host);
      await fleet.sh(host, `until [ -s ${tpm} ]; do sleep 0.1; done`);
    }
    async function statePaths(name: string, host: string): Promise<{ readonly nvram: string; readonly tpm: string }> {
      const xml = await virsh(fleet.lab, host, ['dumpxml', name]);
      const nvram = /<nvram[^>]*>([^<]+)</.exec(xml)?.[1] ?? assert.fail('no nvram');
      const uuid = /<uuid>([^<]+)</.exec(xml)?.[1] ?? assert.fail('no uuid');
      return { nvram, tpm: `/var/lib/libvirt/swtpm/${uuid}/tpm2/tpm2-00.permall` };
    }
    const shutOff = async (name: string, host: string): Promise<void> => {
      await virsh(fleet.lab, host, ['destroy', name]);
      await fleet.seen(name, 'shut-off');
    };

    test(
      'UEFI variables and TPM state of the older release: with a guest that runs, and with one that is shut off',
      { skip },
      async () => {
        await withTpm('uefi', 'host1');
        const { nvram, tpm } = await statePaths('uefi', 'host1');
        const sums = (host: string) => fleet.sh(host, `sha256sum ${nvram} ${tpm}`);
        // what trixie has booted does not get to testing
        if (first !== 'host1') {
          await shutOff('uefi', 'host1');
          await fleet.move('uefi', '--to', first, ...copies);
          await virsh(fleet.lab, first, ['start', 'uefi'], { timeoutMs: 60_000 });
          await fleet.seen('uefi', 'running');
        }
        // the firmware itself is the guest that runs: a kernel takes minutes to start below it on a busy machine
        await thereAndBack('uefi-live', 'uefi', copies, {
          arrived: async (host) => {
            assert.equal(await fleet.state(host, 'uefi'), 'running');
            assert.match(await sums(host), /nvram[^]*permall/);
          },
        });
        await shutOff('uefi', first);
        await fleet.sh(first, `echo marked-by-the-test | dd of=${nvram} bs=1 seek=400000 conv=notrunc status=none`);
        const before = await sums(first);
        await thereAndBack('uefi-cold', 'uefi', copies, {
          arrived: async (host) => assert.equal(await sums(host), before),
        });
        await vmDelete(fleet.lab, 'uefi');
      },
    );

    test('TPM state of the release that the VM leaves: read on the other one, or refused', { skip }, async () => {
      for (const from of ['host1', 'host2']) {
        const to = other(from);
        const vm = `own-tpm-${from}`;
        await withTpm(vm, from);
        const live = await outcomeOf(fleet, vm, from, to, copies);
        saw('tpm-own-live', from, to, live);
        if (live === 'moves') await fleet.move(vm, '--to', from, ...copies);
        await shutOff(vm, from);
        const cold = await outcomeOf(fleet, vm, from, to, copies);
        saw('tpm-own-cold', from, to, cold);
        // what arrived starts there
        await virsh(fleet.lab, cold === 'moves' ? to : from, ['start', vm], { timeoutMs: 60_000 });
        await vmDelete(fleet.lab, vm);
      }
    });

    test('host-model of each release: what libvirt or QEMU refuses, the plan foretold', { skip }, async () => {
      for (const from of ['host1', 'host2']) {
        const [vm, to] = [`model-${from}`, other(from)];
        await vmCreate(fleet.lab, { name: vm, host: from, disk: 'shared', diskMib: 32, until: 'defined' });
        await redefine(vm, from, (xml) => xml.replace(/<cpu[\s\S]*?<\/cpu>|<cpu[^>]*\/>/, "<cpu mode='host-model'/>"));
        await virsh(fleet.lab, from, ['start', vm], { timeoutMs: 120_000 });
        await fleet.seen(vm, 'running');
        const foretold = await planOf(fleet, vm, to, []);
        const { code, stdout } = await fleet.plane.ferry('vm', 'migrate', vm, '--to', to, '-o', 'json');
        foretold(code === 0 ? 'moves' : code === 4 ? 'refused' : 'fails', stdout);
        assert.equal(await fleet.state(code === 0 ? to : from, vm), 'running', stdout);
        assert.equal(await fleet.state(code === 0 ? from : to, vm), 'absent', stdout);
        await vmDelete(fleet.lab, vm);
      }
    });

    test('a machine type or an emulator that the other release does not have is refused by name', async () => {
      for (const from of ['host1', 'host2']) {
        const to = other(from);
        await vmCreate(fleet.lab, { name: 'own-machine', host: from, until: 'defined' });
        await redefine('own-machine', from, (xml) => xml.replace(/machine='pc-[^']*'/, "machine='q35'"));
        await fleet.seen('own-machine', 'shut-off');
        saw('own-machine', from, to, await outcomeOf(fleet, 'own-machine', from, to, []));
        await vmDelete(fleet.lab, 'own-machine');
      }
      await vmCreate(fleet.lab, { name: 'own-emulator', host: first, until: 'defined' });
      await fleet.sh(first, 'ln -s /usr/bin/qemu-system-x86_64 /root/qemu-of-this-host');
      await redefine('own-emulator', first, (xml) =>
        xml.replace(/<emulator>[^<]*/, '<emulator>/root/qemu-of-this-host'),
      );
      await fleet.seen('own-emulator', 'shut-off');
      assert.equal(await outcomeOf(fleet, 'own-emulator', first, other(first), []), 'file-missing');
      await vmDelete(fleet.lab, 'own-emulator');
    });
    async function redefine(name: string, host: string, changed: (xml: string) => string): Promise<void> {
      const xml = changed(await virsh(fleet.lab, host, ['dumpxml', '--inactive', name]));
      await fleet.sh(host, `cat >/root/${name}.xml <<'XML'\n${xml}\nXML\nvirsh -q define /root/${name}.xml`);
    }

    test(
      'post-copy with its connection broken: resumed and finished, or both halves kept',
      { skip, timeout: 600_000 },
      async () => {
        await shortPatience(fleet);
        for (const from of ['host1', 'host2']) {
          const vm = `broken-${from}`;
          await vmCreate(fleet.lab, { name: vm, host: first, workload: 'dirty:20' });
          await fleet.seen(vm, 'running');
          if (from !== first) await fleet.move(vm, '--to', from);
          const begun = await intoPostCopy(fleet, vm);
          const daemon = await fleet.sh(begun.to, 'cat /run/libvirtd.pid');
          await fleet.sh(begun.to, `nft -f - <<'RULES'\n${brokenData}\nRULES`);
          await untilSaid(fleet, begun.from, vm, 'paused (post-copy failed)');
          await untilSaid(fleet, begun.to, vm, 'running (post-copy failed)');
          await unpaced(fleet, begun);
          await fleet.sh(begun.to, 'nft delete table ip broken');
          // libvirtd 11.3 would crash
          const resumes = releaseOf(begun.to) !== 'trixie';
          if (resumes) await intact(fleet, begun, { at: begun.to, outcome: 'succeeded', timeoutMs: 150_000 });
          else {
            await waitFor(
              'Ferry to say why it does not resume',
              async () =>
                (await fleet.migration(begun.id)).attention?.includes('whenever a post-copy is resumed') || undefined,
              { timeoutMs: 60_000 },
            );
            assert.equal(await stateOf(fleet, begun.from, vm), 'paused (post-copy failed)');
            assert.equal(await stateOf(fleet, begun.to, vm), 'running (post-copy failed)');
          }
          assert.equal(await fleet.sh(begun.to, 'cat /run/libvirtd.pid; kill -0 $(cat /run/libvirtd.pid)'), daemon);
          saw('post-copy', from, other(from), resumes ? 'moves' : 'kept');
          await vmDelete(fleet.lab, vm);
        }
      },
    );

    test('where modular daemons listen: a host is reached by SSH, with and without virt-ssh-helper', async () => {
      const [socket, modular, helper] = [
        '/run/libvirt/libvirt-sock',
        '/run/libvirt/virtqemud-sock',
        '/usr/bin/virt-ssh-helper',
      ];
      // no release has virtqemud; the name of its socket is what a client goes by
      for (const host of ['host1', 'host2']) await fleet.sh(host, `! command -v virtqemud; mv ${socket} ${modular}`);
      // a minimal Debian has nothing else to pass a connection on
      const others = await fleet.sh('host1', 'command -v nc python3 socat || true');
      if (others !== '') await fleet.sh('host1', `mount --bind /dev/null ${helper}`);
      try {
        await using plane = await controlPlane(...accessTo(fleet.temporary));
        for (const { name, uri } of fleet.temporary.status.hosts) {
          const added = await plane.json<{ state: string }>(
            'host',
            'add',
            uri.replace('qemu+tcp://', 'qemu+ssh://root@'),
            '--name',
            name,
          );
          assert.equal(added.state, 'connected');
        }
        assert.equal(
          (await plane.json<{ host: string }>('vm', 'show', 'shared')).host,
          (await fleet.show('shared')).host,
        );
      } finally {
        if (others !== '') await fleet.sh('host1', `umount ${helper}`);
        for (const host of ['host1', 'host2']) await fleet.sh(host, `mv ${modular} ${socket}`);
      }
    });
  });
}

after(() => {
  if (remembers) remember({ versions, moves });
});

test('docs/compatibility.md is what was seen', () => {
  assert.equal(
    readFileSync(pageFile, 'utf8'),
    compatibilityPage(known),
    'write it anew with "node test/compatibility-page.ts"',
  );
});
