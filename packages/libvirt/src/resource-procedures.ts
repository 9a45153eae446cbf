// The rows of procedures.ts for what domains use other than storage: networks, host interfaces, network filters,
// secrets.
import { row } from './procedure.ts';
import { MAX_DOMAINS, networkFilter, secret, str, virtualNetwork } from './wire-types.ts';
import { array, flag, i32, nothing, opaque, struct, u32 } from './xdr.ts';

const network = virtualNetwork;
const hostInterface = struct({ name: str, mac: str });
const netOnly = struct({ net: network });
const list = struct({ needResults: i32, flags: u32 });
const MAX_NODE_DEVICES = 65_536;
const MAX_SECRET_BYTES = 65_536;

export const resourceProcedures = {
  networkCreate: row(39, 'NETWORK_CREATE', netOnly, nothing),
  networkDefineXml: row(41, 'NETWORK_DEFINE_XML', struct({ xml: str }), struct({ net: network })),
  networkDestroy: row(42, 'NETWORK_DESTROY', netOnly, nothing),
  networkGetXmlDesc: row(43, 'NETWORK_GET_XML_DESC', struct({ net: network, flags: u32 }), struct({ xml: str })),
  networkSetAutostart: row(48, 'NETWORK_SET_AUTOSTART', struct({ net: network, autostart: flag }), nothing),
  networkUndefine: row(49, 'NETWORK_UNDEFINE', netOnly, nothing),
  nodeDeviceGetXmlDesc: row(114, 'NODE_DEVICE_GET_XML_DESC', struct({ name: str, flags: u32 }), struct({ xml: str })),
  secretDefineXml: row(142, 'SECRET_DEFINE_XML', struct({ xml: str, flags: u32 }), struct({ secret })),
  secretGetXmlDesc: row(143, 'SECRET_GET_XML_DESC', struct({ secret, flags: u32 }), struct({ xml: str })),
  secretSetValue: row(
    144,
    'SECRET_SET_VALUE',
    struct({ secret, value: opaque(MAX_SECRET_BYTES), flags: u32 }),
    nothing,
  ),
  secretGetValue: row(
    145,
    'SECRET_GET_VALUE',
    struct({ secret, flags: u32 }),
    struct({ value: opaque(MAX_SECRET_BYTES) }),
  ),
  secretUndefine: row(146, 'SECRET_UNDEFINE', struct({ secret }), nothing),
  interfaceGetXmlDesc: row(
    130,
    'INTERFACE_GET_XML_DESC',
    struct({ iface: hostInterface, flags: u32 }),
    struct({ xml: str }),
  ),
  networkIsActive: row(152, 'NETWORK_IS_ACTIVE', netOnly, struct({ active: flag })),
  nwfilterGetXmlDesc: row(
    177,
    'NWFILTER_GET_XML_DESC',
    struct({ filter: networkFilter, flags: u32 }),
    struct({ xml: str }),
  ),
  nwfilterDefineXml: row(180, 'NWFILTER_DEFINE_XML', struct({ xml: str }), struct({ filter: networkFilter })),
  nwfilterUndefine: row(181, 'NWFILTER_UNDEFINE', struct({ filter: networkFilter }), nothing),
  connectListAllNetworks: row(
    283,
    'CONNECT_LIST_ALL_NETWORKS',
    list,
    struct({ nets: array(network, MAX_DOMAINS), count: u32 }),
  ),
  connectListAllInterfaces: row(
    284,
    'CONNECT_LIST_ALL_INTERFACES',
    list,
    struct({ interfaces: array(hostInterface, MAX_DOMAINS), count: u32 }),
  ),
  connectListAllNodeDevices: row(
    285,
    'CONNECT_LIST_ALL_NODE_DEVICES',
    list,
    struct({ devices: array(struct({ name: str }), MAX_NODE_DEVICES), count: u32 }),
  ),
  connectListAllNwfilters: row(
    286,
    'CONNECT_LIST_ALL_NWFILTERS',
    list,
    struct({ filters: array(networkFilter, MAX_DOMAINS), count: u32 }),
  ),
  connectListAllSecrets: row(
    287,
    'CONNECT_LIST_ALL_SECRETS',
    list,
    struct({ secrets: array(secret, MAX_DOMAINS), count: u32 }),
  ),
} as const;
