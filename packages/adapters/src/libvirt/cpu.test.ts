import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LibvirtError, parseXml, VIR_ERR, type HostSession } from '@ferry/libvirt';
import { compareCpu, guestCpuOf, hostModelOf } from './cpu.ts';

const of = (cpu: string) => {
  const xml = `<domain type='kvm'><os><type arch='x86_64'>hvm</type></os>${cpu}</domain>`;
  return guestCpuOf(xml, parseXml(xml));
};

test('the CPU of a guest as libvirt shows it; none where QEMU chooses it', () => {
  const custom = "<cpu mode='custom' match='exact'><model>EPYC</model></cpu>";
  assert.deepEqual(of(custom), { xml: custom, passthrough: false, type: 'kvm', arch: 'x86_64' });
  assert.equal(of("<cpu mode='host-passthrough'/>")?.passthrough, true);
  assert.deepEqual(
    [of(''), of("<cpu><topology sockets='1'/></cpu>"), of("<cpu mode='maximum'/>")],
    [undefined, undefined, undefined],
  );
});

test('what libvirt says of it: it fits, what is missing, or that it cannot be compared; a lost connection is no answer', async () => {
  const cpu = of('<cpu><model>EPYC</model></cpu>') ?? assert.fail();
  const ask = (answer: number | Error) =>
    compareCpu(
      {
        compareHypervisorCpu: async () => {
          if (answer instanceof Error) throw answer;
          return answer;
        },
      } as unknown as HostSession,
      cpu,
      AbortSignal.timeout(1_000),
    );
  const error = (code: number, message: string) =>
    new LibvirtError('CONNECT_COMPARE_HYPERVISOR_CPU', { code, message } as ConstructorParameters<
      typeof LibvirtError
    >[1]);
  assert.deepEqual(
    [await ask(2), await ask(error(VIR_ERR.CPU_INCOMPATIBLE, 'no avx.')), await ask(error(VIR_ERR.NO_SUPPORT, 'no'))],
    [{ answer: 'fits' }, { answer: 'lacks', why: 'no avx' }, { answer: 'unknown', why: 'no' }],
  );
  await assert.rejects(ask(new Error('gone')), /gone/);
});

test('the CPU of host-model is written as one of a guest; a host may offer none', () => {
  const of = (mode: string) =>
    hostModelOf(
      `<domainCapabilities><cpu><mode name='host-passthrough' supported='yes'/>${mode}</cpu></domainCapabilities>`,
    );
  assert.equal(
    of("<mode name='host-model' supported='yes'><model fallback='forbid'>EPYC</model><vendor>AMD</vendor></mode>"),
    "<cpu><model fallback='forbid'>EPYC</model><vendor>AMD</vendor></cpu>",
  );
  assert.deepEqual([of("<mode name='host-model' supported='no'/>"), of('')], [undefined, undefined]);
});
