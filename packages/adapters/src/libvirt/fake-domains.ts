/** For tests: a daemon of the libvirt client's tests that has very many domains, and counts what it is asked. */
import { answering, ok, opening, serve, type Server } from '../../../libvirt/test/fake-daemon.ts';
import { Program, type Frame } from '../../../libvirt/src/frame.ts';
import { procedures as p } from '../../../libvirt/src/procedures.ts';
import { VIR_LIST_DOMAINS } from '../../../libvirt/src/constants.ts';
import { encode } from '../../../libvirt/src/xdr.ts';
import { XdrReader } from '../../../libvirt/src/xdr-bytes.ts';

export interface FakeDomains {
  readonly server: Server;
  /** Calls by procedure. */
  readonly calls: Map<string, number>;
  /** The most definitions that were asked for and not answered yet. */
  readonly mostAtOnce: () => number;
  /** Of a domain by its index: what its statistics and its definition say. */
  readonly states: number[];
  readonly definitions: Map<number, string>;
  /** Names of the files in /pool; base.qcow2 is the base of each. */
  readonly images: string[];
}

export const uuidOf = (index: number): string => `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;

const names = new Map(Object.entries(p).map(([name, { number }]) => [number, name]));
const disks = Array.from(
  { length: 6 },
  (_, index) =>
    `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source ` +
    `file='/pool/d${index}.qcow2'/><target dev='vd${String.fromCharCode(97 + index)}' bus='virtio'/></disk>`,
).join('\n');

/** Definitions are answered a turn later, so that those asked for together are seen together. */
export async function serveDomains(count: number): Promise<FakeDomains> {
  const calls = new Map<string, number>();
  const states = Array.from({ length: count }, () => 1);
  const definitions = new Map<number, string>();
  const all = states.map((_, index) => ({ name: `vm${index}`, uuid: uuidOf(index), id: index + 1 }));
  const images = ['base.qcow2', ...Array.from({ length: 6 }, (_, index) => `d${index}.qcow2`)];
  const folders = new Map([
    ['/pool', { name: 'images', uuid: uuidOf(1) }],
    ['/var/lib/libvirt/qemu/save', { name: 'save', uuid: uuidOf(2) }],
  ]);
  let asked = 0;
  let most = 0;
  const indexOf = (uuid: string): number => Number(uuid.slice(-12));
  const answer = (call: Frame): Buffer | undefined => {
    const name = names.get(call.procedure) ?? '';
    calls.set(name, (calls.get(name) ?? 0) + 1);
    const args = new XdrReader(call.payload);
    switch (name) {
      case 'connectListAllDomains': {
        const { flags } = p.connectListAllDomains.args.read(args);
        const domains = (flags & (VIR_LIST_DOMAINS.HAS_SNAPSHOT | VIR_LIST_DOMAINS.MANAGEDSAVE)) === 0 ? all : [];
        return ok(call, encode(p.connectListAllDomains.ret, { domains, count: domains.length }));
      }
      case 'connectListAllStoragePools':
        return ok(
          call,
          encode(p.connectListAllStoragePools.ret, { pools: [...folders.values()], count: folders.size }),
        );
      case 'storagePoolGetInfo':
        return ok(call, encode(p.storagePoolGetInfo.ret, { state: 2, capacity: 1n, allocation: 0n, available: 1n }));
      case 'storagePoolGetXmlDesc': {
        const { pool } = p.storagePoolGetXmlDesc.args.read(args);
        const [folder] = [...folders].find(([, each]) => each.uuid === pool.uuid) ?? [''];
        const xml = `<pool type='dir'><name>${pool.name}</name><target><path>${folder}</path></target></pool>`;
        return ok(call, encode(p.storagePoolGetXmlDesc.ret, { xml }));
      }
      case 'storagePoolRefresh':
        return ok(call);
      case 'storagePoolListAllVolumes': {
        const { pool } = p.storagePoolListAllVolumes.args.read(args);
        const volumes = pool.name === 'images' ? images.map((name) => ({ pool: 'images', name, key: name })) : [];
        return ok(call, encode(p.storagePoolListAllVolumes.ret, { volumes, count: volumes.length }));
      }
      case 'storageVolGetXmlDesc': {
        const { volume } = p.storageVolGetXmlDesc.args.read(args);
        const below = volume.name === 'base.qcow2' ? '' : '<backingStore><path>/pool/base.qcow2</path></backingStore>';
        const xml = `<volume><name>${volume.name}</name><target><path>/pool/${volume.name}</path></target>${below}</volume>`;
        return ok(call, encode(p.storageVolGetXmlDesc.ret, { xml }));
      }
      case 'connectGetAllDomainStats': {
        const { doms } = p.connectGetAllDomainStats.args.read(args);
        const records = doms.map((dom) => ({
          dom,
          params: [
            { field: 'state.state', kind: 'int', value: states[indexOf(dom.uuid)] ?? 0 },
            { field: 'state.reason', kind: 'int', value: 1 },
            { field: 'balloon.maximum', kind: 'ullong', value: 1024n },
          ] as const,
        }));
        return ok(call, encode(p.connectGetAllDomainStats.ret, { records }));
      }
      case 'domainGetXmlDesc': {
        const { dom } = p.domainGetXmlDesc.args.read(args);
        const xml =
          definitions.get(indexOf(dom.uuid)) ??
          `<domain><name>${dom.name}</name><uuid>${dom.uuid}</uuid><memory unit='KiB'>1024</memory>` +
            `<vcpu>1</vcpu><devices>${disks}</devices></domain>`;
        return ok(call, encode(p.domainGetXmlDesc.ret, { xml }));
      }
      case 'connectGetHostname':
        return ok(call, encode(p.connectGetHostname.ret, { hostname: 'big' }));
      case 'connectGetCapabilities':
        return ok(
          call,
          encode(p.connectGetCapabilities.ret, {
            xml: '<capabilities><host><uuid>u-big</uuid><cpu><arch>x86_64</arch></cpu></host></capabilities>',
          }),
        );
      case 'connectGetLibVersion':
      case 'connectGetVersion':
        return ok(call, encode(p.connectGetVersion.ret, { version: 9_000_000n }));
      case 'nodeGetInfo':
        return ok(
          call,
          encode(p.nodeGetInfo.ret, {
            model: 'x86_64',
            memoryKiB: 1_048_576n,
            cpus: 4,
            mhz: 0,
            nodes: 1,
            sockets: 1,
            cores: 4,
            threads: 1,
          }),
        );
      case 'nodeGetFreeMemory':
        return ok(call, encode(p.nodeGetFreeMemory.ret, { bytes: 1_000_000n }));
      case 'connectListAllNodeDevices':
        return ok(call, encode(p.connectListAllNodeDevices.ret, { devices: [], count: 0 }));
      case 'connectDomainEventCallbackRegisterAny':
        return ok(call, encode(p.connectDomainEventCallbackRegisterAny.ret, { callbackId: 1 }));
      default:
        return undefined;
    }
  };
  const opened = opening(answer);
  const server = await serve((socket) => {
    // the parser of `answering` answers at once; a definition waits for its turn
    const write = socket.write.bind(socket);
    answering((call) => {
      // pings are of another program; what was heard lately is answer enough
      if (call.program !== Program.REMOTE) return undefined;
      const bytes = opened(call);
      if (call.procedure !== p.domainGetXmlDesc.number || bytes === undefined) return bytes;
      asked += 1;
      most = Math.max(most, asked);
      setImmediate(() => {
        asked -= 1;
        write(bytes);
      });
      return undefined;
    })(socket);
  });
  return { server, calls, states, definitions, images, mostAtOnce: () => most };
}
