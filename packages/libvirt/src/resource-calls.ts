// The part of a HostSession that speaks of networks, interfaces of the host, network filters and secrets. It adds
// nothing to libvirt's calls. A daemon without such a driver rejects with NO_SUPPORT.
import type { CallOptions } from './connection.ts';
import type { Procedure } from './procedure.ts';
import { resourceProcedures as p } from './resource-procedures.ts';
import type { NetworkFilterRef, NetworkRef, SecretRef } from './wire-types.ts';

export interface ResourceCalls {
  networks(options?: CallOptions): Promise<readonly NetworkRef[]>;
  networkXml(net: NetworkRef, options?: CallOptions): Promise<string>;
  networkIsActive(net: NetworkRef, options?: CallOptions): Promise<boolean>;
  networkDefine(xml: string, options?: CallOptions): Promise<NetworkRef>;
  /** Starts a defined network. */
  networkCreate(net: NetworkRef, options?: CallOptions): Promise<void>;
  /** Stops it; a transient one is gone then. */
  networkDestroy(net: NetworkRef, options?: CallOptions): Promise<void>;
  networkUndefine(net: NetworkRef, options?: CallOptions): Promise<void>;
  networkSetAutostart(net: NetworkRef, autostart: boolean, options?: CallOptions): Promise<void>;
  /** Names of the host's own interfaces, bridges among them. */
  interfaces(options?: CallOptions): Promise<readonly string[]>;
  interfaceXml(name: string, options?: CallOptions): Promise<string>;
  /** Names of the host's devices; `flags` are bits of VIR_CONNECT_LIST_NODE_DEVICES, 0 or absent: all. */
  nodeDevices(flags?: number, options?: CallOptions): Promise<readonly string[]>;
  nodeDeviceXml(name: string, options?: CallOptions): Promise<string>;
  networkFilters(options?: CallOptions): Promise<readonly NetworkFilterRef[]>;
  networkFilterXml(filter: NetworkFilterRef, options?: CallOptions): Promise<string>;
  networkFilterDefine(xml: string, options?: CallOptions): Promise<NetworkFilterRef>;
  networkFilterUndefine(filter: NetworkFilterRef, options?: CallOptions): Promise<void>;
  secrets(options?: CallOptions): Promise<readonly SecretRef[]>;
  secretXml(secret: SecretRef, options?: CallOptions): Promise<string>;
  secretDefine(xml: string, options?: CallOptions): Promise<SecretRef>;
  /** Refused for a private secret. */
  secretValue(secret: SecretRef, options?: CallOptions): Promise<Uint8Array>;
  secretSetValue(secret: SecretRef, value: Uint8Array, options?: CallOptions): Promise<void>;
  secretUndefine(secret: SecretRef, options?: CallOptions): Promise<void>;
}

const everything = { needResults: 1, flags: 0 };

export function resourceCalls(
  call: <A, R>(procedure: Procedure<A, R>, args: A, options: CallOptions | undefined) => Promise<R>,
): ResourceCalls {
  return {
    networks: async (options) => (await call(p.connectListAllNetworks, everything, options)).nets,
    networkXml: async (net, options) => (await call(p.networkGetXmlDesc, { net, flags: 0 }, options)).xml,
    networkIsActive: async (net, options) => (await call(p.networkIsActive, { net }, options)).active,
    networkDefine: async (xml, options) => (await call(p.networkDefineXml, { xml }, options)).net,
    networkCreate: (net, options) => call(p.networkCreate, { net }, options),
    networkDestroy: (net, options) => call(p.networkDestroy, { net }, options),
    networkUndefine: (net, options) => call(p.networkUndefine, { net }, options),
    networkSetAutostart: (net, autostart, options) => call(p.networkSetAutostart, { net, autostart }, options),
    // libvirt finds it by its name
    interfaceXml: async (name, options) =>
      (await call(p.interfaceGetXmlDesc, { iface: { name, mac: '' }, flags: 0 }, options)).xml,
    interfaces: async (options) =>
      (await call(p.connectListAllInterfaces, everything, options)).interfaces.map(({ name }) => name),
    nodeDevices: async (flags, options) =>
      (await call(p.connectListAllNodeDevices, { ...everything, flags: flags ?? 0 }, options)).devices.map(
        ({ name }) => name,
      ),
    nodeDeviceXml: async (name, options) => (await call(p.nodeDeviceGetXmlDesc, { name, flags: 0 }, options)).xml,
    networkFilters: async (options) => (await call(p.connectListAllNwfilters, everything, options)).filters,
    networkFilterXml: async (filter, options) => (await call(p.nwfilterGetXmlDesc, { filter, flags: 0 }, options)).xml,
    networkFilterDefine: async (xml, options) => (await call(p.nwfilterDefineXml, { xml }, options)).filter,
    networkFilterUndefine: (filter, options) => call(p.nwfilterUndefine, { filter }, options),
    secrets: async (options) => (await call(p.connectListAllSecrets, everything, options)).secrets,
    secretXml: async (secret, options) => (await call(p.secretGetXmlDesc, { secret, flags: 0 }, options)).xml,
    secretDefine: async (xml, options) => (await call(p.secretDefineXml, { xml, flags: 0 }, options)).secret,
    secretValue: async (secret, options) => (await call(p.secretGetValue, { secret, flags: 0 }, options)).value,
    secretSetValue: (secret, value, options) => call(p.secretSetValue, { secret, value, flags: 0 }, options),
    secretUndefine: (secret, options) => call(p.secretUndefine, { secret }, options),
  };
}
