/** Looks at one host that a VM may be moved to: its storage, and the files where the VM's state would go. */
import {
  disksOfBoth,
  FerryError,
  joinMaps,
  ownPlaces,
  placeOf,
  placesOf,
  type CheckInput,
  type FileThere,
  type TargetHoldings,
  type TargetStorage,
  type VmFacts,
} from '@ferry/core';
import type { FileFacts } from '../ports/ports.ts';
import { sideAt, type FactSources, type Place } from './fact-sources.ts';
import type { Side } from './side.ts';
import type { StorageSurvey } from './storage-survey.ts';

/** Looks at the target's storage where the maps, or the operator's own definition, put the disks. */
export const surveyStorage = async (
  volumes: StorageSurvey,
  { request, facts, ownXml, clusters }: CheckInput,
  from: Place,
  to: Place,
  signal: AbortSignal,
): Promise<TargetStorage> => {
  const map = joinMaps(clusters?.get(to.host.cluster)?.map, request.map);
  const poolsOf = async ({ host, link }: Place) => ({
    name: host.name,
    pools: map.pools === undefined ? [] : await link.volumes.pools(signal),
  });
  const { places, reasons } =
    ownXml === undefined
      ? placesOf(map, await poolsOf(from), await poolsOf(to))
      : { places: 'problem' in ownXml ? [] : ownPlaces(ownXml.disks, facts), reasons: [] };
  return {
    ...(await volumes.survey(facts === undefined ? [] : disksOfBoth(facts), sideAt(from), sideAt(to), places, signal)),
    mapReasons: reasons,
  };
};

/** The file at this path; a text where that cannot be seen. */
const lookAt = async ({ files }: Side, path: string, signal: AbortSignal): Promise<FileFacts | string | undefined> => {
  try {
    return await files.look(path, signal);
  } catch (error) {
    if (error instanceof FerryError && error.code === 'volume-failed') return error.message;
    throw error;
  }
};

/** Files on the target where the VM's state would go. */
export const statesOn = async (
  { records, sharing }: Pick<FactSources, 'records' | 'sharing'>,
  { statePlaces }: Pick<VmFacts, 'statePlaces'>,
  from: Side | undefined,
  to: Side,
  signal: AbortSignal,
): Promise<TargetHoldings['state']> => {
  const look = async (path: string): Promise<readonly (readonly [string, FileThere])[]> => {
    const there = await lookAt(to, path, signal);
    if (there === undefined) return [];
    if (typeof there === 'string') return [[path, { kind: 'unseen', why: there }]];
    const record = await records.at(to, path);
    const shared = record === undefined && from !== undefined && (await sharing.sharesFile(path, from, to, signal));
    const { allocationBytes, modified } = there;
    return [
      [
        path,
        {
          kind: 'file',
          allocationBytes,
          ...(modified === undefined ? {} : { modified }),
          ...(record === undefined ? {} : { record }),
          ...(shared ? { shared: true as const } : {}),
        },
      ],
    ];
  };
  return new Map((await Promise.all(statePlaces.map(({ path }) => look(path)))).flat());
};

/** With the files that its definitions use: every time that something is written there. */
export const holdingsOn = async (
  { sharing }: Pick<FactSources, 'sharing'>,
  state: TargetHoldings['state'],
  { statePlaces }: Pick<VmFacts, 'statePlaces'>,
  storage: TargetStorage | undefined,
  to: Side,
  signal: AbortSignal,
): Promise<TargetHoldings> => {
  const writes = state.size > 0 || statePlaces.some(({ what }) => what !== 'memory') || isCopied(storage);
  if (!writes) return { state };
  const disks = [...(storage?.sharing.keys() ?? [])].map((path) => placeOf(path, storage?.places ?? []));
  const paths = [...disks, ...statePlaces.map(({ path }) => path)];
  return { state, uses: await sharing.usesOf(to, paths, signal) };
};

export const isCopied = (storage: TargetStorage | undefined): boolean =>
  [...(storage?.sharing.values() ?? [])].some(({ verdict }) => verdict === 'separate');
