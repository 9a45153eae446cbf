/**
 * Ferry's element in a domain's metadata: whose migration a domain belongs to. Written before a move, since libvirt
 * blocks such writes during one.
 */
import { escapeXml } from '@ferry/libvirt';
import type { MigrationMarker } from '@ferry/engine';

/** Namespace of the element. */
export const markerNamespace = 'urn:ferry:migration:1';

const content = ({ installation, migration, epoch }: MigrationMarker): string =>
  `installation='${escapeXml(installation)}' id='${escapeXml(migration)}' epoch='${epoch}'`;

/** The element as virDomainSetMetadata takes it: libvirt adds prefix and namespace. */
export const plainMarker = (marker: MigrationMarker): string => `<migration ${content(marker)}/>`;
/** The element as a definition holds it. */
export const markerElement = (marker: MigrationMarker): string =>
  `<ferry:migration xmlns:ferry='${markerNamespace}' ${content(marker)}/>`;
