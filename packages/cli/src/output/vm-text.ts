/** One VM, and what a guest writes to its memory, as text. */
import type { DirtyRateJson, VmJson } from '@ferry/api';
import { formatBytes, formatTime } from './format.ts';
import { fields, table } from './table.ts';

/** A VM that has to be settled is seen in every list. */
export const stateText = ({ state, instances }: VmJson): string =>
  instances.some(({ role }) => role === 'conflict') ? `${state}, in conflict` : state;

export const vmText = (vm: VmJson): string =>
  [
    fields([
      ['name', vm.name],
      ['uuid', vm.uuid],
      ['host', vm.host],
      ['state', stateText(vm)],
      ['memory', formatBytes(vm.memoryBytes)],
      ['vcpus', vm.vcpus],
      ['labels', vm.labels?.join(', ')],
      ['migration', vm.currentMigration],
    ]),
    ...(vm.disks.length === 0
      ? []
      : [
          '',
          table(
            ['disk', 'device', 'type', 'format', 'source'],
            vm.disks.map((disk) => [disk.target, disk.device, disk.type, disk.format, disk.source]),
          ),
        ]),
    ...(vm.instances.length < 2
      ? []
      : [
          '',
          table(
            ['instance on', 'role', 'state', 'definition'],
            vm.instances.map((each) => [
              each.host,
              each.role,
              each.state,
              `${each.persistent === false ? 'transient' : 'persistent'}${each.name === undefined ? '' : `, as ${each.name}`}`,
            ]),
          ),
        ]),
  ].join('\n');

export const dirtyRateText = ({ vm, at, seconds, readings, dirtyBytesPerSecond }: DirtyRateJson): string =>
  [
    fields([
      ['vm', vm],
      ['writes', `${formatBytes(dirtyBytesPerSecond)}/s`],
      ['measured at', `${formatTime(at)}, for ${seconds} s`],
    ]),
    '',
    table(
      ['within', 'pages written', 'per second'],
      readings.map((each) => [`${each.seconds} s`, formatBytes(each.bytes), `${formatBytes(each.bytesPerSecond)}/s`]),
    ),
  ].join('\n');
