/**
 * Facts of a rescue: the VM is defined again on another host, because its own is dead. That one is asked nothing: what
 * is stored and what the candidates have decides.
 */
import {
  checkRescue,
  emulatorPaths,
  rescueCandidates,
  type HostId,
  type PathThere,
  type RescueStorage,
  type TargetHoldings,
} from '@ferry/core';
import { factsOn, parkedOn, sideAt, triedBy, type Choose, type FactSources, type FactsWanted } from './fact-sources.ts';
import type { HostAnswers } from './host-answers.ts';
import { lookForPaths } from './host-paths.ts';
import { holdingsOn, statesOn } from './target-look.ts';

export async function gatherForRescue(
  deps: FactSources,
  wanted: FactsWanted,
  answers: HostAnswers,
  signal: AbortSignal,
): Promise<Choose> {
  const { fleet } = deps;
  const { vm, request } = wanted;
  const hosts = fleet.hosts();
  const definition = await deps.stored(vm.uuid, vm.hostId);
  const facts = definition === undefined ? undefined : deps.hypervisor.describeDefinition(definition.xml);
  const known = facts ?? { statePlaces: [] };
  const answering = rescueCandidates({ vm, hosts, request }).filter(({ state }) => state === 'connected');
  const surveyed = await Promise.all(
    answering.map(
      async ({
        host,
      }): Promise<
        readonly {
          readonly id: HostId;
          readonly storage: RescueStorage;
          readonly holdings: TargetHoldings;
          readonly paths: ReadonlyMap<string, PathThere>;
        }[]
      > => {
        const place = { host, link: deps.linkOf(host.id) };
        const to = sideAt(place);
        const said = await answers.ask(
          place,
          (within) =>
            Promise.all([
              deps.volumes.surveyForRescue(facts?.disks ?? [], vm.hostId, to, within),
              statesOn(deps, known, undefined, to, within).then((state) =>
                holdingsOn(deps, state, known, undefined, to, within),
              ),
              lookForPaths(
                emulatorPaths(facts?.needs.machines ?? [], factsOn(deps, place)),
                undefined,
                place.link.paths,
                within,
              ),
            ]),
          signal,
        );
        return said === undefined ? [] : [{ id: host.id, storage: said[0], holdings: said[1], paths: said[2] }];
      },
    ),
  );
  const all = surveyed.flat();
  return (now) =>
    checkRescue({
      vm,
      request,
      policy: wanted.policy,
      ...now,
      arrivedSaved: deps.kept.hasArrivedSaved(vm),
      tried: triedBy(wanted),
      parkedOn: parkedOn(deps, vm),
      domainsOn: (id) => fleet.instancesOn(id),
      hosts: answers.asOfNow(hosts),
      silent: answers.silent,
      storage: new Map(all.map(({ id, storage }) => [id, storage])),
      holdings: new Map(all.map(({ id, holdings }) => [id, holdings])),
      paths: new Map(all.map(({ id, paths }) => [id, paths])),
      ...(facts === undefined ? {} : { facts }),
    });
}
