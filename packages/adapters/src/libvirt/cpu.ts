/** The CPU of a running guest, and the comparison of one with what QEMU on a host provides. It decides nothing. */
import type { CpuThere, GuestCpu } from '@ferry/core';
import { LibvirtError, parseXml, VIR_ERR, xmlAt, xmlChild, type HostSession, type XmlElement } from '@ferry/libvirt';

/** Absent where the definition names no CPU: QEMU's own default is the same everywhere. */
/** `next`: the definition for its next start. */
export function guestCpuOf(xml: string, root: XmlElement, next?: XmlElement): GuestCpu | undefined {
  const cpu = xmlChild(root, 'cpu');
  if (cpu === undefined) return undefined;
  const mode = cpu.attributes.get('mode') ?? '';
  // with a topology alone the model is QEMU's own default
  if (mode === 'maximum' || (mode !== 'host-passthrough' && xmlChild(cpu, 'model') === undefined)) return undefined;
  return {
    xml: xml.slice(cpu.span.start, cpu.span.end),
    passthrough: mode === 'host-passthrough',
    type: root.attributes.get('type') ?? '',
    arch: xmlAt(root, 'os', 'type')?.attributes.get('arch') ?? '',
    ...(required(cpu).includes('invtsc') ? { invtsc: true as const } : {}),
    ...askedOf(xmlChild(next, 'cpu')),
  };
}

const required = (cpu: XmlElement): readonly string[] =>
  cpu.children
    .filter(({ name, attributes }) => name === 'feature' && (attributes.get('policy') ?? 'require') === 'require')
    .map(({ attributes }) => attributes.get('name') ?? '');

/** A running guest shows every feature that it got; only its next start says what was asked for. */
function askedOf(cpu: XmlElement | undefined): Pick<GuestCpu, 'hostModel' | 'asked'> {
  if (cpu === undefined) return {};
  const asked = required(cpu);
  return {
    ...(cpu.attributes.get('mode') === 'host-model' ? { hostModel: true as const } : {}),
    ...(asked.length === 0 ? {} : { asked }),
  };
}

/** Of domain capabilities: the CPU of host-model, written as one of a guest. */
export function hostModelOf(capabilities: string): string | undefined {
  const mode = (xmlChild(parseXml(capabilities), 'cpu')?.children ?? []).find(
    ({ name, attributes }) => name === 'mode' && attributes.get('name') === 'host-model',
  );
  if (mode === undefined || mode.attributes.get('supported') !== 'yes' || mode.children.length === 0) return undefined;
  const parts = mode.children.map(({ span }) => capabilities.slice(span.start, span.end));
  return `<cpu>${parts.join('')}</cpu>`;
}

export async function compareCpu(session: HostSession, cpu: GuestCpu, signal: AbortSignal): Promise<CpuThere> {
  try {
    const result = await session.compareHypervisorCpu(cpu, { signal });
    return result > 0 ? { answer: 'fits' } : { answer: 'lacks', why: 'it is another one' };
  } catch (error) {
    if (!(error instanceof LibvirtError)) throw error;
    return {
      answer: error.code === VIR_ERR.CPU_INCOMPATIBLE ? 'lacks' : 'unknown',
      why: error.message.replace(/\.$/, ''),
    };
  }
}
